"""Commands where `fcntl`, `termios`, `resource`, polling and most signals are missing, as on Windows."""

import ast
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lingbot_cli import operating_system

ROOT = Path(__file__).parents[1]
IMAGE = str(ROOT / "samples" / "courtyard-day.png")
SHORT = ("render", IMAGE, "--moves", "w-13", "--size", "64x32", "--device", "cpu")
MODULES = ("fcntl", "termios", "resource", "tty", "pty", "pwd", "grp")
NAMES = {
    "signal": ("SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "setitimer", "pthread_sigmask"),
    "select": ("poll",),
    "os": (
        "setsid",
        "sysconf",
        "ctermid",
        "set_blocking",
        "O_NONBLOCK",
        "O_NOCTTY",
        "killpg",
        "getuid",
        "fork",
    ),
}
PROGRAM = f"""
# Python's own modules for this system first: those for Windows need none of these.
import asyncio, fcntl, os, select, selectors, signal, subprocess, sys, tempfile, multiprocessing.util
from types import SimpleNamespace
flock = lambda file, mode, count: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
sys.modules["msvcrt"] = SimpleNamespace(LK_NBLCK=2, locking=flock)
sys.modules.update(dict.fromkeys({MODULES!r}))
for module, names in {NAMES!r}.items():
    for name in names:
        delattr(sys.modules[module], name)
"""
MAIN = """
from lingbot_cli.__main__ import main
main()
"""
IMPORT_ALL = """
from lingbot_cli.cli import COMMANDS, import_command
for name in COMMANDS:
    import_command(name)
"""


def run(*argv, code=0, program=MAIN):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, *argv],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def test_videos_are_rendered_resumed_and_shown_without_posix_calls(tmp_path):
    video = tmp_path / "walk.mp4"
    run(*SHORT, "-o", str(video), "--keep-latents")
    shown = json.loads(run("show", str(video), "--json").stdout)
    assert "courtyard-day.png" in json.dumps(shown)  # metadata came through a named file
    run(*SHORT, "-o", str(video), "--fork-at", "8f", "--overwrite")
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text(f"jobs: [{{image: {IMAGE}, moves: w-5, size: 64x32, output: a.mp4}}]")
    assert "a.mp4: rendered" in run("batch", str(jobs), "-o", str(tmp_path / "out"), "--allow-outside").stderr


def test_other_commands_and_the_page_work_without_posix_calls():
    run(program=IMPORT_ALL)
    assert "good" in run("timeline", "check", str(ROOT / "recipes" / "first-walk.yaml")).stdout
    assert "built-in" in run("models", "list").stdout
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + MAIN, "play", IMAGE, "--device", "cpu"],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            address = next(found[1] for line in child.stdout if (found := re.match(r"open (\S+)", line)))
            with urllib.request.urlopen(address, timeout=60) as page:
                assert b"<canvas" in page.read()
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(60)


def test_only_one_module_calls_what_systems_lack():
    found = []
    for path in sorted({*(ROOT / "lingbot_cli").rglob("*.py")} - {Path(operating_system.__file__)}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = {getattr(node, "module", None), *(each.name for each in node.names)}
                found += [f"{path}: {name}" for name in imported.intersection(MODULES)]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found += [f"{path}: {node.attr}"] * (node.attr in NAMES.get(node.value.id, ()))
    assert found == []


def test_memory_is_known_without_getrusage_and_sysconf(monkeypatch):
    pytest.importorskip("psutil")
    exact, free = operating_system.peak_memory(), operating_system.free_ram()
    monkeypatch.setattr(operating_system, "_resource", None)
    monkeypatch.delattr("os.sysconf")
    assert 0.2 * exact < operating_system.peak_memory() <= 1.2 * exact
    assert 0 < operating_system.free_ram() < 2 * free + 2**34
