"""Settings: flag > LINGBOT_* > lingbot.yaml > the user's file > default."""

import io
import json
from pathlib import Path

import pytest

from lingbot_cli.cli import run
from lingbot_cli.env import Env
from tests.support.command import Done

ROOT = Path(__file__).parents[2]
IMAGE = str(ROOT / "samples" / "courtyard-day.png")


@pytest.fixture
def run_lingbot(tmp_path, monkeypatch):
    """Run a command in an empty project, with the given environment."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: str, **environ: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        env = Env(stdout=out, stderr=err, environ={"XDG_CONFIG_HOME": str(tmp_path / "home"), **environ})
        return Done(run(argv, env), out.getvalue(), err.getvalue())

    return call


def user(tmp_path: Path, text: str) -> None:
    (tmp_path / "home" / "lingbot").mkdir(parents=True)
    (tmp_path / "home" / "lingbot" / "config.yaml").write_text(text)


def test_each_source_wins_over_the_next(run_lingbot, tmp_path):
    plan = ("render", IMAGE, "--moves", "w-8", "--dry-run", "--json", "--device", "cpu")

    def seed(*flags: str, **environ: str) -> int:
        return json.loads(run_lingbot(*plan, *flags, **environ).stdout)["seed"]

    assert seed() == 42
    user(tmp_path, "seed: 1\n")
    assert seed() == 1
    (tmp_path / "lingbot.yaml").write_text("seed: 2\n")
    assert seed() == 2
    assert seed(LINGBOT_SEED="3") == 3
    assert seed("--seed", "4", LINGBOT_SEED="3") == 4


def test_show_names_where_each_value_came_from(run_lingbot, tmp_path):
    user(tmp_path, "# mine\ncodec: x264\nquality: draft\n")
    (tmp_path / "lingbot.yaml").write_text("quality: master\n")
    shown = json.loads(run_lingbot("config", "show", "--json", LINGBOT_SIZE="64x48").stdout)
    assert shown["size"] == {"value": "64x48", "source": "LINGBOT_SIZE"}
    assert shown["quality"]["source"].endswith("lingbot.yaml:1")
    assert shown["codec"]["source"].endswith("config.yaml:2")
    assert shown["seed"] == {"value": "the timeline's, else 42", "source": "default"}
    lines = run_lingbot("config", "show", LINGBOT_SIZE="64x48").stdout.splitlines()
    assert any(line.split() == ["size", "64x48", "LINGBOT_SIZE"] for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead: 1\n", "lingbot.yaml:1:1: unknown setting 'sead'; expected 'seed'"),
        ("seed: [1]\n", "lingbot.yaml:1:7: `seed` is not a value"),
        ("- seed\n", "lingbot.yaml:1:1: no settings"),
        ("seed: &a 1\n", "anchors are not allowed"),
        ("fps: many\n", "lingbot.yaml:1: 'many' is no frame rate; expected 1 to 120"),
    ],
)
def test_a_wrong_file_is_named_with_its_place(run_lingbot, tmp_path, text, message):
    (tmp_path / "lingbot.yaml").write_text(text)
    done = run_lingbot("render", IMAGE, "--moves", "w-8", "--dry-run")
    assert done.code == 2
    assert message in done.stderr
    assert run_lingbot("render", "--help").code == 0


WRONG = {
    "LINGBOT_MODEL": "no-such-world",
    "LINGBOT_ASSETS": "nowhere",
    "LINGBOT_DEVICE": "toaster",
    "LINGBOT_PRECISION": "float3",
    "LINGBOT_SIZE": "wide",
    "LINGBOT_FPS": "0",
    "LINGBOT_SEED": "-1",
    "LINGBOT_SCALE": "huge",
    "LINGBOT_QUALITY": "best",
    "LINGBOT_CODEC": "betamax",
    "LINGBOT_CRF": "1.5",
    "LINGBOT_OVERLAY": "ink",
    "LINGBOT_SEEED": "7",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_variable_is_named_alike_by_every_command(run_lingbot, name):
    wrong = {name: WRONG[name]}
    by_show = run_lingbot("config", "show", **wrong)
    by_render = run_lingbot("render", IMAGE, "--moves", "w-8", "--dry-run", **wrong)
    assert (by_show.code, by_render.code) == (2, 2)
    assert by_show.stderr.startswith(f"error: {name}: ")
    assert by_render.stderr == by_show.stderr
    assert run_lingbot("render", "--help", **wrong).code == 0


def test_all_wrong_variables_are_printed_at_once_after_the_settings(run_lingbot, tmp_path):
    (tmp_path / "cache").touch()
    file = str(tmp_path / "cache")
    done = run_lingbot("config", "show", LINGBOT_FPS="0", LINGBOT_SEED="x")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "LINGBOT_SEED"]
    assert "0" in done.stdout.split("fps")[1].split()[0]
    for name, value in {"CACHE_DIR": file, "FFMPEG": str(tmp_path / "none"), "SHARD": "3/2"}.items():
        done = run_lingbot("config", "show", **{f"LINGBOT_{name}": value})
        assert (done.code, f"error: LINGBOT_{name}: " in done.stderr) == (2, True)


def test_a_flag_stands_in_for_a_wrong_variable(run_lingbot):
    film = ("render", IMAGE, "--moves", "w-8", "--dry-run", "--device", "cpu", "--size", "64x48")
    assert run_lingbot(*film, LINGBOT_SIZE="wide", LINGBOT_DEVICE="toaster").code == 0


def test_an_error_names_the_settings_that_may_have_made_it(run_lingbot, tmp_path):
    done = run_lingbot("render", IMAGE, "--moves", "w-8", "-o", "null:", LINGBOT_ASSETS=str(tmp_path))
    assert done.code == 2
    assert f"set elsewhere: --assets {tmp_path} (LINGBOT_ASSETS)" in done.stderr


def test_a_secret_is_listed_without_its_value(run_lingbot):
    done = run_lingbot("config", "show", LINGBOT_TOKEN="hunter2", LINGBOT_STREAM_URL="rtmp://host/app/key")
    assert done.code == 0
    assert "hunter2" not in done.stdout + done.stderr
    assert "rtmp" not in done.stdout + done.stderr
    assert done.stdout.count("set, not shown") == 2


def test_settings_reach_the_timeline_commands(run_lingbot, tmp_path):
    (tmp_path / "lingbot.yaml").write_text("preset: lingbot-world-v2-1.3b-causal-fast\nfps: 8\n")
    made = json.loads(
        run_lingbot("timeline", "plan", "--json", str(ROOT / "recipes" / "first-walk.yaml")).stdout
    )
    assert (made["preset"], made["fps"]) == ("lingbot-world-v2-1.3b-causal-fast", 8)
