"""Sound, subtitles and ProRes in files and streams."""

import os
import shlex
import subprocess
import sys
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.model.session import Session
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.sinks.soundtrack import Soundtrack
from tests.support.command import lingbot
from tests.support.live_outputs import Feed, start
from tests.support.reference import sample_image
from tests.support.rtmp_server import until

RATE = 8000
FRAMES = 48
SRT = "1\n00:00:00,000 --> 00:00:01,500\na stone cloître\n\n2\n00:00:01,500 --> 00:00:03,000\nit rains\n"
VIDEO = VideoInfo(48, 64, Fraction(16), FRAMES, (Chapter(0, "gate"),), {"lingbot": "{}"}, subtitles=SRT)


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """Write a tone of 1 s."""
    path = tmp_path_factory.mktemp("tone") / "it's, a [tone]; x:y.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        samples = 16000 * np.sin(np.arange(RATE) * 2 * np.pi * 440 / RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture
def walk(tmp_path, monkeypatch):
    """Return the arguments of a short render in the working folder `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(sample_image(40, 48)).save("first.png")
    return ("render", "first.png", "--moves", "w-21", "--size", "32x32", "--prompt", "a gate")


def write(path, bars, **options):
    sink = choose_sink(str(path), OutputOptions(**options), os.environ)
    sink.open(VIDEO)
    sink.write(bars(FRAMES, 48, 64))
    sink.close()


def loudness(ffmpeg, path):
    """Return the root mean square of every half second of sound."""
    command = [ffmpeg, "-v", "error", "-i", str(path), "-map", "0:a:0", "-ar", str(RATE), "-ac", "1"]
    done = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, check=True, timeout=60)
    samples = np.frombuffer(done.stdout, "<i2").astype(float)
    return [
        float(np.sqrt((part**2).mean())) for part in np.array_split(samples, max(1, len(samples) // 4000))
    ]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "aac"),
        ("a.mov", "pcm_s16le"),
        ("a.mkv", "aac"),
        ("a.webm", "opus"),
        ("a.ts", "aac"),
        ("a.m3u8", "aac"),
    ],
)
def test_sound_is_cut_to_the_video_and_silent_after_its_end(
    tmp_path, bars, probe, decode, tone, ffmpeg, name, codec
):
    write(tmp_path / name, bars, audio=Soundtrack(tone))
    found = probe(tmp_path / name)
    assert [each["codec_name"] for each in found["streams"] if each["codec_type"] == "audio"] == [codec]
    assert float(found["format"]["duration"]) == pytest.approx(3, abs=0.06)
    assert len(decode(tmp_path / name, 48, 64)) == FRAMES
    if name not in ("a.ts", "a.m3u8"):
        assert [chapter["tags"]["title"] for chapter in found["chapters"]] == ["gate"]
    parts = loudness(ffmpeg, tmp_path / name)
    assert parts[0] > 5000
    assert max(parts[3:]) < 50


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.m3u8"])
def test_a_partial_file_has_its_sound_and_is_resumed(tmp_path, bars, decode, tone, ffmpeg, name):
    options = OutputOptions(audio=Soundtrack(tone, loop=True), resume_dir=tmp_path / "resume")
    sink = choose_sink(str(tmp_path / name), options, os.environ)
    sink.open(VIDEO)
    sink.write(bars(32, 48, 64))
    partial = sink.abort()
    shown = len(decode(partial, 48, 64))
    assert shown > 20
    parts = loudness(ffmpeg, partial)
    assert parts[1] > 5000
    assert len(parts) == pytest.approx(shown / 8, abs=1)  # half seconds
    again = choose_sink(str(tmp_path / name), options, os.environ)
    existing = again.resumable_frames(VIDEO, 31)[again.name]
    assert existing > 16
    again.open(replace(VIDEO, start_frame=existing))
    again.write(bars(FRAMES, 48, 64)[existing:])
    again.close()
    assert len(decode(tmp_path / name, 48, 64)) == FRAMES
    parts = loudness(ffmpeg, tmp_path / name)
    assert min(parts[:4]) > 5000
    assert parts[5] < 0.7 * parts[3]
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("frames", [FRAMES, None])
def test_looped_sound_lasts_and_fades(tmp_path, bars, tone, ffmpeg, frames):
    sink = choose_sink(str(tmp_path / "a.mp4"), OutputOptions(audio=Soundtrack(tone, loop=True)), os.environ)
    sink.open(replace(VIDEO, frames=frames))
    sink.write(bars(FRAMES, 48, 64))
    sink.close()
    parts = loudness(ffmpeg, tmp_path / "a.mp4")
    assert parts[2] > 5000
    assert parts[3] > 5000
    assert parts[5] < 0.7 * parts[3]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_prompts_are_a_subtitle_track(tmp_path, bars, tone, ffmpeg, name):
    write(tmp_path / name, bars, audio=Soundtrack(tone), subtitle_track=True)
    command = [ffmpeg, "-v", "error", "-i", str(tmp_path / name), "-map", "0:s:0", "-f", "srt", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == SRT.split()


@pytest.mark.parametrize(
    ("codec", "profile", "pixels"), [(None, "HQ", "yuv422p10le"), ("prores-4444", "4444", "yuv444p")]
)
def test_mov_holds_prores(tmp_path, bars, probe, decode, codec, profile, pixels):
    write(tmp_path / "a.mov", bars, codec=codec)
    video = probe(tmp_path / "a.mov")["video"]
    assert (video["codec_name"], video["profile"]) == ("prores", profile)
    assert video["pix_fmt"].startswith(pixels)
    assert (video["color_space"], int(video["nb_read_frames"])) == ("bt709", FRAMES)
    error = np.abs(decode(tmp_path / "a.mov", 48, 64).astype(int) - bars(FRAMES, 48, 64)).mean()
    assert error < (4 if codec else 8)  # 4:2:2 blurs the colours of the bars


def test_outputs_without_sound_are_refused(tone):
    with pytest.raises(UsageError, match="not possible in gif"):
        choose_sink("a.gif", OutputOptions(audio=Soundtrack(tone)), os.environ)


@pytest.mark.parametrize(
    "command",
    [
        *(("stream", "--to", url) for url in ("udp://127.0.0.1:9", "srt://127.0.0.1:9", "a.m3u8", "null:")),
        *(("render", "-o", output) for output in ("a.mp4", "null:")),
    ],
)
def test_files_without_sound_are_refused_whatever_the_output(walk, command):
    Path("a.mp3").write_text("no sound")
    for file, message in (("a.mp3", "no readable sound"), ("b.mp3", "no such file")):
        done = lingbot(command[0], *walk[1:], *command[1:], "--audio", file)
        assert done.code == 2
        assert f"--audio {file}: {message}" in done.stderr


def test_a_sound_that_is_not_read_in_time_is_refused(tmp_path, tone, monkeypatch):
    slow = tmp_path / "ffmpeg"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("lingbot_cli.sinks.soundtrack._PROBE_TIMEOUT_S", 0.1)
    with pytest.raises(UsageError, match="could not be read within"):
        Soundtrack(tone).check(str(slow))


def test_subtitles_are_utf_8_in_every_locale(tmp_path, ffmpeg):
    path = tmp_path / "a.mkv"
    code = (
        "import sys, numpy as np; from tests.sinks.test_tracks import write;"
        "write(sys.argv[1], lambda *shape: np.zeros((*shape, 3), np.uint8), subtitle_track=True)"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ | locale, check=True, timeout=60)
    command = [ffmpeg, "-v", "error", "-i", str(path), "-map", "0:s:0", "-f", "srt", "-"]
    assert (
        "a stone cloître"
        in subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
    )


def test_the_commands_write_sound_and_subtitles(tmp_path, probe, tone):
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "first.png")
    flags = (
        str(tmp_path / "first.png"),
        "--moves",
        "w-9",
        "--size",
        "48x32",
        "--prompt",
        "a gate",
        "--audio",
        str(tone),
        "--audio-loop",
    )
    done = lingbot("render", *flags, "--subtitles", "srt", "-o", str(tmp_path / "a.mp4"))
    assert done.code == 0, done.stderr
    assert (tmp_path / "a.srt").read_text() == "1\n00:00:00,000 --> 00:00:00,562\na gate\n"
    assert "audio" in {each["codec_type"] for each in probe(tmp_path / "a.mp4")["streams"]}
    again = lingbot("show", str(tmp_path / "a.mp4")).stdout.splitlines()[-1]
    assert f"--audio {shlex.quote(str(tone))} --audio-loop --subtitles srt" in again
    streamed = lingbot("stream", *flags, "--to", str(tmp_path / "s.mp4"))
    assert streamed.code == 0, streamed.stderr
    assert "audio" in {each["codec_type"] for each in probe(tmp_path / "s.mp4")["streams"]}


def test_subtitles_are_written_once_for_each_stem(walk, tmp_path):
    outputs = ("-o", "%05d.png", "-o", "100%.mkv", "-o", str(tmp_path / "100%.mp4"))
    done = lingbot(*walk, "--frames", "0:4", "--subtitles", "srt", *outputs)
    assert done.code == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.srt")} == {"frames.srt", "100%.srt"}


def test_subtitles_are_written_with_a_complete_video_alone(walk, monkeypatch, tmp_path):
    denoise, calls = Session.denoise, []

    def interrupted(session, control, on_clean=None):
        calls.append(control)
        if len(calls) == 2:
            raise OutputError("cut off")
        return denoise(session, control, on_clean)

    flags = ("--subtitles", "srt", "-o", "a.mkv")
    monkeypatch.setattr(Session, "denoise", interrupted)
    assert lingbot(*walk, *flags).code == 4
    assert not list(tmp_path.glob("*.srt"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    done = lingbot(*walk, *flags, "--resume")
    assert done.code == 0, done.stderr
    assert (tmp_path / "a.srt").is_file()
    assert lingbot(*walk, "--subtitles", "srt", "-o", "a.mp4", "--dry-run").code == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("srt", "-o", "null:"), "--subtitles srt: no output is a file"),
        (("srt", "-o", "-", "--format", "y4m"), "--subtitles srt: no output is a file"),
        (("track", "-o", "null:"), "--subtitles track: no output is a file"),
        (("srt", "--format", "mp4", "-o", "a.srt"), "a.srt: given twice"),
    ],
)
def test_subtitles_without_a_place_are_refused(walk, flags, message):
    done = lingbot(*walk, "--subtitles", *flags)
    assert done.code == 2
    assert message in done.stderr


def test_a_streamed_sound_replaces_the_silence(server, tone, ffmpeg):
    output = start(server.url, soundtrack=Soundtrack(tone, loop=True))
    with Feed(output, fps=48):
        until(lambda: output.stats.sent >= FRAMES)
    output.close()
    (video,) = server.recordings()
    assert min(loudness(ffmpeg, video)[1:4]) > 5000
