"""The GPU table: complete whichever rows fail, continued by a second call."""

import json
import sys
from dataclasses import asdict

from lingbot_cli.diagnostics.bench import PHASES, BenchResult
from tests.gpu.table import LARGE, SMALL, Row, fill, rows

RESULT = BenchResult(
    model="small",
    size="32x32",
    device="cpu",
    precision="float32",
    kernel="torch",
    threads=1,
    chunks=2,
    load=1.0,
    first_frame=0.5,
    phases=dict.fromkeys(PHASES, 0.1),
    chunk=0.6,
    fps=20.0,
    realtime=1.25,
    sink_fps=100.0,
    memory=10**9,
    device_memory=2 * 10**9,
    flops={"denoise": 10**9},
    bytes={"denoise": 10**6},
    peak_flops=2e10,
    peak_bytes=1e10,
    speed_options={},
)


def python(name, code, seconds=60.0):
    return Row(name, (sys.executable, "-c", code), seconds)


def test_a_row_that_fails_or_hangs_leaves_the_table_whole(tmp_path):
    good = python("small", f"print({json.dumps(asdict(RESULT))!r})")
    wanted = [
        python("check", "print('holds')"),
        good,
        python("old", "print('{\"phases\": {}}')"),
        python("large", "import sys; print('OutOfMemory: too | large', file=sys.stderr); sys.exit(6)"),
        python("stuck", "import time; time.sleep(600)", seconds=1.0),
    ]
    fill(tmp_path, wanted, 300.0)
    done = {each["row"]: each for each in json.loads((tmp_path / "table.json").read_text())}
    assert {name: each["code"] for name, each in done.items()} == {
        "check": 0,
        "small": 0,
        "old": 0,
        "large": 6,
        "stuck": 124,
    }
    assert BenchResult(**done["small"]["figures"]) == RESULT
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert all(line.count("|") == 8 for line in lines)
    assert lines[3] == "| small | 20.0 fps | 1.25 | 600 ms | 50% | 0.50 s | 2.0 GB |"
    assert lines[4].startswith("| old | from another version |")
    assert lines[5].startswith("| large | failed (6): OutOfMemory: too / large |")
    assert "not finished within 1 s" in lines[6]


def test_a_second_call_continues_and_rows_without_time_are_marked(tmp_path):
    first, second = python("first", "print('one')"), python("second", "print('two')")
    fill(tmp_path, [first], 60.0)
    done = fill(tmp_path, [python("first", "raise SystemExit(1)"), second], 0.0)
    assert [each["code"] for each in done] == [0, 124]
    assert done[1]["failed"] == "no time left"
    assert fill(tmp_path, [first, second], 60.0)[1]["code"] == 0


def test_rows_have_limits_and_unique_names_and_the_important_come_first():
    all_rows = list(rows([SMALL, LARGE], "cuda", "832x480", 4))
    names = [row.name for row in all_rows]
    assert len(set(names)) == len(names)
    assert all(0 < row.seconds <= 240 for row in all_rows)
    benches = [row for row in all_rows if "bench" in row.command]
    assert [row.name for row in benches[:4]] == [SMALL, LARGE, f"{SMALL} --fast", f"{LARGE} --fast"]
