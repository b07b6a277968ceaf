"""Help of every command ends with an example, shells complete, and none of it imports what takes long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lingbot_cli.cli import COMMANDS, import_command


def commands() -> list[tuple[str, ...]]:
    """Every command line that ends in a command or a group, from the tables and the groups themselves."""
    found: list[tuple[str, ...]] = [()]
    for name in COMMANDS:
        found.append((name,))
        command = import_command(name)
        found += [(name, sub) for sub in getattr(command, "commands", {})]
    return found


SLOW = ("torch", "numpy", "PIL", "yaml", "transformers", "starlette", "asyncio", "rich.progress")
START = {
    "lingbot_cli",
    "lingbot_cli.cli",
    "lingbot_cli.cli.app",
    "lingbot_cli.cli.help",
    "lingbot_cli.console",
    "lingbot_cli.env",
    "lingbot_cli.errors",
    "lingbot_cli.redact",
}
"""Our modules that a list of commands or the version may import."""


def lingbot(*argv: str, **environ: str) -> subprocess.CompletedProcess:
    """Run a command line; the last line of its errors lists our modules and slow ones that it imported."""
    code = (
        "import json, sys; from lingbot_cli.cli import run; code = run(sys.argv[1:]);"
        f"found = [name for name in sys.modules if name in {SLOW} or name.startswith('lingbot_cli')];"
        "print(json.dumps(found), file=sys.stderr);"
        "sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", **environ},
    )


def imported(done: subprocess.CompletedProcess) -> set[str]:
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("argv", [("--version",), ("--help",), ("-h",)])
def test_the_list_of_commands_imports_none_of_them(argv):
    done = lingbot(*argv)
    assert done.returncode == 0
    assert imported(done) - START == set()


def test_the_list_of_commands_has_their_summaries():
    for name, summary in COMMANDS.items():
        command = import_command(name)
        assert command.get_short_help_str(limit=200).rstrip(".") == summary


@pytest.mark.parametrize("argv", commands(), ids=" ".join)
def test_every_help_has_an_example_and_is_quick(argv):
    done = lingbot(*argv, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert "lingbot " in done.stdout.split("Example", 1)[1]
    assert imported(done) & set(SLOW) == set()


def test_the_help_of_render_fits_two_screens_in_panels_with_plain_types():
    lines = lingbot("render", "--help", COLUMNS="100").stdout.splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 100
    titles = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    panels = ["Camera and prompt", "Output", "Model", "Speed", "Resume", "Display", "Options"]
    assert titles == ["Arguments", *panels]
    shown = "\n".join(lines)
    assert "--fps NUMBER" in shown
    assert "--duration TIME" in shown
    assert "[default: the timeline's, else 42]" in shown
    assert "<" not in shown
    assert "RANGE" not in shown
    assert "--sink" not in shown


def test_rare_options_are_listed_by_help_all():
    done = lingbot("render", "--help-all", COLUMNS="100")
    assert done.returncode == 0
    assert "--sink INTEGER" in done.stdout
    assert imported(done) & set(SLOW) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_does(command):
    inner = import_command(command)
    group = getattr(inner, "commands", {"": inner})
    options = [param for each in group.values() for param in each.params]
    assert [param.name for param in options if not (param.help or "").endswith(".")] == []


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("lingbot ti", "timeline"),
        ("lingbot timeline an", "animatic"),
        ("lingbot timeline check --pre", "--preset"),
        ("lingbot timeline plan --preset lingbot-world-v2-1.", "lingbot-world-v2-1.3b-causal-fast"),
        ("lingbot render a.png --model lingbot-world-v2-1.", "lingbot-world-v2-1.3b-causal-fast"),
        ("lingbot play a.png --model mine", "mine-too"),
        ("lingbot render a.png --linears f", "fp8"),
        ("lingbot render a.png --sin", "--sink"),
    ],
)
def test_shells_complete(tmp_path, typed, offered):
    (tmp_path / "models" / "mine-too").mkdir(parents=True)
    assert completions(typed, tmp_path) == [offered]


@pytest.mark.parametrize(
    "typed", ["lingbot render samp", "lingbot render a.png --timeline reci", "lingbot show f"]
)
def test_files_are_left_to_the_shell(tmp_path, typed):
    assert completions(typed, tmp_path) == []


def completions(typed: str, cache: Path) -> list[str]:
    """Return what a shell is offered for the last word of a command line."""
    words = typed.split()
    done = subprocess.run(
        [sys.executable, "-m", "lingbot_cli"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "_LINGBOT_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(words) - 1),
            "LINGBOT_CACHE_DIR": str(cache),
        },
    )
    return done.stdout.split()
