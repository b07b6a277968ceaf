"""A prompt is encoded beside the chunks: its session plays on until then, and others never wait."""

import threading
from concurrent.futures import Future
from dataclasses import replace

import pytest

from lingbot_cli.errors import SetupError
from lingbot_cli.image import crop_to_aspect
from lingbot_cli.model.loading.prompt_cache import CachedPromptEncoder
from lingbot_cli.model.session import Session
from lingbot_cli.server.input_queue import InputQueue
from lingbot_cli.server.pending_prompt import PendingPrompt
from lingbot_cli.server.protocol import ClientLimits
from lingbot_cli.server.service import SessionDefaults
from lingbot_cli.server.session_pool import PoolLimits
from lingbot_cli.timeline.schema import CameraSettings
from tests.support.chromium import chromium, needs_chromium
from tests.support.realtime_client import init
from tests.support.reference import TinyText, sample_image, tiny_world, walk
from tests.support.serving import TOKEN, serving

WAIT_S = 60


class SlowText:
    """Loader of a text encoder, and the encoder, that waits until it may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.threads: set[str] = set()
        self.damaged = False

    def load(self):
        self.threads.add(threading.current_thread().name)
        assert self.go_on.wait(WAIT_S)
        if self.damaged:
            raise SetupError("text.safetensors is damaged")
        return self

    def encode(self, cleaned):
        self.threads.add(threading.current_thread().name)
        return TinyText().encode(cleaned)


@pytest.fixture
def text():
    return SlowText()


@pytest.fixture
def served(text, tmp_path):
    known = CachedPromptEncoder(TinyText, identity="text", dim=48, folder=tmp_path)
    known.encode("a courtyard")
    encoder = CachedPromptEncoder(text.load, identity="text", dim=48, folder=tmp_path)
    world = replace(tiny_world(), text_encoder=encoder, prepare_prompt=encoder.prepare)
    offer = SessionDefaults(sample_image(), "a courtyard", height=32, width=32, camera=CameraSettings())
    with serving(PoolLimits(slots=2, grace_s=20), world=world, offer=offer) as found:
        yield found


def test_a_prompt_counts_from_the_first_chunk_after_it_is_encoded_and_nobody_waits(served, text):
    still = init(condition_inputs={"camera_actions": [["l"]]})
    with served.client() as player, served.client() as other:
        player.send(**still)
        chunks = [player.chunk() for _ in range(2)]
        player.event("prompt", "it rains", event_id=5)
        other.send(**init(prompt="snow falls"))
        other.until("session", state="started")
        chunks += [player.chunk() for _ in range(5)]  # while the encoder is loaded for both
        assert not any(5 in stats["event_ids"] for _, stats in chunks)
        text.go_on.set()
        assert len(other.chunk()[0]) == 9
        while 5 not in chunks[-1][1]["event_ids"]:
            chunks.append(player.chunk())
        player.socket.socket.close()
    change = len(chunks) - 1
    assert [stats["prompt"] for _, stats in chunks] == ["a courtyard"] * change + ["it rains"]
    assert text.threads == {"text encoder"}
    with served.client() as again:  # now the prompt is known: it counts from the next chunk on
        again.send(**still, realtime_output_pacing=True)
        frames = [again.chunk()[0] for _ in range(2)]
        again.event("prompt", "it rains", event_id=6)
        stats = again.until("chunk_stats")
        assert 6 in stats["event_ids"] or 6 in again.chunk()[1]["event_ids"]
    assert all((one == other).all() for one, (other, _) in zip(frames, chunks, strict=False))


def test_a_chunk_of_given_poses_waits_for_its_own_prompt(served, text):
    with served.client() as player, served.client() as other:
        player.send(**init(controls=True, max_chunks=2, scale=1.0))
        other.send(**init())
        controls = [
            replace(control, prompt=text)
            for control, text in zip(walk(2), ("a courtyard", "fog"), strict=True)
        ]
        for control in controls:
            player.event(
                "control",
                {
                    "poses": control.poses.reshape(-1, 16).tolist(),
                    "intrinsics": control.intrinsics.tolist(),
                    "actions": control.actions.tolist(),
                    "prompt": control.prompt,
                },
            )
        frames = [player.chunk()[0]]
        for _ in range(3):
            other.chunk()
        text.go_on.set()
        frames.append(player.chunk()[0])
    whole = Session(
        tiny_world(), crop_to_aspect(sample_image(48, 64), 32, 32), height=32, width=32, seed=42, scale=1.0
    )
    expected = [whole.step(control).numpy() for control in controls]
    assert all((one == other).all() for one, other in zip(frames, expected, strict=True))
    assert text.threads == {"text encoder"}


def test_a_prompt_that_cannot_be_encoded_leaves_the_session_as_it_is(served, text):
    text.damaged = True
    text.go_on.set()
    with served.client() as player:
        player.send(**init())
        player.chunk()
        player.event("prompt", "it rains", event_id=5)
        error = player.until("error")
        assert error["code"] == "prompt_failed"
        assert error["content"] == "the prompt cannot be encoded: text.safetensors is damaged"
        assert player.chunk()[1]["prompt"] == "a courtyard"
    with served.client() as player:
        player.send(**init(prompt="it rains"))
        assert player.until("error")["content"] == "text.safetensors is damaged"


def test_prompts_that_the_server_cannot_encode_are_no_rejected_messages():
    def prepare(prompt):
        if prompt == "a courtyard":
            return None
        failed = Future()
        failed.set_exception(SetupError("text.safetensors is damaged"))
        return failed

    world = replace(tiny_world(), prepare_prompt=prepare)
    with serving(limits=ClientLimits(max_rejected=2), world=world) as served, served.client() as player:
        player.send(**init())
        for prompt in ("it rains", "snow falls", "night falls"):
            player.event("prompt", prompt)
            assert player.until("error")["code"] == "prompt_failed"
        player.chunk()


class LateFuture(Future):
    """An encoding that ends right after it was found unfinished."""

    def done(self):
        before = super().done()
        if not before:
            self.set_result(None)
        return before


def test_a_prompt_that_is_encoded_while_its_chunk_begins_to_wait_is_noticed():
    world = replace(tiny_world(), prepare_prompt=lambda _: LateFuture())
    with serving(world=world) as served, served.client() as player:
        player.send(**init())
        player.chunk()


@needs_chromium
def test_the_page_shows_a_prompt_as_pending_until_its_chunk(served, text, tmp_path):
    state = "document.getElementById('prompt-state').textContent"
    with chromium(tmp_path) as browser:
        tab = browser.open(f"http://127.0.0.1:{served.port}/?token={TOKEN}")
        tab.until("document.body.dataset.shown > 3")
        for damaged, shown in ((True, ""), (False, "applied")):
            text.damaged = damaged
            text.go_on.clear()
            tab.ask("document.getElementById('prompt').value = 'it rains'")
            tab.ask("document.getElementById('send').click()")
            tab.chunks(2)
            assert tab.ask(state) == "pending"
            assert tab.data()["prompt"] == "a courtyard"
            text.go_on.set()
            tab.until(f"{state} === '{shown}'")
        tab.until("document.body.dataset.prompt === 'it rains'")
        assert "text.safetensors is damaged" in tab.ask("document.body.textContent")


def test_one_prompt_is_encoded_at_a_time_and_the_newest_is_taken():
    started: dict[str, Future[None]] = {}
    inputs = InputQueue([], ClientLimits())
    prompt = PendingPrompt(lambda text: started.setdefault(text, Future()), inputs)
    for number, text in enumerate(("a", "b", "c")):
        prompt.set(text, number)
        assert inputs.sample(3).prompt is None
    assert list(started) == ["a"]
    started["a"].set_result(None)
    prompt.apply()
    assert list(started) == ["a", "c"]
    started["c"].set_result(None)
    assert inputs.sample(3).event_ids == ()
    prompt.apply()
    assert not prompt
    sampled = inputs.sample(3)
    assert (sampled.prompt, sampled.event_ids, sampled.event_id) == ("c", (0, 1, 2), 2)
