"""Files are written whole, and never over another unless that is allowed."""

import os

import pytest

from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.files import check_new, write_file


def test_a_file_is_replaced_only_with_overwrite(tmp_path):
    path = tmp_path / "walk.yaml"
    write_file(path, "a: ä\n", overwrite=False)
    with pytest.raises(UsageError, match=r"walk\.yaml exists already") as refused:
        write_file(path, "b", overwrite=False)
    assert refused.value.hint == "choose another name, or use --overwrite"
    assert path.read_text("utf-8") == "a: ä\n"
    write_file(path, b"b")
    assert os.listdir(tmp_path) == ["walk.yaml"]
    assert path.read_bytes() == b"b"
    check_new(path, overwrite=True)


def test_a_failure_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "walk.yaml"
    write_file(path, "old")
    monkeypatch.setattr(type(path), "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OutputError, match="disk full"):
        write_file(path, "new")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["walk.yaml"])


def test_a_folder_and_a_missing_folder_are_errors_and_a_link_stays_one(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        write_file(tmp_path, "x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(tmp_path / "no" / "x", "x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_file(tmp_path / "link", "x")
    assert (tmp_path / "file").read_text() == "x"
    assert (tmp_path / "link").is_symlink()
