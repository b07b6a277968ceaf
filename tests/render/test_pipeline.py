"""The loop, with a real tiny world: length, cuts, overlap, stopping, failing."""

import dataclasses
import hashlib
import threading
from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.errors import OutputError
from lingbot_cli.model.session import Session
from lingbot_cli.render.chunk_plan import new_tasks
from lingbot_cli.render.pipeline import run_pipeline
from lingbot_cli.sinks.base import NullSink, VideoInfo
from tests.support.reference import sample_image, tiny_world, walk

HEIGHT, WIDTH = 32, 32


class Kept(NullSink):
    """Keeps the frames."""

    def __init__(self):
        self.film = np.zeros((0, HEIGHT, WIDTH, 3), np.uint8)

    def write(self, frames):
        self.film = np.concatenate([self.film, frames])


def begin(cut=None):
    image = sample_image(seed=0 if cut is None else 1)
    return Session(tiny_world(), image, height=HEIGHT, width=WIDTH, seed=7)


def run(controls, sink=None, *, begin=begin, stopped=lambda: False, on_chunk=lambda _: None):
    sink = sink or Kept()
    sink.open(VideoInfo(HEIGHT, WIDTH, Fraction(16)))
    return run_pipeline(new_tasks(controls), begin, sink, stopped=stopped, on_chunk=on_chunk), sink


def told(chunks, **last):
    """Controls of a walk: 9 frames of the first chunk, 12 of the others."""
    controls = [
        dataclasses.replace(control, frames=9 if index == 0 else 12)
        for index, control in enumerate(walk(chunks))
    ]
    controls[-1] = dataclasses.replace(controls[-1], **last)
    return controls


def test_a_film_is_what_a_session_makes_cut_to_length():
    controls = told(3, frames=5)
    made, sink = run(controls)
    assert (made.chunks, made.frames) == (3, 9 + 12 + 5)
    session, alone, digest = begin(), [], hashlib.sha256()
    for control in controls:
        latents = session.denoise(control)
        digest.update(latents.numpy().tobytes())
        alone.append(session.decode(latents).numpy()[: control.frames])
    assert (sink.film == np.concatenate(alone)).all()
    assert made.latents == digest.hexdigest()


def test_a_cut_begins_a_fresh_world(tmp_path):
    controls = told(3)
    controls[1] = dataclasses.replace(controls[1], cut=tmp_path / "b.png", frames=9)
    begun = []

    def remember(cut):
        begun.append(cut)
        return begin(cut)

    made, sink = run(controls, begin=remember)
    assert begun == [None, tmp_path / "b.png"]
    assert made.frames == 9 + 9 + 12
    alone = begin(tmp_path / "b.png").step(controls[1]).numpy()
    assert (sink.film[9:18] == alone).all()


def test_a_stop_ends_the_film_between_two_chunks():
    stop = threading.Event()
    made, sink = run(told(9), stopped=stop.is_set, on_chunk=lambda _: stop.set())
    assert 1 <= made.chunks <= 5
    assert len(sink.film) == made.frames == 9 + 12 * (made.chunks - 1)


@pytest.mark.parametrize("where", ["begin", "denoise", "decode", "write", "check", "on_chunk"])
def test_a_failure_anywhere_ends_the_run_with_itself(where):
    failure = OutputError(f"{where} failed")

    def fail(*_args):
        raise failure

    def slow(*_args):
        left.wait(2)  # longer than the sink is left unwatched
        raise OutputError("nobody looked at the sink")

    left = threading.Event()

    def broken(cut):
        if where == "begin":
            raise failure
        session = begin(cut)
        if where == "check":
            session.denoise = slow
        if where in ("denoise", "decode"):
            setattr(session, where, fail)
        return session

    sink = Kept()
    if where in ("write", "check"):
        setattr(sink, where, fail)
    with pytest.raises(OutputError, match=f"{where} failed"):
        run(told(6), sink, begin=broken, on_chunk=fail if where == "on_chunk" else lambda _: None)
    left.set()
    for thread in threading.enumerate():
        if thread.name in ("denoise", "decode"):
            thread.join(5)
            assert not thread.is_alive()


def test_a_length_a_chunk_cannot_have_is_a_bug_that_is_seen():
    with pytest.raises(ValueError, match="chunk 0 has 9 frames, not 10"):
        run(told(1, frames=10))
