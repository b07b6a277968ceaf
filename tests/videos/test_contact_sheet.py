"""`lingbot sheet`: the right frames, in rows."""

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.videos.contact_sheet import Tile, draw_contact_sheet
from tests.support.command import lingbot


@pytest.fixture
def film(tmp_path):
    """Write a sequence of images, each of one grey level, ten times its number."""

    def write(name, frames):
        folder = tmp_path / name
        folder.mkdir()
        for index in range(frames):
            Image.new("RGB", (64, 48), (10 * index,) * 3).save(folder / f"{index:03}.png")
        return str(folder / "%03d.png")

    return write


def greys(path, columns, rows, wide=64, high=48):
    picture = np.asarray(Image.open(path))
    assert picture.shape == (6 + rows * (high + 22), 6 + columns * (wide + 6), 3)
    return [
        [int(picture[6 + r * (high + 22) + 9, 6 + c * (wide + 6) + 9, 0]) for c in range(columns)]
        for r in range(rows)
    ]


def test_one_video_in_a_square(tmp_path, film):
    out = tmp_path / "sheet.png"
    done = lingbot("sheet", film("a", 13), "--frames", "4", "--width", "64", "-o", str(out))
    assert done.code == 0, done.stderr
    assert greys(out, 2, 2) == [[0, 40], [80, 120]]
    assert lingbot("sheet", film("b", 2), "-o", str(out)).code == 2
    assert "--overwrite" in lingbot("sheet", str(tmp_path / "b" / "%03d.png"), "-o", str(out)).stderr


def test_a_row_a_video_and_middle_frames(tmp_path, film):
    films = [film("a", 3), film("b", 5), film("c", 7)]
    rows, middles = tmp_path / "rows.png", tmp_path / "middles.png"
    assert lingbot("sheet", *films, "--frames", "3", "--width", "64", "-o", str(rows)).code == 0
    assert greys(rows, 3, 3) == [[0, 10, 20], [0, 20, 40], [0, 30, 60]]
    command = ("sheet", *films, "--frames", "1", "--columns", "3", "--width", "32", "-o", str(middles))
    assert lingbot(*command).code == 0
    assert greys(middles, 3, 1, 32, 24) == [[10, 20, 30]]


def test_a_file_that_is_not_a_video(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    done = lingbot("sheet", str(tmp_path / "text.mp4"), "-o", str(tmp_path / "sheet.png"))
    assert done.code == 2
    assert "text.mp4" in done.stderr
    assert not (tmp_path / "sheet.png").exists()


def test_rows_are_as_high_as_their_own_tiles():
    tiles = [Tile(np.zeros((height, 64, 3), np.uint8), "a") for height in (36, 36, 114)]
    wide = draw_contact_sheet(tiles[:2], 2).height
    tall = draw_contact_sheet(tiles[2:], 2).height
    assert draw_contact_sheet(tiles, 2).height == wide + tall - 6
