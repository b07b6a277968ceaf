"""The timeline commands, as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import lingbot

RECIPES = Path(__file__).parents[2] / "recipes"
WALK = str(RECIPES / "first-walk.yaml")


def test_check_good_timelines():
    done = lingbot("timeline", "check", *map(str, sorted(RECIPES.glob("*.*l"))))
    assert done.code == 0
    assert done.stdout.count(": good, ") == len(list(RECIPES.glob("*.*l")))


def test_check_says_every_error_of_every_file(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.jsonl"
    one.write_text("events:\n  - {keys: x, for: 1s}\n  - {at: 3s, keys: w, until: 2s}\n")
    two.write_text('{"keyz": "w", "for": 1}\n')
    done = lingbot("timeline", "check", str(one), WALK, str(two), str(tmp_path / "none.yaml"))
    assert done.code == 2
    assert done.stdout.count(": good, ") == 1
    for place in (
        "one.yaml:2:12: ",
        "one.yaml:3:30: ",
        "two.jsonl:1:2: ",
        "none.yaml: cannot be read",
        "4 errors",
    ):
        assert place in done.stderr


def test_check_as_json(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("events:\n  - {keys: x, for: 1s}\n")
    done = lingbot("timeline", "check", "--json", WALK, str(bad))
    good, wrong = json.loads(done.stdout)
    assert done.code == 2
    assert (good["frames"], good["errors"]) == (72, [])
    assert [(e["line"], e["column"]) for e in wrong["errors"]] == [(2, 12)]


def test_check_notes_what_will_not_be_seen(tmp_path):
    late = tmp_path / "late.yaml"
    late.write_text("events:\n  - {keys: w, for: 2s}\n  - prompt: too late\n")
    done = lingbot("timeline", "check", str(late))
    assert done.code == 0
    assert "note: " in done.stdout
    assert "late.yaml:3:5: takes effect" in done.stdout


def test_check_and_help_never_import_torch():
    code = (
        "import sys; from lingbot_cli.cli import run; codes = [run(['timeline', 'check', sys.argv[1]]),"
        "run(['timeline', '--help']), run(['timeline', 'plan', '--help'])];"
        "print('torch' in sys.modules, codes, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, WALK], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "False [0, 0, 0]"


def test_standard_input():
    done = subprocess.run(
        [sys.executable, "-m", "lingbot_cli", "timeline", "check", "-"],
        input='{"keys": "w", "for": 1}\n{"keys": "n", "for": 1}\n',
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "<stdin>:2:10: " in done.stderr) == (2, True)


def test_plan_lists_every_chunk():
    done = lingbot("timeline", "plan", str(RECIPES / "rain-at-dusk.yaml"))
    lines = done.stdout.splitlines()
    assert done.code == 0
    assert [line.split()[0] for line in lines] == ["chunk", *map(str, range(7)), "5s:"]
    assert "marker “rain”" in lines[3]
    assert "it starts to rain" in lines[4]
    assert "forward" in lines[1]


def test_plan_as_json_adds_up():
    made = json.loads(lingbot("timeline", "plan", "--json", WALK).stdout)
    assert sum(chunk["frames"] for chunk in made["chunks"]) == made["frames"] == 72
    four = lingbot("timeline", "plan", "--json", "--preset", "lingbot-world-v2-1.3b-causal-fast", WALK)
    assert json.loads(four.stdout)["chunks"][0]["frames"] == 13


def test_flags_win_over_the_header(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text("duration: 4s\nprompt: a\nevents: [{keys: w, for: 4s}]\n")
    done = lingbot("timeline", "plan", "--json", "--duration", "1s", "--fps", "8", "--prompt", "b", str(file))
    made = json.loads(done.stdout)
    assert (made["frames"], made["fps"], made["chunks"][0]["prompt"]) == (8, 8, "b")


def test_a_new_timeline_is_good_and_never_overwrites(tmp_path):
    file = str(tmp_path / "walk.yaml")
    assert lingbot("timeline", "new", file).code == 0
    assert lingbot("timeline", "check", file).code == 0
    again = lingbot("timeline", "new", file)
    assert again.code == 2
    assert "exists" in again.stderr
    assert lingbot("timeline", "new").stdout == Path(file).read_text()


def test_export_writes_the_published_layout(tmp_path):
    done = lingbot("timeline", "export", WALK, "-o", str(tmp_path / "camera"))
    assert done.code == 0
    shapes = {p.name: np.load(p).shape for p in (tmp_path / "camera").glob("*.npy")}
    assert shapes == {"poses.npy": (72, 4, 4), "intrinsics.npy": (72, 4), "action.npy": (72, 4)}
    for kept in ("poses.npy", "lingbot.json"):
        for other in (tmp_path / "camera").iterdir():
            if other.name != kept:
                other.unlink()
        (tmp_path / "camera" / kept).write_bytes(b"mine")
        refused = lingbot("timeline", "export", WALK, "-o", str(tmp_path / "camera"))
        assert refused.code == 2
        assert f"{kept} exists already" in refused.stderr
        assert (tmp_path / "camera" / kept).read_bytes() == b"mine"
        assert [file.name for file in (tmp_path / "camera").iterdir()] == [kept]
        assert lingbot("timeline", "export", WALK, "-o", str(tmp_path / "camera"), "--overwrite").code == 0
    assert np.load(tmp_path / "camera" / "poses.npy").shape == (72, 4, 4)


def test_convert_there_and_back(tmp_path):
    moves = "w-10,iw-15,none-10"
    assert lingbot("timeline", "convert", moves, "-o", str(tmp_path / "a.yaml")).code == 0
    assert lingbot("timeline", "convert", str(tmp_path / "a.yaml"), "-o", str(tmp_path / "a.jsonl")).code == 0
    assert lingbot("timeline", "convert", str(tmp_path / "a.jsonl"), "--to", "moves").stdout == moves + "\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["convert", WALK, "--to", "moves"], "holds more than keys"),
        (["convert", WALK], "--to is required"),
        (["convert", "w-x", "--to", "yaml"], "--moves:1:1: 'w-x' is not a move"),
        (["plan", WALK, "--preset", "none"], "no preset 'none'"),
        (["plan", WALK, "--duration", "soon"], "not a time"),
        (["plan", WALK, "--duration", "99999s"], "expected 1 to 1000000"),
        (["plan", WALK, "--duration", "0"], "--duration 0s is 0 frames"),
        (["plan", "gone.yaml"], "gone.yaml: cannot be read"),
        (["export", WALK], "--output"),
    ],
)
def test_wrong_usage(argv, message, capsys):
    done = lingbot("timeline", *argv)
    said = done.stderr + capsys.readouterr().err
    assert done.code == 2
    assert message in " ".join(said.split())
    assert "Traceback" not in said


def test_show_draws_in_the_terminal_and_as_svg(tmp_path):
    assert "heading, each half second" in lingbot("timeline", "show", WALK).stdout
    assert "↑" in lingbot("timeline", "show", "w-10,l-20").stdout
    drawing = tmp_path / "walk.svg"
    assert lingbot("timeline", "show", WALK, "-o", str(drawing)).code == 0
    assert drawing.read_text().startswith("<svg")
    assert lingbot("timeline", "show", WALK, "-o", str(drawing)).code == 2


def test_animatic_is_a_film_of_the_exact_length(tmp_path):
    film = tmp_path / "walk.y4m"
    done = lingbot("timeline", "animatic", WALK, "-o", str(film), "--size", "160x96")
    assert (done.code, done.stdout) == (0, f"{film}: 72 frames, 4.5 s\n")
    assert film.read_bytes().count(b"FRAME") == 72
