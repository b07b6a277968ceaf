"""Manifest of a batch: the files of which a video consists."""

from lingbot_cli.batch.manifest import Manifest


def test_a_playlist_consists_of_its_segments_too(tmp_path):
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
