"""Top-view maps, as text and as SVG."""

from xml.etree import ElementTree

import numpy as np

from lingbot_cli.drawing.top_view import heading_arrow, scene_maps, svg_map, text_map
from tests.support.timelines import compile_text

WALK = """
prompt: a courtyard
events:
  - {keys: w, for: 2s}
  - {turn: {yaw: 90}, for: 1s}
  - marker: <corner> & co
  - {keys: w, for: 1s}
"""


def test_arrows_are_headings():
    assert [heading_arrow(yaw) for yaw in (0, 44, 90, -90, 180, -180, 359)] == list("↑↗→←↓↓↑")


def test_a_walk_in_the_terminal():
    (scene,) = scene_maps(compile_text(WALK))
    lines = text_map(scene, 16, width=40)
    picture = lines[: lines.index("")]
    assert picture[-1][0] == "1"
    assert picture[0][0] == "2"
    assert "→" in picture[0]
    assert all(len(line) <= 40 for line in picture)
    assert lines[-2:] == ["  1       0s  prompt “a courtyard”", "  2       3s  marker “<corner> & co”"]
    assert "heading, each half second: ↑ ↑ ↑ ↑ ↑ ↗ → →" in lines


def test_standing_still_is_a_point():
    (scene,) = scene_maps(compile_text("events: [{wait: 1s}]"))
    assert text_map(scene, 16)[0] == "↑"
    assert scene.length == 0


def test_each_cut_is_a_scene_of_its_own(tmp_path):
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "b.png")
    first, second = scene_maps(
        compile_text("events: [{keys: w, for: 1s}, {cut: b.png}, {wait: 1s}]", folder=tmp_path)
    )
    assert (first.start, second.start) == (0, 29)
    assert [label.text for label in second.labels] == ["cut to b.png"]
    np.testing.assert_array_equal(second.positions[0], [0, 0])


def test_the_svg_is_well_formed_and_complete():
    drawing = svg_map(scene_maps(compile_text(WALK)), 16, "a < b")
    root = ElementTree.fromstring(drawing)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "2. 3s marker “<corner> & co”" in texts
    (way,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(way.attrib["points"].split()) == 64
