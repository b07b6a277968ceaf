"""Every command on consoles of other encodings, closed streams and machines without a home folder."""

import io
import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lingbot_cli.cli import COMMANDS, run
from lingbot_cli.env import Env
from tests.support.command import lingbot
from tests.support.command_lines import COMMAND_LINES, IMAGE, write_inputs

ESCAPES = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture
def folder(inputs, monkeypatch):
    monkeypatch.chdir(inputs)
    monkeypatch.setenv("COLUMNS", "200")
    if not os.path.exists("a.mkv"):
        assert lingbot(*COMMAND_LINES["render"][0]).code == 0
    return inputs


def test_every_command_is_among_them():
    assert {*COMMAND_LINES} == {*COMMANDS}


def run_in(encoding: str, argv: tuple[str, ...]) -> tuple[int, str, str]:
    """Run a command with consoles of an encoding."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    code = run(argv, Env(stdin=io.TextIOWrapper(io.BytesIO()), stdout=out, stderr=err))
    for stream in (out, err):
        stream.flush()
    return code, out.buffer.getvalue().decode(encoding), err.buffer.getvalue().decode(encoding)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", COMMAND_LINES)
def test_an_ascii_console_without_a_home_shows_everything_and_no_escapes(command, monkeypatch):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "LINGBOT_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for argv in (*COMMAND_LINES[command], (command, "--help")):
        code, out, err = run_in("ascii", argv)
        assert code in (0, 1, 2, 3), (argv, code, err)  # 1: a check that fails
        assert "bug" not in err
        assert not ESCAPES.search(out + err), (argv, out, err)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", COMMAND_LINES)
def test_json_is_ascii_on_every_console(command):
    for argv in COMMAND_LINES[command]:
        if "--json" in argv and "--dry-run" not in argv:
            code, out, err = run_in("utf-8", argv)
            assert code in (0, 1), err
            assert out.isascii()
            try:
                json.loads(out)
            except ValueError:
                assert [json.loads(line) for line in out.splitlines()]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", COMMAND_LINES)
def test_a_closed_standard_output_is_a_sentence(command):
    """As `>&-`: /dev/null, open for reading only."""
    for argv in (*COMMAND_LINES[command], (command, "--help")):
        out = io.TextIOWrapper(io.FileIO(os.open(os.devnull, os.O_RDONLY), "w"), line_buffering=True)
        err = io.StringIO()
        code = run(argv, Env(stdout=out, stderr=err))
        assert code in (0, 1, 2, 3, 4), (argv, code, err.getvalue())
        assert "bug" not in err.getvalue()
        if code == 4:
            assert err.getvalue().endswith("error: standard output is closed\n")


@pytest.mark.parametrize(
    ("closed", "argv", "code"),
    [
        ("<&- >&- 2>&-", ("render", IMAGE, "--moves", "w-3", "--size", "32x32", "-o", "b.mp4"), 0),
        ("2>&-", ("show", "a.mkv"), 0),
        (">&-", ("show", "a.mkv"), 4),
        (">&-", ("--help",), 4),
        (">/dev/full", ("render", "--help"), 4),
        (">&-", ("render", IMAGE, "--moves", "w-3", "-o", "-", "--format", "mkv"), 2),
        ("<&-", ("render", IMAGE, "-t", "-", "-o", "c.mp4"), 2),
    ],
)
def test_closed_streams_of_a_process(folder, closed, argv, code):
    command = shlex.join([sys.executable, "-m", "lingbot_cli", *argv])
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["sh", "-c", f"{command} {closed}"], capture_output=True, text=True, timeout=120, env=environ
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if "b.mp4" in argv:
        assert run(["show", "b.mp4"], Env(stdout=io.StringIO())) == 0
        assert sorted(path.name for path in folder.glob("b*")) == ["b.mp4", "bad.yaml"]


@pytest.mark.usefixtures("folder")
def test_the_command_of_a_video_holds_only_its_settings(monkeypatch):
    from lingbot_cli.sinks import ffmetadata

    recipe = json.loads(lingbot("show", "a.mkv", "--json").stdout)
    recipe["image"] = "--engine=ws://127.0.0.1:1"
    recipe["flags"] |= {"output": "/etc/passwd", "engine": "ws://127.0.0.1:1", "overwrite": True}
    monkeypatch.setattr(ffmetadata, "read_tags", lambda *_: {"lingbot": json.dumps(recipe)})
    shown = lingbot("show", "a.mkv").stdout
    words = shlex.split(shown[shown.index("lingbot render") :].splitlines()[0])
    assert words[2] == "./--engine=ws://127.0.0.1:1"
    assert not {"--output", "--engine", "--overwrite", "/etc/passwd"} & {*words}
    assert "left out, as no settings of a video: engine, output, overwrite" in shown


@pytest.mark.usefixtures("folder")
def test_a_real_latin_1_locale(tmp_path):
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.ISO-8859-1")]
    if shutil.which("localedef") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs localedef and the sources of en_US")
    locale = {"LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(tmp_path), "PYTHONUTF8": "0"}
    package = {"PYTHONPATH": os.fspath(Path(__file__).parents[2])}
    for argv in (COMMAND_LINES["timeline"][1], COMMAND_LINES["show"][0]):
        command = [sys.executable, "-m", "lingbot_cli", *argv]
        done = subprocess.run(
            command, env={**os.environ, **locale, **package}, capture_output=True, timeout=60
        )
        text = (done.stdout + done.stderr).decode("iso-8859-1")
        assert done.returncode in (0, 2), text
        assert not ESCAPES.search(text)
        assert "ö" in text
