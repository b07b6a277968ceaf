"""The doctor tries things out, says what to do and leaves with 3 when nothing can be rendered."""

import io
import json
from pathlib import Path

import pytest

from lingbot_cli.cli import run
from lingbot_cli.env import Env


def examined(**environ: str) -> tuple[int, dict]:
    env = Env(stdout=io.StringIO(), stderr=io.StringIO(), environ=environ)
    code = run(["doctor", "--json"], env)
    return code, json.loads(env.stdout.getvalue())


def finding(told: dict, about: str) -> dict:
    return next(finding for finding in told["findings"] if finding["about"] == about)


def test_this_machine_can_render(tmp_path: Path) -> None:
    code, told = examined(LINGBOT_CACHE_DIR=str(tmp_path / "not" / "made" / "yet"))
    assert code == 0
    assert told["possible"]
    for about in (
        "python",
        "torch",
        "device cpu",
        "attention",
        "ffmpeg",
        "encoders",
        "disk",
        "model built-in",
    ):
        assert finding(told, about)["state"] == "good"
    assert "x264" in finding(told, "encoders")["said"].split("do not")[0]
    assert "math" in finding(told, "attention")["said"]
    pull = finding(told, "model lingbot-world-v2-1.3b-causal-fast")["todo"]
    assert pull == "lingbot models pull lingbot-world-v2-1.3b-causal-fast"


def test_without_ffmpeg_it_leaves_with_3(tmp_path: Path) -> None:
    code, told = examined(LINGBOT_FFMPEG=str(tmp_path / "none"), LINGBOT_CACHE_DIR=str(tmp_path))
    assert code == 3
    assert not told["possible"]
    assert finding(told, "ffmpeg")["todo"]


def test_an_ffmpeg_that_encodes_nothing_is_found_out(tmp_path: Path) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = -version ] && echo "ffmpeg version 8.0 of nothing" && exit 0\nexit 1\n'
    )
    fake.chmod(0o755)
    code, told = examined(LINGBOT_FFMPEG=str(fake), LINGBOT_CACHE_DIR=str(tmp_path))
    assert code == 3
    assert finding(told, "encoders")["state"] == "bad"
    assert finding(told, "protocol srt")["state"] == "warning"


@pytest.mark.parametrize("word", ["good", "→"])
def test_it_reads_well(tmp_path: Path, word: str) -> None:
    env = Env(stdout=io.StringIO(), stderr=io.StringIO(), environ={"LINGBOT_CACHE_DIR": str(tmp_path)})
    assert run(["doctor"], env) == 0
    assert word in env.stdout.getvalue()
