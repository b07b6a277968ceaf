"""Text embeddings equal the recorded ones, from both layouts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.loading.load_text import load_text_encoder
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.loading.prompt_cache import CachedPromptEncoder
from lingbot_cli.model.text_encoder import TextEncoder
from lingbot_cli.prompt_cleaning import clean_prompt
from lingbot_cli.sample_files import FIRST_PROMPT, PACKAGE
from tests.support.reference import REFERENCE
from training.sample_prompts import sample_prompts

CHECKPOINTS = REFERENCE / "checkpoints"
CASE = json.loads((CHECKPOINTS / "text-case.json").read_text())


@pytest.mark.parametrize("layout", ["original-v1-fast", "diffusers-v1-fast"])
def test_rows_are_the_recorded_ones(layout: str) -> None:
    encoder = load_text_encoder(read_checkpoint(CHECKPOINTS / layout), torch.device("cpu"))
    rows = encoder.encode(clean_prompt(CASE["prompt"]))
    expected = load_file(CHECKPOINTS / "text-expected.safetensors")["embedding"]
    assert rows.shape == (CASE["valid_tokens"], expected.shape[1])
    torch.testing.assert_close(rows, expected, atol=1e-4, rtol=0)


def test_a_short_prompt_has_as_many_rows_as_tokens() -> None:
    encoder = load_text_encoder(read_checkpoint(CHECKPOINTS / "original-v1-fast"), torch.device("cpu"))
    assert encoder.encode("a").shape[0] < encoder.encode("a much longer prompt").shape[0] <= 24


@pytest.mark.parametrize(
    ("prompt", "cleaned"),
    [
        (CASE["prompt"], CASE["cleaned"]),
        ("  two\n\tlines ", "two lines"),
        ("&amp;amp;lt;", "<"),
        ("schÃ¶n", "schön"),
        ("", ""),
    ],
)
def test_cleaning(prompt: str, cleaned: str) -> None:
    assert clean_prompt(prompt) == cleaned


def test_prompts_of_the_samples_are_packaged_as_the_encoder_gives_them(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(PACKAGE / "builtin")
    encoder = load_text_encoder(checkpoint, torch.device("cpu"))

    def refuse() -> TextEncoder:
        raise AssertionError("not packaged: run `python -m training.sample_prompts`")

    dim = checkpoint.preset.text_dim
    cached = CachedPromptEncoder(refuse, identity=checkpoint.text_identity, dim=dim, folder=tmp_path)
    prompts = sample_prompts()
    assert FIRST_PROMPT in prompts
    for prompt in prompts:
        torch.testing.assert_close(
            cached.encode(prompt), encoder.encode(clean_prompt(prompt)), atol=1e-4, rtol=0
        )


def test_a_known_prompt_never_imports_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path))
    load_model(prompts=["a gate"]).text_encoder.encode("a  gate")
    assert "transformers" in sys.modules
    script = (
        "import sys\n"
        "from lingbot_cli.model.loading.loader import load_model\n"
        "load_model(prompts=['a gate']).text_encoder.encode('a  gate')\n"
        "print('transformers' in sys.modules)\n"
    )
    environment = {"LINGBOT_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "False"
