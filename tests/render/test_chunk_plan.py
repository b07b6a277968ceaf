"""What is done with each chunk of a film whose beginning exists."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.render.chunk_plan import SavedChunks, plan_chunks, plan_new_chunks
from tests.support.reference import tiny_world, walk

PRESET = tiny_world().preset  # chunks of 3, a window of 6, a sink of 1


def told(count, cuts=()):
    controls, first = walk(count), {0, *cuts}
    return [
        dataclasses.replace(c, frames=9 if i in first else 12, cut=Path("b.png") if i in cuts else None)
        for i, c in enumerate(controls)
    ]


def past(chunks, written=0, fast=False):
    return SavedChunks(chunks, lambda index: np.full(1, index), written, fast)


def kinds(made):
    return "".join(step.how[0] for step in made)


def test_a_fresh_film_is_made():
    assert kinds(plan_new_chunks(told(3))) == "mmm"


@pytest.mark.parametrize(
    ("cuts", "kept", "expected"),
    [
        ((), 3, "rrrmm"),
        ((2,), 3, "llrmm"),
        ((3,), 3, "lllmm"),  # the next chunk begins a scene: nothing of before is remembered
        ((), 5, "lllll"),
    ],
)
def test_a_scene_is_replayed_from_its_first_chunk(cuts, kept, expected):
    made = plan_chunks(told(5, cuts), past(kept), PRESET, reach=4)
    assert kinds(made) == expected
    assert [int(step.latents()[0]) for step in made if step.latents] == list(range(kept))


def test_a_fast_replay_takes_the_sink_and_the_window():
    made = plan_chunks(told(8), past(6, fast=True), PRESET, reach=4)
    assert kinds(made) == "rsssrrmm"


def test_frames_that_are_written_are_hidden_and_decoding_begins_where_it_is_felt():
    made = plan_chunks(told(6), past(5, written=9 + 12 + 12 + 12 + 5), PRESET, reach=4)
    assert [step.decode for step in made] == [False, False, True, True, True, True]
    assert [step.hide for step in made] == [9, 12, 12, 12, 5, 0]
    assert [step.shown for step in made] == [0, 0, 0, 0, 7, 12]


def test_decoding_begins_with_the_scene_and_not_at_all_when_all_is_written():
    assert [s.decode for s in plan_chunks(told(5, (3,)), past(4, written=42), PRESET, reach=9)] == [
        *(False, False, False, True, True)
    ]
    assert not any(s.decode for s in plan_chunks(told(2), past(2, written=21), PRESET, reach=9))
