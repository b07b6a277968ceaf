"""Sessions on one model: independent, reproducible, of bounded memory."""

from dataclasses import replace

import pytest
import torch

from lingbot_cli.errors import UsageError
from lingbot_cli.model.session import Session
from tests.support.reference import sample_image, tiny_world, walk


def session(seed: int = 1, image_seed: int = 0, world=None, **more) -> Session:
    return Session(
        world or tiny_world(), sample_image(seed=image_seed), height=48, width=80, seed=seed, **more
    )


def test_frames_of_first_and_later_chunks():
    video = session()
    first, second = (video.step(control) for control in walk(2))
    assert first.shape == (9, 48, 80, 3)
    assert second.shape == (12, 48, 80, 3)
    assert first.dtype == torch.uint8


def test_two_sessions_in_turn_give_what_each_gives_alone():
    weights = {name: value.clone() for name, value in tiny_world().transformer.state_dict().items()}
    first, second = session(1, 0), session(2, 9)
    turns = [(first.step(control), second.step(control)) for control in walk(4)]
    alone = session(1, 0), session(2, 9)
    for index, made in enumerate(turns):
        for video, frames in zip(alone, made, strict=True):
            assert torch.equal(video.step(walk(4)[index]), frames)
    for name, value in tiny_world().transformer.state_dict().items():
        assert torch.equal(value, weights[name])


def test_the_first_chunks_are_equal_at_any_length_and_other_seeds_differ():
    short = [session().denoise(control) for control in walk(1)]
    video = session()
    long = [video.denoise(control) for control in walk(5)]
    assert torch.equal(short[0], long[0])
    assert not torch.equal(session(seed=2).denoise(walk(1)[0]), short[0])


def test_the_camera_and_the_prompt_matter():
    still = [replace(control, poses=control.poses[:1].repeat(3, axis=0)) for control in walk(1)]
    base = session().denoise(walk(1)[0])
    assert not torch.equal(session().denoise(still[0]), base)
    assert not torch.equal(session().denoise(walk(1, prompt="snow falls")[0]), base)


def test_a_standing_prompt_is_encoded_once():
    asked = []

    class Counting:
        def encode(self, prompt: str) -> torch.Tensor:
            asked.append(prompt)
            return tiny_world().text_encoder.encode(prompt)

    video = session(world=replace(tiny_world(), text_encoder=Counting()))
    for control, prompt in zip(walk(4), ["day", "day", "night", "night"], strict=True):
        video.denoise(replace(control, prompt=prompt))
    assert asked == ["day", "night"]


def test_recache_rewrites_the_memory_under_the_new_prompt():
    def last(recache: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        video = session()
        for control in walk(4):
            video.denoise(control)
        video._set_prompt(replace(walk(1)[0], prompt="night", recache=recache))
        return video._cache.slot_frames, [buffer.clone() for (buffer,) in video._cache._buffers]

    held, kept = last(recache=False)
    held_anew, anew = last(recache=True)
    assert held_anew == held
    # The first block's keys and values come before any text; every later block has heard the prompt.
    torch.testing.assert_close(anew[0], kept[0], atol=1e-5, rtol=0)
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(anew[2:], kept[2:], strict=True))


def test_recache_under_the_same_words_changes_nothing_while_all_is_held():
    video = session()
    for control in walk(2):
        video.denoise(control)
    kept = [buffer.clone() for (buffer,) in video._cache._buffers]
    video._rebuild_cache()
    for before, (after,) in zip(kept, video._cache._buffers, strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def test_recache_refills_the_buffers_bit_equal_to_new_ones():
    caches = []
    for anew in (False, True):
        video = session()
        for control in walk(5):
            video.denoise(control)
        addresses = [buffer.data_ptr() for (buffer,) in video._cache._buffers]
        if anew:
            video._cache = video._new_cache()
        video._set_prompt(replace(walk(1)[0], prompt="night", recache=True))
        assert anew or [buffer.data_ptr() for (buffer,) in video._cache._buffers] == addresses
        caches.append(video._cache)
    refilled, new = caches
    assert refilled.slot_frames == new.slot_frames
    for (before,), (after,) in zip(refilled._buffers, new._buffers, strict=True):
        assert torch.equal(refilled._read(before), new._read(after))


@pytest.mark.parametrize("known", [1, 3, 5])
def test_recalled_chunks_leave_the_memory_that_making_them_left(known):
    controls = [
        replace(control, prompt=prompt, recache=True)
        for control, prompt in zip(
            walk(7), ["day", "day", "night", "night", "day", "day", "rain"], strict=True
        )
    ]
    first = session()
    made = [first.denoise(control) for control in controls]
    second = session()
    for control, latents in zip(controls[:known], made, strict=False):
        second.replay(control, latents)
    for control, latents in zip(controls[known:], made[known:], strict=True):
        assert torch.equal(second.denoise(control), latents)


def test_skipped_chunks_move_time_and_camera_on_but_are_not_remembered():
    video, told = session(), walk(4)
    for control in told[:2]:
        video.skip(control)
    assert (video.latent, video.chunk) == (6, 2)
    assert not video._cache.slot_frames
    latents = video.denoise(told[2])
    assert sorted(video._cache.slot_frames.values()) == [6, 7, 8]
    assert not torch.equal(latents, session().denoise(told[0]))


def test_a_long_film_holds_no_more_than_its_window():
    video = session()
    for control in walk(12):
        video.denoise(control)
    assert len(video._past_chunks) <= 4
    assert video._past_chunks[0].start == 0
    assert video.latent == 36


@pytest.mark.parametrize(("height", "width"), [(50, 80), (48, 8), (0, 16)])
def test_a_size_that_is_not_made_of_cells_is_refused(height, width):
    with pytest.raises(UsageError, match="multiples of 16"):
        Session(tiny_world(), sample_image(), height=height, width=width)
