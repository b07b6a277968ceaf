"""Frame grid and chunks of a video."""

from fractions import Fraction

import pytest

from lingbot_cli.timeline.chunks import FrameGrid, nearest_frame, split_into_chunks
from lingbot_cli.timeline.times import parse_time


def test_the_grid_of_the_published_model():
    grid = FrameGrid()
    assert (grid.fps, grid.chunk) == (16, 4)
    assert [grid.chunk_boundary(chunks) for chunks in range(4)] == [0, 13, 29, 45]


@pytest.mark.parametrize(("frames", "nearest"), [("0.49", 0), ("0.5", 1), ("1.5", 2), ("2.49", 2)])
def test_halves_of_a_frame_are_rounded_up(frames, nearest):
    assert nearest_frame(Fraction(frames)) == nearest


@pytest.mark.parametrize(("start", "end"), [(0, 13), (12, 25), (13, 29), (28, 44), (29, 45)])
def test_a_chunk_after_a_start_ends_as_far_from_it_as_the_boundaries(start, end):
    assert FrameGrid().span_end(Fraction(start), parse_time("1c")) == end


def test_each_cut_begins_a_scene_at_the_next_boundary():
    chunks = split_into_chunks(50, 4, [5, 13, 30])
    assert [(chunk.start, chunk.end, chunk.scene_start, chunk.cut) for chunk in chunks] == [
        (0, 13, 0, None),
        (13, 26, 13, 1),
        (26, 42, 13, None),
        (42, 55, 42, 2),
    ]
