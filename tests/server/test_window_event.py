"""Event `window`: another attention window in the middle of a session, within the server's limit."""

from dataclasses import replace

import numpy as np
import pytest

from lingbot_cli.model.session import Session
from tests.support.realtime_client import init, png
from tests.support.reference import sample_image, tiny_world, walk
from tests.support.serving import serving


def render(windows):
    """Return the latents of six chunks of a session whose window changes before chunks of `windows`."""
    session = Session(tiny_world(window=9), sample_image(), height=32, width=32)
    latents = []
    for index, control in enumerate(walk(6)):
        if index in windows:
            session.set_window(windows[index])
        latents.append(session.denoise(control))
    return latents


def test_a_smaller_window_acts_from_its_chunk_on():
    whole, changed = render({}), render({4: 6})
    assert all(one.equal(other) for one, other in zip(whole[:4], changed[:4], strict=True))
    assert not whole[4].equal(changed[4])


def test_a_window_that_is_already_set_changes_nothing():
    assert all(one.equal(other) for one, other in zip(render({}), render({3: 9}), strict=True))


def test_a_change_before_the_window_is_full_equals_a_session_that_began_with_it():
    small = Session(tiny_world(window=6), sample_image(), height=32, width=32)
    latents = [small.denoise(control) for control in walk(6)]
    assert all(one.equal(other) for one, other in zip(latents, render({1: 6}), strict=True))


def test_a_prompt_recached_after_a_change_sees_the_new_window_alone():
    small, changed = (
        Session(tiny_world(window=window), sample_image(), height=32, width=32) for window in (6, 9)
    )
    controls = walk(5)
    for control in controls[:4]:
        latents = small.denoise(control)
        changed.replay(control, latents)
    changed.set_window(6)
    last = replace(controls[4], prompt="another", recache=True)
    assert small.denoise(last).equal(changed.denoise(last))


@pytest.fixture(scope="module")
def wide():
    with serving(world=tiny_world(window=9)) as found:
        yield found


def played(wide, windows):
    """Return the frames of five chunks of given poses; a window is set before chunks of `windows`."""
    with wide.client() as player:
        player.send(**init(controls=True, max_chunks=5, first_frame=png()))
        for index, control in enumerate(walk(5)):
            if index in windows:
                player.event("window", {"frames": windows[index]}, event_id=7)
            fields = {
                "poses": control.poses.reshape(-1, 16).tolist(),
                "intrinsics": control.intrinsics.tolist(),
                "actions": control.actions.tolist(),
            }
            player.event("control", {**fields, "prompt": "a courtyard"})
            player.until("chunk_stats", chunk_index=index)
        frames = [m["payload"] for m in player.messages if m["type"] == "frame_batch"]
        return [np.frombuffer(each, np.uint8) for each in frames]


def test_a_client_changes_the_window_in_mid_session(wide):
    whole, changed = played(wide, {}), played(wide, {4: 6.0})
    assert all((one == other).all() for one, other in zip(whole[:4], changed[:4], strict=True))
    assert not (whole[4] == changed[4]).all()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"frames": 3}, "window: frames must be 4 to 9 here, not 3"),
        ({"frames": 10}, "window: frames must be 4 to 9 here, not 10"),
        ({"frames": 6.5}, "window: frames"),
        ({}, "window: frames"),
        ({"frames": 6, "more": 1}, "window: more"),
    ],
)
def test_a_window_that_does_not_fit_is_refused_and_the_session_goes_on(wide, payload, reason):
    with wide.client() as player:
        player.send(**init(first_frame=png()))
        player.until("chunk_stats")
        player.event("window", payload)
        assert player.until("error")["content"].startswith(reason)
        player.until("chunk_stats")


def test_a_model_without_a_window_has_none_to_change():
    with serving(world=tiny_world(window=-1, sink=0)) as found, found.client() as player:
        player.send(**init(first_frame=png()))
        player.until("chunk_stats")
        player.event("window", {"frames": 6})
        assert player.until("error")["content"] == "this model's window cannot be changed"
