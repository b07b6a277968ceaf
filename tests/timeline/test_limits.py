"""Limits of time and memory for hostile files, and long valid files."""

import json
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

CHECK_ALL = """
import json, os, resource, sys
from lingbot_cli.cli import run
from lingbot_cli.timeline import load

outcomes = {}
for path in sys.argv[1:]:
    if not (pid := os.fork()):
        resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
        os.dup2(os.open(path + ".stderr", os.O_CREAT | os.O_WRONLY), 2)
        code = run(["timeline", "check", path])
        sys.stderr.flush()
        os._exit(code)
    _, status, usage = os.wait4(pid, 0)
    outcomes[os.path.basename(path)] = os.waitstatus_to_exitcode(status), usage.ru_maxrss
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Return the folder of the files, and by name the exit code and the peak memory in KiB of their checks.

    Each is checked in a fork; the system kills one that takes more than 5 s of CPU time.
    """
    folder = tmp_path_factory.mktemp("hostile")
    for name, text in HOSTILE.items():
        (folder / name).write_bytes((text if isinstance(text, bytes) else text.encode())[:FULL])
    done = subprocess.run(
        [sys.executable, "-c", CHECK_ALL, *(str(folder / name) for name in HOSTILE)],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return folder, json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_little_memory_and_time(name, checked):
    folder, outcomes = checked
    code, peak_kib = outcomes[name]
    said = (folder / f"{name}.stderr").read_text()
    assert code == 2, said
    assert said
    assert "Traceback" not in said
    assert peak_kib < 200 * 1024


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
