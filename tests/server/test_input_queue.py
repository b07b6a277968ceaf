"""Sampling of prompts, scripts, key states and taps."""

import pytest

from lingbot_cli.broadcast.just_in_time import ChunkPacer
from lingbot_cli.server.client_messages import ActionScript, ActionStates
from lingbot_cli.server.input_queue import InputQueue
from lingbot_cli.server.protocol import ClientLimits, RateLimiter


def queue(script=()):
    return InputQueue(list(script), ClientLimits(max_script_frames=8))


def test_a_script_is_played_in_order_and_padded():
    inputs = queue(["w"])
    inputs.push_actions(ActionScript(("l", "", "k", "i")), 1)
    assert inputs.sample(3).keys == ("l", "", "k")
    second = inputs.sample(3)
    assert second.keys == ("i", "", "")
    assert second.event_ids == ()
    assert inputs.sample(2).keys == ("", "")


def test_a_second_script_replaces_the_rest_of_the_first():
    inputs = queue()
    inputs.push_actions(ActionScript(("w",) * 9), 1)
    assert inputs.sample(3).keys == ("w",) * 3
    inputs.push_actions(ActionScript(("l", "k")), 2)
    assert inputs.sample(4).keys == ("l", "k", "", "")


def test_an_event_is_named_as_long_as_its_effect_holds():
    inputs = queue()
    assert inputs.sample(3).event_id is None
    inputs.push_actions(ActionStates(("w",)), 4)
    assert [inputs.sample(3).event_id for _ in range(2)] == [4, 4]
    inputs.set_prompt("it rains", 5)
    assert [inputs.sample(3).event_id for _ in range(2)] == [5, 5]
    inputs.push_actions(ActionScript(("l",) * 4), 6)
    assert [inputs.sample(3).event_id for _ in range(3)] == [6, 6, 5]  # the script is over, the prompt is not
    inputs.add_event(7)
    assert [inputs.sample(3).event_id for _ in range(2)] == [7, 5]


def test_events_are_reported_in_order_and_one_that_repeats_the_last_once():
    inputs = queue()
    for event_id in (1, 1, None, 2, None, 1):
        inputs.add_event(event_id)
    sampled = inputs.sample(3)
    assert (sampled.event_ids, sampled.event_id) == ((1, 2, 1), 1)
    inputs.add_event(3)
    inputs.add_event(4)
    sampled = inputs.sample(3)
    assert (sampled.event_ids, sampled.event_id) == ((3, 4), 4)
    inputs.add_event(None)
    sampled = inputs.sample(3)
    assert (sampled.event_ids, sampled.event_id) == ((), None)


def test_a_key_state_lasts_until_it_changes_and_replaces_a_script():
    inputs = queue(["w", "w"])
    inputs.push_actions(ActionStates(("l",)), 7)
    first = inputs.sample(3)
    assert (first.keys, first.event_ids) == (("l",) * 3, (7,))
    assert inputs.sample(3).keys == ("l",) * 3
    inputs.push_actions(ActionStates(("",)))
    assert inputs.sample(3).keys == ("",) * 3
    inputs.push_actions(ActionStates(("d",)))
    inputs.push_actions(ActionScript(("w",)))
    assert inputs.sample(2).keys == ("w", "")


@pytest.mark.parametrize(
    "events",
    [
        [ActionStates(("w", ""))],  # both changes in one event
        [ActionStates(("w",)), ActionStates(("",))],  # one event each
    ],
)
def test_a_tap_between_two_chunks_counts_one_latent_frame(events):
    inputs = queue()
    for each in events:
        inputs.push_actions(each)
    assert inputs.sample(3).keys == ("w", "", "")
    assert inputs.sample(3).keys == ("", "", "")


def test_taps_beside_a_held_key_and_more_taps_than_frames():
    inputs = queue()
    inputs.push_actions(ActionStates(("w",)))
    assert inputs.sample(2).keys == ("w", "w")
    inputs.push_actions(ActionStates(("wl", "w")))  # w was sampled before, l is new
    assert inputs.sample(2).keys == ("wl", "w")
    inputs.push_actions(ActionStates(("j", "", "k", "", "i", "")))
    assert inputs.sample(2).keys == ("j", "k")
    assert inputs.sample(2).keys == ("i", "")


def test_the_release_of_a_sampled_key_is_no_tap():
    inputs = queue()
    inputs.push_actions(ActionStates(("w",)))
    inputs.sample(3)
    inputs.push_actions(ActionStates(("",)))
    assert inputs.sample(3).keys == ("", "", "")


def test_the_newest_prompt_wins_and_is_sampled_once():
    inputs = queue()
    inputs.set_prompt("first", 1)
    inputs.set_prompt("second", 2)
    sampled = inputs.sample(1)
    assert (sampled.prompt, sampled.event_ids) == ("second", (1, 2))
    assert inputs.sample(1).prompt is None


def test_a_chunk_is_rendered_as_late_as_possible():
    pacer = ChunkPacer()
    pacer.chunk_sent(duration_s=1.0, render_s=0.3, now=10.0)
    assert pacer.send_delay(10.2) == pytest.approx(0.8)
    assert pacer.render_delay(10.2) == pytest.approx(0.45)
    pacer.chunk_sent(duration_s=1.0, render_s=2.0, now=12.5)  # too slow: render at once
    assert pacer.render_delay(12.6) == 0
    assert pacer.due == pytest.approx(13.5)


def test_the_rate_limiter_allows_its_rate_and_one_burst():
    limiter = RateLimiter(3)
    assert [limiter.allow(0.0) for _ in range(4)] == [True, True, True, False]
    assert limiter.allow(0.34)
    assert not limiter.allow(0.35)
    assert [limiter.allow(9.0) for _ in range(4)] == [True, True, True, False]
