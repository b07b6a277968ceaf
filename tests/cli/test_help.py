"""Help of every command ends with an example, shells complete, and none of it needs torch."""

import os
import subprocess
import sys
from importlib import import_module

import pytest
import typer

from lingbot_cli.cli import COMMANDS, CommandTable


def commands() -> list[tuple[str, ...]]:
    """Every command line that ends in a command or a group, from the tables and the groups themselves."""
    found: list[tuple[str, ...]] = [()]
    for name, module in COMMANDS.items():
        found.append((name,))
        command = typer.main.get_command(import_module(module).app)
        inner = command.table if isinstance(command, CommandTable) else getattr(command, "commands", {})
        found += [(name, sub) for sub in inner]
    return found


def lingbot(*argv: str, **environ: str) -> subprocess.CompletedProcess:
    code = (
        "import sys; from lingbot_cli.cli import run; code = run(sys.argv[1:]);"
        "print('torch' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", **environ},
    )


@pytest.mark.parametrize("argv", commands(), ids=" ".join)
def test_every_help_has_an_example_and_needs_no_torch(argv):
    done = lingbot(*argv, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert "lingbot " in done.stdout.split("Example", 1)[1]
    assert done.stderr.strip() == "False"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("lingbot ti", "timeline"),
        ("lingbot timeline an", "animatic"),
        ("lingbot timeline check --pre", "--preset"),
        ("lingbot timeline plan --preset lingbot-world-v2-1.", "lingbot-world-v2-1.3b-causal-fast"),
    ],
)
def test_shells_complete(typed, offered):
    words = typed.split()
    where = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "lingbot_cli"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "_LINGBOT_COMPLETE": "complete_bash", **where},
    )
    assert done.stdout.split() == [offered]
