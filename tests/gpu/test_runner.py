"""The runner of GPU steps: complete whichever step fails, hangs or crashes, and continued by a second call."""

import json
import subprocess
import sys

PROGRAM = """
import hashlib, os, sys, time
from pathlib import Path
from tests.gpu.runner import Runner, Step

def fail():
    raise ValueError("too | large")

def stuck():  # in C code, which no signal interrupts
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

def crash():
    os._exit(9)

file, seconds, *names = sys.argv[1:]
ways = {
    "good": lambda: {"value": os.getpid()},
    "wrong": lambda: {"holds": False},
    "fail": fail,
    "slow": lambda: time.sleep(600),
    "stuck": stuck,
    "crash": crash,
    "last": lambda: {"value": 2},
}
runner = Runner.open(Path(file), float(seconds))
runner.grace_s = 0.5
sys.exit(not runner.run([Step(name, 1.0, ways[name]) for name in names]))
"""


def run(file, *names, seconds=60):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), str(seconds), *names],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, {record["step"]: record for record in json.loads(file.read_text())["steps"]}


def test_a_step_that_fails_or_hangs_does_not_stop_the_others(tmp_path):
    code, found = run(tmp_path / "out.json", "good", "fail", "slow", "stuck", "wrong", "last")
    assert code == 1
    states = {name: record["status"] for name, record in found.items()}
    assert states == {
        "good": "done", "fail": "failed", "slow": "timeout", "stuck": "timeout", "wrong": "done", "last": "done",
    }  # fmt: skip
    assert list(states) == ["good", "fail", "slow", "stuck", "wrong", "last"]
    assert found["fail"]["error"] == "ValueError: too | large"
    assert "in fail" in found["fail"]["traceback"]
    assert "stuck outside Python" in found["stuck"]["error"]


def test_a_second_call_keeps_good_steps_and_goes_on_after_a_crash(tmp_path):
    file = tmp_path / "out.json"
    code, found = run(file, "good", "fail", "crash", "last")
    assert code == 9
    assert found["crash"] == {"step": "crash", "status": "running"}
    first = found["good"]["value"]
    code, found = run(file, "good", "crash", "last")
    assert code == 1
    assert found["good"]["value"] == first
    assert found["crash"]["status"] == "crashed"
    assert found["last"]["status"] == "done"


def test_steps_without_time_are_marked_and_run_by_the_next_call(tmp_path):
    file = tmp_path / "out.json"
    code, found = run(file, "good", "last", seconds=0)
    assert code == 1
    assert [record["error"] for record in found.values()] == ["no time left"] * 2
    code, found = run(file, "good", "last")
    assert code == 0
    assert {record["status"] for record in found.values()} == {"done"}
