"""Chunk tasks of a video whose beginning is saved."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.render.chunk_plan import ChunkTask, SavedChunks, new_tasks, resume_tasks
from tests.support.reference import tiny_world, walk

PRESET = tiny_world().preset  # chunks of 3, a window of 6, a sink of 1


def make_controls(count, cuts=()):
    controls, first = walk(count), {0, *cuts}
    return [
        dataclasses.replace(c, frames=9 if i in first else 12, cut=Path("b.png") if i in cuts else None)
        for i, c in enumerate(controls)
    ]


def saved(chunks, frames=0, fast=False):
    return SavedChunks(chunks, lambda index: np.full(1, index), frames, fast)


def actions(tasks):
    return "".join(task.action[0] for task in tasks)


def test_a_new_video_is_generated():
    assert actions(new_tasks(make_controls(3))) == "ggg"


@pytest.mark.parametrize(
    ("cuts", "chunks", "expected"),
    [
        ((), 3, "rrrgg"),
        ((2,), 3, "oorgg"),
        ((3,), 3, "ooogg"),  # the next chunk begins a scene, which attends to nothing before
        ((), 5, "ooooo"),
    ],
)
def test_a_scene_is_replayed_from_its_first_chunk(cuts, chunks, expected):
    tasks = resume_tasks(make_controls(5, cuts), saved(chunks), PRESET, receptive_field=4)
    assert actions(tasks) == expected
    assert [int(task.latents()[0]) for task in tasks if task.latents] == list(range(chunks))


def test_a_fast_replay_takes_the_sink_and_the_window():
    tasks = resume_tasks(make_controls(8), saved(6, fast=True), PRESET, receptive_field=4)
    assert actions(tasks) == "rsssrrgg"


def test_written_frames_are_hidden_and_decoding_begins_in_the_receptive_field():
    tasks = resume_tasks(make_controls(6), saved(5, frames=9 + 12 + 12 + 12 + 5), PRESET, receptive_field=4)
    assert [task.decode for task in tasks] == [False, False, True, True, True, True]
    assert [task.hidden for task in tasks] == [9, 12, 12, 12, 5, 0]
    assert [task.shown for task in tasks] == [0, 0, 0, 0, 7, 12]


def test_decoding_begins_with_the_scene_and_not_at_all_when_all_is_written():
    tasks = resume_tasks(make_controls(5, (3,)), saved(4, frames=42), PRESET, receptive_field=9)
    assert [task.decode for task in tasks] == [False, False, False, True, True]
    tasks = resume_tasks(make_controls(2), saved(2, frames=21), PRESET, receptive_field=9)
    assert not any(task.decode for task in tasks)


@pytest.mark.parametrize(
    ("window", "expected"), [(6, "rssrrgg"), (7, "rssrrgg"), (8, "rsrrrgg"), (-1, "rrrrrgg")]
)
def test_a_fast_replay_skips_what_has_left_the_window(window, expected):
    preset = dataclasses.replace(PRESET, window=window)
    tasks = resume_tasks(make_controls(7), saved(5, fast=True), preset, receptive_field=4)
    assert actions(tasks) == expected


def test_a_fast_replay_counts_from_its_scene():
    tasks = resume_tasks(make_controls(9, (2,)), saved(7, fast=True), PRESET, receptive_field=4)
    assert actions(tasks) == "oorssrrgg"


@pytest.mark.parametrize(("receptive_field", "first"), [(3, 3), (4, 2), (6, 2), (7, 1)])
def test_decoding_begins_as_many_chunks_before_as_the_decoder_sees(receptive_field, first):
    tasks = resume_tasks(make_controls(6), saved(5, frames=9 + 12 + 12 + 12), PRESET, receptive_field)
    assert [task.decode for task in tasks] == [False] * first + [True] * (6 - first)


def test_no_more_frames_are_hidden_than_there_are():
    (control,) = make_controls(1)
    assert ChunkTask(0, control, hidden=9).shown == ChunkTask(0, control, hidden=20).shown == 0
