"""Settings: flag > LINGBOT_* > lingbot.yaml > the user's file > default."""

import io
import json
from pathlib import Path

import pytest

from lingbot_cli.cli import run
from lingbot_cli.env import Env
from tests.command import Done

ROOT = Path(__file__).parents[2]
IMAGE = str(ROOT / "samples" / "courtyard-day.png")


@pytest.fixture
def said(tmp_path, monkeypatch):
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


def test_each_word_beats_the_one_behind_it(said, tmp_path):
    plan = ("render", IMAGE, "--moves", "w-8", "--dry-run", "--json", "--device", "cpu")

    def seed(*flags: str, **environ: str) -> int:
        return json.loads(said(*plan, *flags, **environ).stdout)["seed"]

    assert seed() == 42
    user(tmp_path, "seed: 1\n")
    assert seed() == 1
    (tmp_path / "lingbot.yaml").write_text("seed: 2\n")
    assert seed() == 2
    assert seed(LINGBOT_SEED="3") == 3
    assert seed("--seed", "4", LINGBOT_SEED="3") == 4


def test_show_names_where_each_value_came_from(said, tmp_path):
    user(tmp_path, "# mine\ncodec: x264\nquality: draft\n")
    (tmp_path / "lingbot.yaml").write_text("quality: master\n")
    shown = json.loads(said("config", "show", "--json", LINGBOT_SIZE="64x48").stdout)
    assert shown["size"] == {"value": "64x48", "source": "LINGBOT_SIZE"}
    assert shown["quality"]["source"].endswith("lingbot.yaml:1")
    assert shown["codec"]["source"].endswith("config.yaml:2")
    assert shown["seed"] == {"value": None, "source": "default"}
    lines = said("config", "show", LINGBOT_SIZE="64x48").stdout.splitlines()
    assert any(line.split() == ["size", "64x48", "LINGBOT_SIZE"] for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead: 1\n", "lingbot.yaml:1:1: unknown setting 'sead'; expected 'seed'"),
        ("seed: [1]\n", "lingbot.yaml:1:7: `seed` is not a value"),
        ("- seed\n", "lingbot.yaml:1:1: no settings"),
        ("seed: &a 1\n", "anchors are not allowed"),
        ("fps: many\n", "set elsewhere: --fps many ("),
    ],
)
def test_a_wrong_file_is_named_with_its_place(said, tmp_path, text, message):
    (tmp_path / "lingbot.yaml").write_text(text)
    done = said("render", IMAGE, "--moves", "w-8", "--dry-run")
    assert done.code == 2
    assert message in done.stderr
    assert said("render", "--help").code == 0


def test_a_wrong_variable_is_named(said):
    done = said("render", IMAGE, "--moves", "w-8", "--dry-run", LINGBOT_QUALITY="best")
    assert done.code == 2
    assert "set elsewhere: --quality best (LINGBOT_QUALITY)" in done.stderr


def test_settings_reach_the_timeline_commands(said, tmp_path):
    (tmp_path / "lingbot.yaml").write_text("preset: lingbot-world-v2-1.3b-causal-fast\nfps: 8\n")
    made = json.loads(said("timeline", "plan", "--json", str(ROOT / "recipes" / "first-walk.yaml")).stdout)
    assert (made["preset"], made["fps"]) == ("lingbot-world-v2-1.3b-causal-fast", 8)
