"""Sessions of lost clients stay as long as they fit in memory, by bytes; more sessions than fit are refused."""

from dataclasses import replace

import pytest

from lingbot_cli.errors import InsufficientMemoryError
from lingbot_cli.model.session import Session
from lingbot_cli.presets import PRESETS
from lingbot_cli.render import preflight
from lingbot_cli.runtime.memory import MemorySetup, estimate_memory
from lingbot_cli.runtime.memory_check import check_fits
from lingbot_cli.runtime.session_memory import SessionMemory
from lingbot_cli.server.session_pool import PoolLimits, SessionPool
from tests.server.test_session_pool import wait_for
from tests.support.command import lingbot
from tests.support.realtime_client import init
from tests.support.reference import sample_image, tiny_world, walk
from tests.support.serving import serving

GPU = MemorySetup(32, 32, device="cuda", precision="float32", decode="float32", live=True)
LARGE = PRESETS["lingbot-world-v2-14b-causal-fast"]

SETTLED_CHUNKS = 5
WORLD = replace(tiny_world(), preset=replace(tiny_world().preset, vae_dim=8))


def memory(sessions: float, setup: MemorySetup = GPU, host: int = 10**9) -> SessionMemory:
    """Return room for a number of sessions of the default size."""
    preset = WORLD.preset
    one = SessionMemory(preset, setup, 0, 0).session_bytes(preset, setup.height, setup.width)
    return SessionMemory(preset, setup, int(sessions * one), host)


def room(sessions: int) -> SessionMemory:
    """Return room for sessions whose image has left the encoder, and for half of a new one."""
    settled = Session(WORLD, sample_image(), height=32, width=32)
    for control in walk(SETTLED_CHUNKS):
        settled.start(control)
    half = memory(0.5)
    return replace(half, on_device=half.on_device + sessions * settled.nbytes)


def leave(served, size="32x32", chunks=SETTLED_CHUNKS, **settings):
    """Play some chunks, and vanish."""
    with served.client() as client:
        client.send(**init(size=size, **settings))
        key = client.until("session")["resume"]
        for _ in range(chunks):
            client.chunk()
        client.socket.socket.close()
    wait_for(served, sessions=0)
    return key


def is_there(served, key):
    with served.client() as client:
        client.send(**init(resume=key))
        try:
            return client.receive().get("state") == "resumed"
        except Exception:
            return False
        finally:
            client.socket.socket.close()


def test_as_many_sessions_stay_as_fit():
    with serving(PoolLimits(grace_s=600), world=WORLD, memory=room(5)) as served:
        keys = [leave(served) for _ in range(6)]
        assert wait_for(served, worlds_kept=5)["lingbot_worlds_evicted_total"] == 1
        # One and a half times the size, and not yet settled, takes the place of two others.
        keys.append(leave(served, "48x32"))
        assert wait_for(served, worlds_kept=4)["lingbot_worlds_evicted_total"] == 3
        assert [is_there(served, key) for key in (*keys[1:4], keys[-1])] == [False, False, True, True]


def test_a_new_session_takes_the_place_of_one_that_waits():
    with serving(PoolLimits(grace_s=600), world=WORLD, memory=room(2)) as served:
        leave(served)
        leave(served)
        wait_for(served, worlds_kept=2)
        with served.client() as client:
            client.send(**init())
            client.chunk()
            wait_for(served, worlds_kept=1)


def test_the_frames_that_wait_to_be_sent_count_too():
    frames = 9 * 32 * 32 * 3 + 32 * 32 * 3
    with serving(PoolLimits(grace_s=600), world=WORLD, memory=memory(9, host=int(3.5 * frames))) as served:
        for _ in range(4):
            leave(served, chunks=1, fps=1, realtime_output_pacing=True)
        wait_for(served, worlds_kept=3)


def test_without_limits_none_is_dropped():
    with serving(PoolLimits(grace_s=600)) as served:
        for _ in range(6):
            leave(served, chunks=1)
        wait_for(served, worlds_kept=6)


@pytest.mark.parametrize("size", [(32, 32), (48, 80)])
def test_a_session_holds_what_is_estimated(size):
    session = Session(WORLD, sample_image(), height=size[0], width=size[1])
    held = [session.start(control) and session.nbytes for control in walk(4)]
    estimated = memory(1).session_bytes(WORLD.preset, *size)
    assert 0.85 * estimated < held[0] <= estimated
    assert held == sorted(held, reverse=True)  # the encoder drops what it no longer needs


def test_the_plan_of_live_sessions_holds_each_of_them_and_the_text_encoder():
    setup = MemorySetup(480, 832, device="cuda", precision="bfloat16", decode="float16")
    one, four = (estimate_memory(LARGE, replace(setup, sessions=count, live=True)) for count in (1, 4))
    session = SessionMemory(LARGE, setup, 0, 0).session_bytes(LARGE, 480, 832)
    assert four.peak - one.peak == 3 * session
    assert estimate_memory(LARGE, replace(setup, live=True, offload=True)).host == pytest.approx(
        estimate_memory(LARGE, replace(setup, offload=True)).host + 2 * 5_680_910_336, rel=0.01
    )
    beside, before = (
        estimate_memory(LARGE, replace(setup, text_on="cuda", live=live)) for live in (True, False)
    )
    assert beside.peak == before.peak + before.text


def test_what_a_chunk_needs_is_not_for_sessions():
    setup = MemorySetup(480, 832, device="cuda", precision="bfloat16", decode="float16", live=True)
    needed = estimate_memory(LARGE, setup)
    room = SessionMemory.beside(LARGE, setup, needed, needed.peak, 64 * 10**9)
    assert room.sessions == 1
    assert room.holds(room.session_bytes(LARGE, 480, 832), 10**9)
    assert not room.holds(room.session_bytes(LARGE, 480, 832) + 1, 10**9)
    assert not room.holds(0, 64 * 10**9)
    with pytest.raises(InsufficientMemoryError, match="on cuda for 3 sessions") as error:
        check_fits(LARGE, replace(setup, sessions=3), needed.peak, 64 * 10**9)
    assert "--sessions 1 (saves " in str(error.value.hint)


def test_no_more_play_at_their_rate_than_fit():
    assert SessionPool(PoolLimits(slots=16, min_fps=16), memory(3.2))._memory.sessions == 3
    pool = SessionPool(PoolLimits(slots=16, min_fps=1), memory(3.2))
    pool.capacity.chunk_rendered(1000, 1)
    assert pool.capacity.players == 3


@pytest.mark.parametrize("command", [("serve", "--sessions", "9"), ("play",)])
def test_commands_ask_before_anything_is_loaded(command, monkeypatch):
    monkeypatch.setattr(preflight, "free_ram", lambda: 10**8)
    monkeypatch.setattr("lingbot_cli.runtime.load_model.load_tuned", lambda *_, **__: pytest.fail("loaded"))
    done = lingbot(*command, "--device", "cpu")
    assert done.code == 6
    assert "built-in at " in done.stderr
    assert ("for 9 sessions" in done.stderr) == (command[0] == "serve")
