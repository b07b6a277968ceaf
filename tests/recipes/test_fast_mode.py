"""The commands of the page on fast mode."""

import re
import shlex
from pathlib import Path

from tests.support.command import lingbot

ROOT = Path(__file__).parents[2]


def test_the_page_of_fast_mode_runs(tmp_path, monkeypatch):
    page = (ROOT / "recipes" / "how-fast.md").read_text().split("## Fast mode")[1]
    exact, fast, diff, show = re.findall(r"^lingbot .*$", page, re.MULTILINE)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    for command in (exact, fast):
        done = lingbot(*shlex.split(command)[1:], "--device", "cpu")
        assert done.code == 0, done.stderr
    assert "fast: window 9" in done.stderr
    assert lingbot(*shlex.split(diff)[1:]).code == 0
    assert lingbot("diff", "exact.mkv", "fast.mkv").code == 1
    assert "--window 9" in lingbot(*shlex.split(show)[1:]).stdout.splitlines()[-1]
