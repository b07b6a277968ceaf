"""The words of a prompt that the text encoder cuts are named before anything is loaded."""

from tokenizers import Tokenizer

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.prompt_cleaning import lost_words
from tests.support.command import lingbot
from tests.support.reference import REFERENCE

MODEL = REFERENCE / "checkpoints" / "diffusers-v1-fast"
LONG = "a stone courtyard in the evening light " * 5 + "with a red door"


def test_what_is_lost_begins_where_the_encoder_stops() -> None:
    checkpoint = read_checkpoint(MODEL)
    file, length = checkpoint.layout.tokenizer, checkpoint.preset.text_len
    lost = lost_words(file, LONG, length)
    assert lost.endswith("red door")
    kept = LONG.removesuffix(lost).strip()
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(length)
    assert tokenizer.encode(kept).ids[: length - 1] == tokenizer.encode(LONG).ids[: length - 1]
    assert lost_words(file, kept, length) == ""
    assert lost_words(file, "a gate", length) == ""


def test_a_plan_names_the_words() -> None:
    render = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "32x32", "--device", "cpu")
    done = lingbot(*render, "--model", str(MODEL), "-o", "null:", "--dry-run", "--prompt", LONG)
    assert done.code == 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "is longer than 24 tokens; lost:" in said
    assert "red door" in said
