"""Kitty and sixel graphics, as the kitty terminal itself and libsixel decode them."""

import io
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.terminal.graphics import kitty, resize, sixel
from tests.support.reference import sample_image

COLUMNS, ROWS = 16, 6  # of 10×20 pixels

# What the terminal holds once it has read standard input: no window, no GPU.
KITTY = """
import json, sys
from kitty.fast_data_types import Screen, parse_bytes, set_options
from kitty.options.types import Options, defaults
class Terminal:
    sent = []
    def write(self, data): self.sent.append(bytes(data).decode())
    def __getattr__(self, name): return lambda *_: None
set_options(Options(defaults._asdict()))
screen = Screen(Terminal(), 24, 80, 0, 10, 20, 0, Terminal())
parse_bytes(screen, sys.stdin.buffer.read())
held = screen.grman.image_for_client_id(1)
text = ""
for row in range(24):
    text += str(screen.line(row)).strip()
print(json.dumps({
    "width": held["width"], "height": held["height"], "pixels": held["data"].hex(), "shown": held["refcnt"],
    "pictures": screen.grman.image_count, "cursor": [screen.cursor.x, screen.cursor.y], "sent": Terminal.sent,
    "text": text,
}))
"""


def read_by(program, *arguments, drawn):
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    done = subprocess.run(
        [program, *arguments], input=drawn.encode(), capture_output=True, timeout=60, check=True
    )
    return done.stdout


def test_kitty_shows_the_newest_frame_to_the_pixel():
    frames = [sample_image(120, 160, seed=seed) for seed in range(3)]
    drawn = "".join(kitty(frame, COLUMNS, ROWS) for frame in frames)
    held = json.loads(read_by("kitty", "+runpy", KITTY, drawn=drawn))
    assert (held["width"], held["height"]) == (160, 120)
    pixels = np.frombuffer(bytes.fromhex(held["pixels"]), np.uint8).reshape(120, 160, 3)
    assert (pixels == frames[-1]).all()
    assert held["pictures"] == held["shown"] == 1  # the older ones are replaced
    assert held["cursor"] == [0, 0]
    assert held["sent"] == []  # no answer, which would be read as keys
    assert held["text"] == ""


@pytest.mark.parametrize("shape", [(120, 160), (116, 158), (90, 160)])
def test_sixel_decodes_to_the_frame(shape):
    frame = resize(sample_image(24, 32), *shape).copy()
    frame[:7, :9], frame[-5:, -3:] = 255, (200, 0, 90)
    found = read_by("sixel2png", drawn=sixel(frame, COLUMNS, ROWS))
    decoded = np.asarray(Image.open(io.BytesIO(found)).convert("RGB")).astype(int)
    share = min(160 / shape[1], 120 / shape[0])
    height, width = int(shape[0] * share), int(shape[1] * share)
    assert decoded.shape == (height, width, 3)
    meant = resize(frame, height, width)
    image = Image.fromarray(meant).quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # A palette's colour is in hundredths.
    assert np.abs(decoded - np.asarray(image.convert("RGB"))).max() <= 3
    assert np.abs(decoded - meant).mean() < 12
