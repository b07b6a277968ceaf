"""Pacing of a server's chunks: when the next is rendered and sent."""

import pytest

from lingbot_cli.broadcast.just_in_time import SAFETY_MARGIN_S, ChunkPacer


def test_the_first_chunk_waits_for_nothing():
    pacer = ChunkPacer()
    assert (pacer.render_delay(10), pacer.send_delay(10)) == (0, 0)
    assert (pacer.render_delay(0), pacer.send_delay(0)) == (0, 0)


def test_a_chunk_is_rendered_so_that_it_is_ready_when_the_one_before_ends():
    pacer = ChunkPacer()
    pacer.chunk_sent(0.75, 0.25, now=10)
    assert pacer.due == 10.75
    assert pacer.send_delay(10.5) == 0.25
    assert pacer.render_delay(10) == pytest.approx(0.75 - 0.25 - SAFETY_MARGIN_S)
    assert pacer.render_delay(10.5) == 0
    assert pacer.send_delay(11) == 0


def test_chunks_follow_one_another_and_a_late_one_shifts_the_rest():
    pacer = ChunkPacer()
    pacer.chunk_sent(0.75, 0.1, now=10)
    pacer.chunk_sent(0.75, 0.1, now=10.25)
    assert pacer.due == 11.5
    pacer.chunk_sent(0.75, 0.1, now=20)
    assert pacer.due == 20.75


def test_a_slower_chunk_counts_at_once_and_a_faster_one_by_a_fifth():
    pacer = ChunkPacer()
    estimates = []
    for render_s in (0.1, 0.5, 0.1, 0.1):
        pacer.chunk_sent(1, render_s, now=0)
        estimates.append(pacer.due - SAFETY_MARGIN_S - pacer.render_delay(0))
    assert estimates == pytest.approx([0.1, 0.5, 0.42, 0.356])
