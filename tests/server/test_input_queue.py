"""What chunks are told: newest prompts, scripts in order, states held, taps counted."""

import pytest

from lingbot_cli.server.client_messages import ActionScript, ActionStates
from lingbot_cli.server.input_queue import InputQueue
from lingbot_cli.server.pacing import ChunkPacer
from lingbot_cli.server.protocol import Limits, ProtocolError, RateLimiter


def conditions(script=()):
    return InputQueue(list(script), Limits(script_frames=8))


def test_scripts_are_first_in_first_out_and_padded():
    told = conditions(["w"])
    told.act(ActionScript(("l", "")), 1)
    told.act(ActionScript(("k", "i")), 2)
    assert told.sample(3).keys == ("w", "l", "")
    second = told.sample(3)
    assert second.keys == ("k", "i", "")
    assert second.event_ids == ()
    assert told.sample(2).keys == ("", "")


def test_a_state_is_held_until_it_changes_and_replaces_a_script():
    told = conditions(["w", "w"])
    told.act(ActionStates(("l",)), 7)
    first = told.sample(3)
    assert (first.keys, first.event_ids) == (("l",) * 3, (7,))
    assert told.sample(3).keys == ("l",) * 3
    told.act(ActionStates(("",)))
    assert told.sample(3).keys == ("",) * 3
    told.act(ActionStates(("d",)))
    told.act(ActionScript(("w",)))
    assert told.sample(2).keys == ("w", "")


@pytest.mark.parametrize(
    "said",
    [
        [ActionStates(("w", ""))],  # both changes in one event
        [ActionStates(("w",)), ActionStates(("",))],  # one event each
    ],
)
def test_a_tap_between_two_chunks_counts_one_latent_frame(said):
    told = conditions()
    for each in said:
        told.act(each)
    assert told.sample(3).keys == ("w", "", "")
    assert told.sample(3).keys == ("", "", "")


def test_taps_beside_a_held_key_and_more_taps_than_frames():
    told = conditions()
    told.act(ActionStates(("w",)))
    assert told.sample(2).keys == ("w", "w")
    told.act(ActionStates(("wl", "w")))  # w was heard already, l is new
    assert told.sample(2).keys == ("wl", "w")
    told.act(ActionStates(("j", "", "k", "", "i", "")))
    assert told.sample(2).keys == ("j", "k")
    assert told.sample(2).keys == ("i", "")


def test_letting_go_of_what_was_heard_is_no_tap():
    told = conditions()
    told.act(ActionStates(("w",)))
    told.sample(3)
    told.act(ActionStates(("",)))
    assert told.sample(3).keys == ("", "", "")


def test_the_newest_prompt_wins_and_is_told_once():
    told = conditions()
    told.say("first", 1)
    told.say("second", 2)
    sampled = told.sample(1)
    assert (sampled.prompt, sampled.event_ids) == ("second", (1, 2))
    assert told.sample(1).prompt is None


def test_a_script_that_does_not_fit_leaves_all_as_it_was():
    told = conditions()
    told.act(ActionScript(("w",) * 6))
    with pytest.raises(ProtocolError):
        told.act(ActionScript(("s",) * 3), 5)
    sampled = told.sample(8)
    assert sampled.keys == ("w",) * 6 + ("", "")
    assert sampled.event_ids == ()


def test_a_chunk_is_begun_as_late_as_it_may_be():
    pace = ChunkPacer()
    pace.sent(lasts=1.0, making=0.3, now=10.0)
    assert pace.until_due(10.2) == pytest.approx(0.8)
    assert pace.until_begin(10.2) == pytest.approx(0.45)
    pace.sent(lasts=1.0, making=2.0, now=12.5)  # too slow: it is due at once, and what comes is begun at once
    assert pace.until_begin(12.6) == 0
    assert pace.due == pytest.approx(13.5)


def test_an_allowance_is_so_many_a_second():
    allowance = RateLimiter(3)
    assert [allowance.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.take(0.34)
    assert not allowance.take(0.35)
    assert [allowance.take(9.0) for _ in range(4)] == [True, True, True, False]
