"""A chunk that failed anywhere can be rendered again: the video is the one without the failure, bit for bit."""

import itertools
import random
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lingbot_cli.model import session
from lingbot_cli.model.session import Session
from tests.support.reference import sample_image, tiny_world, walk

CHUNKS = 17  # the image leaves the encoder's memory after 10 chunks, the first latents the decoder's after 13
FAILING_CHUNKS = (0, 1, 6, 9, 15)


class FailingOperation(TorchDispatchMode):
    """Counter of operations, which runs out of memory at the one of a given number."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__()
        self.number, self.count = number, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        if self.count == self.number:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return func(*args, **(kwargs or {}))


def world(**settings):
    base = tiny_world()
    preset = {name: settings.pop(name) for name in ("window", "sink") if name in settings}
    return replace(base, preset=replace(base.preset, **preset), **settings)


def controls(*, recache: bool = False):
    return [
        replace(control, prompt="rain" if index >= 6 else control.prompt, recache=recache)
        for index, control in enumerate(walk(CHUNKS))
    ]


def rendered(video, control):
    latents, frames = video.start(control)
    return latents.numpy().copy(), frames.numpy()


@pytest.mark.parametrize(
    ("settings", "recache"),
    [
        ({"window": -1}, False),
        ({}, True),
        ({"kv_cache": "int8", "reuse_keys": True, "leader": object()}, True),
    ],
    ids=["no window", "recache", "8 bits in a process group"],
)
def test_a_video_of_chunks_that_failed_is_the_same(settings, recache):
    model, chance = world(**settings), random.Random(1)
    whole, failing = (Session(model, sample_image(), height=16, width=16) for _ in range(2))
    for index, control in enumerate(controls(recache=recache)):
        with FailingOperation() as counted:
            expected = rendered(whole, control)
        if index in FAILING_CHUNKS:
            with FailingOperation(chance.randint(1, counted.count)), pytest.raises(torch.OutOfMemoryError):
                rendered(failing, control)
        for one, other in zip(rendered(failing, control), expected, strict=True):
            assert (one == other).all()


def test_frames_that_cannot_be_copied_are_decoded_once_more(monkeypatch):
    settings = {"leader": object()}  # the decoder runs after all processes have denoised
    whole, failing = (Session(world(**settings), sample_image(), height=16, width=16) for _ in range(2))
    copies, copy = itertools.count(1), session.download

    def download(x):
        if next(copies) == 4:  # the frames of the second chunk
            raise torch.OutOfMemoryError("CUDA out of memory")
        return copy(x)

    for index, control in enumerate(walk(4)):
        expected = rendered(whole, control)
        with monkeypatch.context() as patched:
            patched.setattr(session, "download", download)
            if index == 1:
                with pytest.raises(torch.OutOfMemoryError):
                    rendered(failing, control)
            made = rendered(failing, control)
        for one, other in zip(made, expected, strict=True):
            assert (one == other).all()


def test_a_window_is_changed_in_two_attempts():
    whole, failing = (Session(world(), sample_image(), height=16, width=32) for _ in range(2))
    for index, control in enumerate(walk(6)):
        if index in (2, 4):
            frames = 9 if index == 2 else 5
            with FailingOperation() as counted:
                whole.set_window(frames)
            with FailingOperation(counted.count // 2), pytest.raises(torch.OutOfMemoryError):
                failing.set_window(frames)
            failing.set_window(frames)
        for one, other in zip(rendered(failing, control), rendered(whole, control), strict=True):
            assert (one == other).all()


def test_a_failed_denoise_leaves_the_decoder_to_another_thread():
    whole, failing = (Session(world(), sample_image(), height=16, width=32) for _ in range(2))
    first, second = walk(2)
    latents = [failing.denoise(first)]
    with FailingOperation(9), pytest.raises(torch.OutOfMemoryError):
        failing.denoise(second)
    assert torch.equal(failing.decode(latents[0]), whole.step(first))
