"""Checks of `lingbot doctor`, their hints, and exit code 3 when rendering is impossible."""

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


def finding(report: dict, name: str) -> dict:
    return next(finding for finding in report["findings"] if finding["name"] == name)


def test_this_machine_can_render(tmp_path: Path) -> None:
    code, report = examined(LINGBOT_CACHE_DIR=str(tmp_path / "not" / "made" / "yet"))
    assert code == 0
    assert report["possible"]
    for name in (
        "python",
        "torch",
        "device cpu",
        "attention",
        "ffmpeg",
        "encoders",
        "disk",
        "model built-in",
    ):
        assert finding(report, name)["status"] == "ok"
    assert "x264" in finding(report, "encoders")["message"].split("not available")[0]
    assert "math" in finding(report, "attention")["message"]
    pull = finding(report, "model lingbot-world-v2-1.3b-causal-fast")["hint"]
    assert pull == "lingbot models pull lingbot-world-v2-1.3b-causal-fast"


def test_without_ffmpeg_it_leaves_with_3(tmp_path: Path) -> None:
    code, report = examined(LINGBOT_FFMPEG=str(tmp_path / "none"), LINGBOT_CACHE_DIR=str(tmp_path))
    assert code == 3
    assert not report["possible"]
    assert finding(report, "ffmpeg")["hint"]


def test_an_ffmpeg_that_encodes_nothing_is_found_out(tmp_path: Path) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = -version ] && echo "ffmpeg version 8.0 of nothing" && exit 0\nexit 1\n'
    )
    fake.chmod(0o755)
    code, report = examined(LINGBOT_FFMPEG=str(fake), LINGBOT_CACHE_DIR=str(tmp_path))
    assert code == 3
    assert finding(report, "encoders")["status"] == "error"
    for name in ("srt", "whip"):
        assert finding(report, f"protocol {name}")["status"] == "warning"


@pytest.mark.parametrize("word", ["ok", "→"])
def test_it_reads_well(tmp_path: Path, word: str) -> None:
    env = Env(stdout=io.StringIO(), stderr=io.StringIO(), environ={"LINGBOT_CACHE_DIR": str(tmp_path)})
    assert run(["doctor"], env) == 0
    assert word in env.stdout.getvalue()
