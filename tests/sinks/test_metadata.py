"""Metadata and chapters in ffmpeg's notation, and the sound of a video as its arguments."""

from fractions import Fraction
from pathlib import Path

import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.ffmetadata import metadata_text, parse_tags, read_tags
from lingbot_cli.sinks.soundtrack import Soundtrack


def video(frames=48, fps=Fraction(16), **more):
    return VideoInfo(48, 64, fps, frames, **more)


def test_tags_survive_their_notation():
    tags = {"title": "a=b;c#d\\e\nf", "comment": "", "x": "[CHAPTER]"}
    text = metadata_text(video(metadata=tags))
    assert parse_tags(text) == tags
    assert text.startswith(";FFMETADATA1\n")
    assert parse_tags(text.replace(";FFMETADATA1", "FFMETADATA1")) == {}
    assert parse_tags("") == {}
    assert parse_tags(";FFMETADATA1\nTitle=A\n[CHAPTER]\ntitle=b\n") == {"title": "A"}


def chapters(text):
    return [
        dict(line.split("=") for line in part.split("\n") if "=" in line)
        for part in text.split("[CHAPTER]")[1:]
    ]


def test_chapters_end_where_the_next_begins():
    text = metadata_text(video(fps=Fraction(30000, 1001), chapters=(Chapter(0, "a"), Chapter(9, "b"))))
    assert chapters(text) == [
        {"TIMEBASE": "1001/30000", "START": "0", "END": "9", "title": "a"},
        {"TIMEBASE": "1001/30000", "START": "9", "END": "48", "title": "b"},
    ]


def test_a_chapter_before_the_first_marker_and_one_of_an_endless_video():
    text = metadata_text(video(frames=None, chapters=(Chapter(1, "a"),)))
    assert [(each["START"], each["END"], each["title"]) for each in chapters(text)] == [
        ("0", "1", "start"),
        ("1", "2", "a"),
    ]
    assert chapters(metadata_text(video())) == []


@pytest.mark.parametrize(
    ("seconds", "filters"),
    [
        (None, "apad"),
        (20, "apad,atrim=duration=20.000000,afade=t=out:st=18.000000:d=2.000000"),
        (8, "apad,atrim=duration=8.000000,afade=t=out:st=6.000000:d=2.000000"),
        (4, "apad,atrim=duration=4.000000,afade=t=out:st=3.000000:d=1.000000"),
    ],
)
def test_sound_fades_over_its_last_quarter_and_two_seconds_at_most(seconds, filters):
    assert Soundtrack(Path("a.wav")).filters(seconds) == filters


def test_sound_as_an_input_and_as_a_source():
    assert Soundtrack(Path("/a b.wav")).input_args() == ["-i", "file:/a b.wav"]
    assert Soundtrack(Path("/a.wav"), loop=True).input_args() == ["-stream_loop", "-1", "-i", "file:/a.wav"]
    assert Soundtrack(Path("/a.wav")).endless_source() == "amovie=/a.wav:loop=1,aresample=44100,apad"
    looped = Soundtrack(Path("/a'b:c,d.wav"), loop=True).endless_source()
    assert looped == "amovie=/a\\\\\\'b\\\\:c\\,d.wav:loop=0,aresample=44100,asetpts=N/SR/TB"


def script(tmp_path, text):
    """Return a program that stands for ffmpeg."""
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return str(program)


def test_a_sound_that_ffmpeg_cannot_read_is_refused(tmp_path, monkeypatch):
    track = Soundtrack(tmp_path / "a.wav")
    with pytest.raises(UsageError, match=r"--audio \S*a\.wav: no such file"):
        track.check(script(tmp_path, "exit 0"))
    track.file.touch()
    track.check(script(tmp_path, "exit 0"))
    with pytest.raises(UsageError, match="no readable sound"):
        track.check(script(tmp_path, "exit 1"))
    monkeypatch.setattr("lingbot_cli.sinks.soundtrack._PROBE_TIMEOUT_S", 0.05)
    with pytest.raises(UsageError, match="could not be read within"):
        track.check(script(tmp_path, "exec sleep 60"))


def test_tags_are_read_with_ffmpeg(tmp_path):
    video_file = tmp_path / "a.mp4"
    with pytest.raises(UsageError, match=r"a\.mp4: no such file"):
        read_tags(script(tmp_path, "exit 0"), video_file)
    video_file.touch()
    assert read_tags(script(tmp_path, "echo ';FFMETADATA1'; echo 'Title=a gate'"), video_file) == {
        "title": "a gate"
    }
    with pytest.raises(UsageError, match=r"a\.mp4: not a readable video"):
        read_tags(script(tmp_path, "exit 1"), video_file)
