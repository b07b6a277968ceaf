"""`--frames A:B`: the same frames as in the whole video."""

import numpy as np
import pytest
from PIL import Image

from tests.support.command import lingbot
from tests.support.reference import sample_image


@pytest.fixture(scope="module")
def render(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    Image.fromarray(sample_image(40, 48)).save(folder / "a.png")

    def render(name, *more):
        done = lingbot(
            *("render", str(folder / "a.png"), "--moves", "wl-60", "--prompt", "a court", "--size", "32x32"),
            *("-o", str(folder / name / "%03d.png"), *more),
        )
        assert done.code == 0, done.stderr
        return np.stack([np.asarray(Image.open(path)) for path in sorted((folder / name).glob("*.png"))])

    return render


@pytest.fixture(scope="module")
def whole(render):
    return render("whole")


@pytest.mark.parametrize(
    ("message", "first", "end"), [("0:9", 0, 9), ("30:41", 30, 41), ("50:", 50, 60), (":1", 0, 1)]
)
def test_a_range_shows_the_frames_of_the_whole_video(render, whole, message, first, end):
    assert np.array_equal(render(message.replace(":", "-"), "--frames", message), whole[first:end])


@pytest.mark.parametrize("message", ["5", "9:9", "8:3", "0:61", "-1:4", "a:b", "60:"])
def test_a_wrong_range_is_refused(tmp_path, message):
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "a.png")
    done = lingbot(
        "render",
        str(tmp_path / "a.png"),
        "--moves",
        "w-60",
        f"--frames={message}",
        "-o",
        str(tmp_path / "a.mp4"),
    )
    assert done.code == 2
    assert "--frames" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
