"""Limits of time and memory for hostile files, and long valid files."""

import subprocess
import sys

import pytest

from lingbot_cli.timeline.diagnostics import Problems, SourceText
from lingbot_cli.timeline.load import MAX_BYTES, parse_timeline
from tests.support.timelines import try_schedule

FULL = MAX_BYTES - 100
HOSTILE = {
    "items.yaml": "events:\n" + "- a\n" * FULL,
    "deep.yaml": "[" * FULL,
    "keys.yaml": "events:\n- {" + "".join(f"k{i}: 1, " for i in range(90_000)) + "}",
    "anchors.yaml": "events:\n" + "- &a b\n" * FULL,
    "aliases.yaml": "x: &a b\nevents:\n" + "- *a\n" * FULL,
    "laugh.yaml": "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(999)) + "events: []",
    "tags.yaml": "events: [" + "!!python/object/apply:os.system [x], " * 9999,
    "text.yaml": 'events: [{prompt: "' + "x" * FULL,
    "zero.yaml": "\0" * FULL,
    "ones.jsonl": "1\n" * FULL,
    "deep.jsonl": ("[" * 60_000 + "\n") * 60,
    "keys.jsonl": ("{" + ",".join(f'"k{i}":1' for i in range(6000)) + "}\n") * 70,
    "digits.jsonl": '{"at":' + "1" * 60_000 + "}\n",
    "bytes.yaml": b"\xff" * FULL,
}

MEASURED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
from lingbot_cli.cli import run
code = run(["timeline", "check", sys.argv[1]])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")))
sys.exit(code)
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_little_memory_and_time(name, tmp_path):
    """CPU time is limited by the system (which kills beyond it), memory is measured."""
    text = HOSTILE[name]
    (tmp_path / name).write_bytes((text if isinstance(text, bytes) else text.encode())[:FULL])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / name)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert int(done.stdout.split()[-2]) < 200 * 1024


@pytest.mark.parametrize("name", ["t.yaml", "t.jsonl"])
def test_ten_thousand_events(name):
    line = {
        "t.yaml": "  - {{keys: wd, for: 0.5s, note: number {}}}\n",
        "t.jsonl": '{{"keys": "wd", "for": 0.5, "note": "{}"}}\n',
    }
    text = ("events:\n" if name == "t.yaml" else "") + "".join(line[name].format(i) for i in range(10_000))
    made, problems = try_schedule(parse_timeline(SourceText(name, text)), 4)
    assert problems == []
    assert made.frames == 80_000


def test_at_most_a_thousand_errors_are_reported():
    _, problems = try_schedule(parse_timeline(SourceText("t.jsonl", '{"keys": "x", "for": 1}\n' * 5000)), 4)
    assert len(problems) == Problems.LIMIT
    assert problems[-1].location.line == Problems.LIMIT
