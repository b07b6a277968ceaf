"""Images of cameras and the web, and files that are not images."""

import struct
import sys
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lingbot_cli.errors import UsageError
from lingbot_cli.image import crop_to_aspect, read_image, stretch_note
from lingbot_cli.video_size import MAX_ASPECT, fit_size, parse_size


def test_a_phone_image_is_turned_upright(tmp_path):
    image = Image.new("RGB", (5000, 3750), "blue")
    image.paste("red", (0, 0, 2500, 3750))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    image.save(tmp_path / "phone.jpg", exif=exif)
    seen = read_image(tmp_path / "phone.jpg")
    assert seen.shape == (5000, 3750, 3)
    assert seen[100, 1000, 0] > 240 > 20 > seen[100, 1000, 2]
    assert seen[4900, 1000, 2] > 240 > 20 > seen[4900, 1000, 0]


def test_a_damaged_orientation_only_loses_the_turn(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "hello"
    Image.new("RGB", (32, 24), "red").save(tmp_path / "whole.png", exif=exif)
    whole = (tmp_path / "whole.png").read_bytes()
    note = whole.index(b"eXIf")
    length = int.from_bytes(whole[note - 4 : note], "big")
    for place in range(note + 4, note + 4 + length):
        for value in (0, 255):
            data = bytearray(whole)
            data[place] = value
            data[note + 4 + length : note + 8 + length] = crc32(data[note : note + 4 + length]).to_bytes(
                4, "big"
            )
            (tmp_path / "a.png").write_bytes(data)
            assert read_image(tmp_path / "a.png").shape in ((24, 32, 3), (32, 24, 3))


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (200, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 0), (255, 255, 255)),
        ("I;16", 32896, (128, 128, 128)),
        ("P", 0, (0, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, colour, seen):
    Image.new(mode, (7, 5), colour).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (5, 7, 3)
    assert abs(pixels.astype(int) - seen).max() <= 1


def test_a_palette_with_a_transparent_colour_lies_on_white(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.info["transparency"] = 1
    image.save(tmp_path / "a.png", transparency=1)
    assert (read_image(tmp_path / "a.png") == 255).all()


def test_files_that_are_not_images(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    for name, said in {
        "text.png": "is not an image",
        "empty.png": "is not an image",
        "cut.png": "cannot be read",
        "none.png": "no such file",
        ".": "is a folder",
    }.items():
        with pytest.raises(UsageError, match=said):
            read_image(tmp_path / name)


def test_a_huge_image_is_refused_unread(tmp_path):
    Image.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")
    with pytest.raises(UsageError, match=r"30000x30000|cannot be read"):
        read_image(tmp_path / "bomb.png")


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_a_fitting_size_keeps_area_and_aspect(height, width):
    if max(height, width) > MAX_ASPECT * min(height, width):
        with pytest.raises(UsageError, match="8 times as long as wide"):
            fit_size(height, width, 832 * 480)
        return
    rows, columns = fit_size(height, width, 832 * 480)
    assert rows % 16 == columns % 16 == 0
    assert rows >= 16
    assert columns >= 16
    if 1 / 3 < height / width < 3:
        assert abs(rows * columns / (832 * 480) - 1) < 0.1
        assert abs(rows / columns / (height / width) - 1) < 0.1


def test_the_usual_image_gets_the_usual_size():
    assert fit_size(480, 832, 832 * 480) == (480, 832)
    assert fit_size(2160, 3840, 832 * 480) == (464, 832)


def test_sizes_are_multiples_of_16():
    assert parse_size("832x480") == (480, 832)
    with pytest.raises(UsageError, match="multiples of 16") as failure:
        parse_size("833x480")
    assert "832x480" in failure.value.hint
    for text in ("", "832", "x", "axb", "-16x16", "0x16", "16x16x16", "١٦x١٦"):
        with pytest.raises(UsageError):
            parse_size(text)


def test_an_image_of_the_videos_shape_is_unchanged():
    image = np.random.default_rng(0).integers(0, 255, (54, 96, 3), dtype=np.uint8)
    assert crop_to_aspect(image, 32, 64) is image
    assert crop_to_aspect(image, 480, 832) is image


def test_another_shape_is_cropped_in_the_middle():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 25:75] = 255
    tall = crop_to_aspect(image, 96, 48)
    assert tall.shape == (100, 50, 3)
    assert tall.min() == 255
    assert crop_to_aspect(image, 32, 96).shape == (33, 100, 3)


def test_a_large_image_is_averaged_not_sampled():
    image = np.zeros((4000, 5000, 3), np.uint8)
    image[::2] = 200  # stripes a pixel high vanish into their mean
    small = crop_to_aspect(image, 64, 80)
    assert small.shape[0] < 2 * 64
    assert abs(small.astype(int) - 100).max() <= 4


def gamma_profile(colorants, gamma=2.2):
    """Return an ICC profile of RGB colorants [3, 3], XYZ of D50 in rows, and one gamma."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"text" + bytes(4) + b"test\0" + bytes(3)
    desc = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": desc + bytes(-len(desc) % 4), b"cprt": text}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + fixed((0.9642, 1.0, 0.8249))
    for letter, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + fixed(colorant)
        tags[letter + b"TRC"] = curve
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(data), len(content))
        data += content
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1.0, 0.8249))
    return head + bytes(128 - len(head)) + body


DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB_D50 = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_colour_profile_is_converted(tmp_path, mode):
    colour = np.array([200, 120, 90])
    linear = (colour / 255) ** 2.2 @ np.array(DISPLAY_P3) @ np.linalg.inv(np.array(SRGB_D50))
    wanted = 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    image = Image.new(mode, (8, 8), (*colour, *((255,) if mode == "RGBA" else ())))
    image.save(tmp_path / "p3.png", icc_profile=gamma_profile(DISPLAY_P3))
    seen = read_image(tmp_path / "p3.png")
    assert abs(seen - wanted).max() <= 2
    assert abs(seen - colour).max() > 8
    for damaged in (b"", b"nonsense", gamma_profile(DISPLAY_P3)[:200]):
        image.save(tmp_path / "a.png", icc_profile=damaged)
        assert (read_image(tmp_path / "a.png") == colour).all()


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_pixels_have_their_range(tmp_path, white):
    ramp = np.linspace(0, white, 32, dtype=np.float32).reshape(4, 8)
    Image.fromarray(ramp).save(tmp_path / "a.tiff")
    assert abs(read_image(tmp_path / "a.tiff")[..., 0] - ramp * 255 / white).max() <= 0.51


def test_a_heic_image_is_read_or_named(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    file = tmp_path / "phone.heic"
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 100, 50))).save(file, quality=95)
    seen = read_image(file)
    assert seen.shape == (48, 64, 3)
    assert abs(seen.astype(int) - (200, 100, 50)).max() <= 6
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UsageError, match="a HEIC image, which needs pillow-heif") as refused:
        read_image(file)
    assert "lingbot[heif]" in refused.value.hint


@pytest.mark.parametrize(
    ("image", "size"), [((1080, 1920), (64, 112)), ((480, 832), (64, 112)), ((1920, 1080), (112, 64))]
)
def test_a_small_video_has_the_shape_of_the_image(image, size):
    assert fit_size(*image, 112 * 64) == size
    assert stretch_note(np.zeros((*image, 3), np.uint8), *size) is None


def test_a_stretch_is_said():
    image = np.zeros((100, 190, 3), np.uint8)
    assert "190x100 is stretched by 9% to 112x64" in stretch_note(image, 64, 112)
    assert stretch_note(np.zeros((100, 400, 3), np.uint8), 64, 112) is None  # cropped instead
