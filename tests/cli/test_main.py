"""The program as a whole: help, version, and how errors leave it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from lingbot_cli import __version__, errors
from lingbot_cli.cli import COMMANDS, app, run
from lingbot_cli.env import Env


@pytest.fixture
def env():
    return Env(stdout=io.StringIO(), stderr=io.StringIO())


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_help_lists_every_command_and_never_imports_torch():
    done = python(
        "import sys; from lingbot_cli.cli import run; code = run(['--help']);"
        "print('torch' in sys.modules, code, file=sys.stderr)"
    )
    assert done.stderr.split() == ["False", "0"]
    assert all(name in done.stdout for name in COMMANDS)


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"lingbot {__version__}\n"


def test_an_unknown_command_is_a_usage_error(capsys):
    assert run(["fly"]) == 2
    assert "fly" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("no such letter", hint="use w, a, s or d"), 2),
        (errors.SetupError("no ffmpeg"), 3),
        (errors.OutputError("disk full"), 4),
        (errors.StreamLostError("gone"), 5),
        (errors.InsufficientMemoryError("too large"), 6),
        (errors.RunInterrupted("stopped", signal_number=15), 143),
        (ValueError("[not markup] x"), 1),
    ],
)
def test_every_error_is_a_sentence_and_an_exit_code(env, monkeypatch, error, code):
    def raise_it(*_args, **_options):
        raise error

    monkeypatch.setattr(type(app), "__call__", raise_it)
    assert run([], env) == code
    printed = env.stderr.getvalue()
    assert str(error) in printed
    assert "Traceback" not in printed
    assert ("hint: " in printed) == (code in (1, 2))


def test_debug_shows_the_traceback_and_hides_the_key(env, monkeypatch):
    def raise_it(*_args, **_options):
        env.debug = True
        raise errors.StreamLostError("lost rtmp://live.example/app/sekrit-key")

    monkeypatch.setattr(type(app), "__call__", raise_it)
    assert run([], env) == 5
    assert "Traceback" in env.stderr.getvalue()
    assert "sekrit" not in env.stderr.getvalue()


def test_the_readme_names_every_command():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert [name for name in COMMANDS if f"`lingbot {name}`" not in readme] == []


def test_bytes_that_are_no_text_are_refused(env):
    assert run(["render", "no\udcff.png"], env) == 2
    assert "no\\udcff.png is not UTF-8 text" in env.stderr.getvalue()


def test_an_interruption_before_anything_began_is_quiet(monkeypatch, env):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(app), "__call__", interrupt)
    assert run([], env) == 130
    assert env.stderr.getvalue() == ""
