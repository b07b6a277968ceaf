"""The words of a prompt that the text encoder cuts are named before anything is loaded."""

import subprocess
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.prompt_cleaning import PromptFitter, join_sentences
from lingbot_cli.render.request import Request, prepare
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.command import lingbot
from tests.support.reference import REFERENCE, sample_image, walk
from tests.support.stream_command import Streaming

MODEL = REFERENCE / "checkpoints" / "diffusers-v1-fast"
LONG = "a stone courtyard in the evening light " * 5 + "with a red door"


def test_what_is_lost_begins_where_the_encoder_stops() -> None:
    checkpoint = read_checkpoint(MODEL)
    length = checkpoint.preset.text_len
    lost = fitter([]).lost_words(LONG)
    assert lost.endswith("red door")
    kept = LONG.removesuffix(lost).strip()
    tokenizer = Tokenizer.from_file(str(checkpoint.layout.tokenizer))
    tokenizer.enable_truncation(length)
    assert tokenizer.encode(kept).ids[: length - 1] == tokenizer.encode(LONG).ids[: length - 1]
    assert fitter([]).lost_words(kept) == ""
    assert fitter([]).lost_words("a gate") == ""


def fitter(warnings: list[str]) -> PromptFitter:
    checkpoint = read_checkpoint(MODEL)
    return PromptFitter(checkpoint.layout.tokenizer, checkpoint.preset.text_len, warnings.append)


def test_the_words_of_actions_are_never_cut_first() -> None:
    warnings: list[str] = []
    fit = fitter(warnings)
    action = "a dog runs by"
    joined = join_sentences([LONG, action])
    fitted = fit(joined, action)
    assert fitted.endswith(f". {action}")
    assert joined.startswith(fitted.removesuffix(f". {action}"))
    assert fit.lost_words(fitted) == ""
    one_more = joined.split()[: len(fitted.removesuffix(action).split()) + 1]
    assert fit.lost_words(join_sentences([" ".join(one_more), action]))
    (warning,) = warnings
    assert "red door" in warning
    assert action not in warning
    assert fit(fitted, action) == fitted
    assert fit("a gate. a dog", "a dog") == "a gate. a dog"
    assert len(warnings) == 1
    assert fit(f"a gate. {LONG}", LONG) == LONG
    assert "lost: “a gate. " in warnings[1]
    assert fit(LONG) == LONG  # the encoder cuts
    assert len(warnings) == 3


def test_a_timeline_keeps_its_actions(tmp_path: Path) -> None:
    timeline = tmp_path / "a.yaml"
    timeline.write_text(
        f"timeline: 1\nprompt: {LONG}\nduration: 2s\nevents:\n  - {{keys: w, for: 2s}}\n"
        "  - {action: a dog runs by, at: 1s, for: 1s}\n"
    )
    request = Request(
        Path("samples/courtyard-day.png"),
        timeline=str(timeline),
        options=ModelOptions(model=str(MODEL), preset="lingbot-world-fast"),
        size="32x32",
    )
    prepared = prepare(request)
    first, last = prepared.controls[0].prompt, prepared.controls[-1].prompt
    assert first == LONG
    assert last.endswith(". a dog runs by")
    assert len(last) < len(LONG)
    assert len(prepared.warnings) == 2
    assert not any("dog" in text.partition("lost:")[2] for text in prepared.warnings)


def test_a_session_names_the_words_of_a_new_prompt() -> None:
    warnings: list[str] = []
    world = load_model(read_checkpoint(MODEL, None, "lingbot-world-fast"), warn=warnings.append)
    session = Session(world, sample_image(32, 32), height=32, width=32)
    session.denoise(replace(walk(1)[0], prompt=f"{LONG}. a dog", action_text="a dog"))
    (warning,) = warnings
    assert "red door" in warning


def test_a_live_stream_names_the_words() -> None:
    model = ("--model", MODEL, "--preset", "lingbot-world-fast", "--device", "cpu", "--size", "32x32")
    stream = Streaming("samples/courtyard-day.png", "-t", "-", *model, "--to", "null:", stdin=subprocess.PIPE)
    stream.say({"keys": "w", "for": "0.5s"})
    stream.say({"prompt": LONG})
    stream.say({"end": True})
    stream.process.stdin.close()
    assert stream.end() == 0, stream.err
    assert "is longer than 24 tokens; lost:" in " ".join("".join(stream.err).split())


def test_a_plan_names_the_words() -> None:
    render = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "32x32", "--device", "cpu")
    done = lingbot(*render, "--model", str(MODEL), "-o", "null:", "--dry-run", "--prompt", LONG)
    assert done.code == 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "is longer than 24 tokens; lost:" in said
    assert "red door" in said
