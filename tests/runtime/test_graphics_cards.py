"""Options with which each published model fits a graphics card: the documented table, and that each option works."""

import json
from itertools import groupby
from pathlib import Path

import pytest

from lingbot_cli.checkpoints.checkpoint import absent_checkpoint
from lingbot_cli.checkpoints.registry import PUBLISHED
from lingbot_cli.render.preflight import model_setup
from lingbot_cli.runtime.memory import MemorySetup, estimate_memory
from lingbot_cli.runtime.memory_check import CARDS_GB, SIZES, CardFit, fit_card, fit_cards
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.command import lingbot

ROOT = Path(__file__).parents[2]
IMAGE = str(ROOT / "samples" / "courtyard-day.png")


def setups(name: str) -> list[MemorySetup]:
    model = absent_checkpoint(name)
    return [model_setup(model, ModelOptions(), height, width, "cuda", 0) for height, width in SIZES]


def fits_of(name: str) -> list[CardFit]:
    return fit_cards(absent_checkpoint(name).preset, setups(name), CARDS_GB)


def markdown(name: str) -> str:
    """Return the table of docs/models.md."""
    lines = [
        f"| {name} | " + " | ".join(f"{width}x{height}" for height, width in SIZES) + " |",
        "|---|---|---|---|",
    ]
    for card, fits in groupby(fits_of(name), key=lambda fit: fit.vram_gb):
        cells = {}
        for fit in fits:
            text = "–" if fit.flags is None else f"`{fit.flags}`" if fit.flags else "fits"
            cells[fit.size] = f"{cells[fit.size]} or {text}" if fit.size in cells else text
        lines.append(f"| {card} GB | " + " | ".join(cells.values()) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_documented_table_is_the_plan(name):
    table = markdown(name)
    assert table in (ROOT / "docs" / "models.md").read_text(), f"docs/models.md lacks:\n{table}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_larger_card_never_needs_more(name):
    preset = absent_checkpoint(name).preset
    for setup in setups(name):
        needed = estimate_memory(preset, setup).peak
        best = [fit_card(preset, setup, card)[0] for card in range(4, 161, 4)]
        assert all(fit.gpu_bytes <= fit.vram_gb * 2**30 * 0.92 for fit in best if fit.flags is not None)
        counts = [len(fit.flags.split()) for fit in best if fit.flags is not None]
        assert counts == sorted(counts, reverse=True)
        assert all((fit.flags == "") == (needed <= fit.gpu_bytes) for fit in best if fit.flags is not None)


def recommended() -> list[str]:
    return sorted({fit.flags for name in PUBLISHED for fit in fits_of(name) if fit.flags})


@pytest.mark.parametrize("flags", recommended())
def test_recommended_options_render(flags):
    video = ("render", IMAGE, "--moves", "w-5", "--size", "64x32", "--device", "cpu", "-o", "null:")
    done = lingbot(*video, *flags.split())
    assert done.code == 0, done.stderr


def test_one_card_is_shown_with_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path))
    done = lingbot("models", "show", "lingbot-world-v2-14b-causal-fast", "--vram", "24")
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["24", "GB", "416x240", "--offload", "13.2", "GB", "36.9", "GB"]
    assert lines[3].split() == ["24", "GB", "1280x720", "nothing", "fits"]
    facts = json.loads(lingbot("models", "show", "built-in", "--vram", "8,80", "--json").stdout)
    assert [(fit["vram_gb"], fit["flags"]) for fit in facts] == [(8, "")] * 3 + [(80, "")] * 3
    for wrong in ("0", "24GB", "8,,12", "1025"):
        assert lingbot("models", "show", "built-in", "--vram", wrong).code == 2


def test_a_dry_run_of_a_model_that_is_not_here_says_which_cards_it_fits(monkeypatch, tmp_path):
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path))
    video = ("render", IMAGE, "--moves", "w-24", "--size", "832x480", "-o", "null:", "--dry-run")
    video += ("--model", "lingbot-world-v2-14b-causal-fast")
    done = lingbot(*video)
    assert done.code == 3
    assert "run: lingbot models pull lingbot-world-v2-14b-causal-fast" in done.stderr
    lines = {line[:7].strip(): line.split()[2:] for line in done.stdout.splitlines() if line[5:8] == "GB "}
    assert set(lines) == {f"{card} GB" for card in CARDS_GB}
    assert lines["8 GB"] == ["nothing", "fits"]
    assert lines["80 GB"][0] == "fits"
    facts = json.loads(lingbot(*video, "--json").stdout.splitlines()[0])
    assert {fit["size"] for fit in facts["cards"]} == {"832x480"}
    here = lingbot("render", IMAGE, "--moves", "w-24", "-o", "null:", "--dry-run", "--json")
    assert json.loads(here.stdout)["cards"] == []
