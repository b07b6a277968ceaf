"""Manifest of finished videos: entries, the files of a video, and folders that cannot be made."""

import json
from pathlib import Path

import pytest

from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.errors import OutputError


def test_an_entry_holds_the_facts_and_the_size(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"12345")
    manifest = Manifest(tmp_path)
    assert manifest.entry("a.mp4") is None
    manifest.record("a.mp4", {"recipe": "r", "frames": 9})
    file = tmp_path / ".lingbot" / "a.mp4.json"
    assert json.loads(file.read_text()) == {"recipe": "r", "frames": 9, "bytes": 5}
    assert manifest.entry("a.mp4") == {"recipe": "r", "frames": 9, "bytes": 5}
    assert manifest.files("a.mp4") == [tmp_path / "a.mp4", file]


@pytest.mark.parametrize("text", ["", "[1]", "{}", "7", '{"bytes": null}'])
def test_a_damaged_entry_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.mp4").write_bytes(b"12345")
    manifest = Manifest(tmp_path)
    manifest.record("a.mp4", {"recipe": "r"})
    manifest.files("a.mp4")[-1].write_text(text)
    assert manifest.entry("a.mp4") is None
    assert manifest.find("a.mp4", "r") is None


def test_fingerprints_of_earlier_versions_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"12345")
    manifest = Manifest(tmp_path)
    manifest.record("a.mp4", {"recipe": "r-None-21-None"})
    assert manifest.find("a.mp4", "r-21") is not None
    assert manifest.find("a.mp4", "r") is None


def test_a_sequence_without_images_is_not_finished(tmp_path: Path) -> None:
    manifest, name = Manifest(tmp_path), "a/%03d.png"
    manifest.make_folder(name)
    assert sorted(tmp_path.iterdir()) == []  # the folder of the images is the output's own
    with pytest.raises(OutputError, match="a"):
        manifest.record("missing.mp4", {})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "other.png").write_bytes(b"1")
    manifest.record(name, {"recipe": "r"})
    assert manifest.entry(name) == {"recipe": "r", "bytes": -1}
    for number in (2, 1):
        (tmp_path / "a" / f"{number:03d}.png").write_bytes(b"123")
    assert manifest.entry(name) is None
    manifest.record(name, {"recipe": "r"})
    assert manifest.entry(name) == {"recipe": "r", "bytes": 6}
    assert sorted(file.name for file in manifest.files(name)[:-1]) == ["001.png", "002.png"]


def test_the_folder_of_a_video_is_made_once(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for _ in range(2):
        manifest.make_folder("one/two/a.mp4")
    assert (tmp_path / "one" / "two").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: cannot create the folder: File exists"):
        manifest.make_folder("file/a.mp4")


def test_a_playlist_consists_of_its_segments_too(tmp_path: Path) -> None:
    for name in ("a.0.ts", "a.1.ts", "a.m3u8", "a.ts", "a1.0.ts"):
        (tmp_path / name).write_text("content")
    manifest = Manifest(tmp_path)
    manifest.record("a.m3u8", {})
    names = [path.name for path in manifest.files("a.m3u8")]
    assert sorted(names[:2]) == ["a.0.ts", "a.1.ts"]
    assert names[2:] == ["a.m3u8", "a.m3u8.json"]
    assert manifest.entry("a.m3u8") is not None
    (tmp_path / "a.0.ts").unlink()
    assert manifest.entry("a.m3u8") is None
