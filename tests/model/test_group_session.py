"""The leader of a process group: calls in order, idle messages, and no call after one that failed."""

import gc
from types import SimpleNamespace

import pytest
import torch

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model import group_session
from lingbot_cli.model.group_session import (
    FollowerPrompts,
    GroupLeader,
    LeaderPrompts,
    follow,
    lead,
    open_session,
)
from lingbot_cli.model.process_group import PeerLostError
from tests.support.processes import wait_until
from tests.support.reference import sample_image, tiny_world, walk


@pytest.fixture
def sent(monkeypatch):
    """Replace the group by a list of the leader's messages."""
    messages = []

    def broadcast(value):
        messages.append(value)
        return value

    monkeypatch.setattr(group_session, "broadcast_object", broadcast)
    monkeypatch.setattr(group_session, "before_disconnect", lambda _call: None)
    return messages


def play_back(messages, monkeypatch):
    """Return a function that receives the messages in order, then loses the leader."""
    left = iter(messages)

    def receive(_value):
        try:
            return next(left)
        except StopIteration:
            raise PeerLostError("gone") from None

    monkeypatch.setattr(group_session, "broadcast_object", receive)


def test_a_follower_repeats_the_leaders_calls_with_its_prompts(sent, monkeypatch):
    model = lead(tiny_world(window=9))
    session = open_session(model, sample_image(), height=32, width=32, seed=3)
    controls = walk(3)
    session.denoise(controls[0])
    session.set_window(6)
    expected = [session.denoise(control) for control in controls[1:]]
    assert [m[2] for m in sent if isinstance(m, tuple)] == [
        "start",
        "denoise",
        "set_window",
        "denoise",
        "denoise",
    ]
    made = []

    class Recorded(group_session.Session):
        def denoise(self, control):
            made.append(super().denoise(control))
            return made[-1]

    monkeypatch.setattr(group_session, "Session", Recorded)
    play_back(sent, monkeypatch)
    follow(tiny_world(window=9))
    assert all(torch.equal(one, other) for one, other in zip(expected, made[1:], strict=True))


def test_a_session_that_ended_is_released_with_the_next_call(sent):
    model = lead(tiny_world())
    first = open_session(model, sample_image(), height=32, width=32)
    del first
    gc.collect()
    open_session(model, sample_image(), height=32, width=32)
    assert [message[:2] for message in sent] == [([], 1), ([1], 2)]


def test_a_wrong_size_is_refused_before_anything_is_sent(sent):
    with pytest.raises(UsageError):
        open_session(lead(tiny_world()), sample_image(), height=30, width=32)
    assert sent == []


@pytest.mark.parametrize(
    ("error", "failed"), [(UsageError("no"), False), (RuntimeError(), True), (PeerLostError("gone"), True)]
)
def test_no_call_follows_one_that_failed_in_the_middle(sent, error, failed):
    leader = GroupLeader()
    with pytest.raises(type(error)), leader.calling(1, "denoise"):
        raise error
    assert leader.failed == failed
    if failed:
        with pytest.raises(SetupError, match="a chunk failed"), leader.calling(1, "denoise"):
            pass
    assert len(sent) == 1


def test_an_idle_group_gets_messages(sent, monkeypatch):
    monkeypatch.setattr(group_session, "KEEP_ALIVE_INTERVAL_S", 0.01)
    leader = GroupLeader()
    wait_until(lambda: len(sent) > 2)
    leader.stop()
    assert sent[-1] is None
    assert sent[0] == ([], 0, "", ())


def test_a_prompt_that_cannot_be_encoded_fails_on_the_leader_alone(sent, monkeypatch):
    def encode(_prompt):
        raise UsageError("too long")

    with pytest.raises(UsageError):
        LeaderPrompts(SimpleNamespace(encode=encode)).encode("a")
    play_back(sent, monkeypatch)
    with pytest.raises(group_session.LeaderFailedError):
        FollowerPrompts().encode("a")
