"""Choice of a format and a codec, and the arguments of live encoders."""

from fractions import Fraction

import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.ffmpeg_args import codec_filters, default_bitrate, keyframe_interval, stream_args
from lingbot_cli.sinks.formats import FORMATS, choose_codec, choose_format, is_sequence


def refusal(call, *args):
    with pytest.raises(UsageError) as refused:
        call(*args)
    return f"{refused.value}; {refused.value.hint}"


def test_the_extension_decides_and_then_the_option():
    assert choose_format("a.MP4") is FORMATS["mp4"]
    assert choose_format("a.mkv", "y4m") is FORMATS["mkv"]
    assert choose_format("-", "y4m") is FORMATS["y4m"]
    assert "-o -: needs --format" in refusal(choose_format, "-")
    assert "-o a.avi: unknown file extension" in refusal(choose_format, "a.avi")
    assert "--format avi: unknown format; use one of mp4" in refusal(choose_format, "a.mp4", "avi")


def test_what_each_format_holds():
    def formats(feature):
        return {name for name, each in FORMATS.items() if getattr(each, feature)}

    assert formats("metadata") == {"mp4", "mov", "mkv", "webm"}
    assert formats("sequence") == {"png", "jpeg"}
    assert formats("playlist") == {"hls"}
    assert formats("segment_args") == {"mp4", "mkv", "webm", "ts", "hls", "y4m"}
    assert formats("audio_codec") == {"mp4", "mov", "mkv", "webm", "ts", "hls"}
    assert formats("subtitle_codec") == {"mp4", "mov", "mkv"}
    assert {name: each.max_fps for name, each in FORMATS.items() if each.max_fps} == {"gif": 50}


def test_codecs_fit_their_format_and_quality():
    assert choose_codec(FORMATS["mp4"], "web", None) == FORMATS["mp4"].codecs[0]
    assert choose_codec(FORMATS["mp4"], "master", None) == FORMATS["mp4"].master_codec
    assert choose_codec(FORMATS["mkv"], "master", "ffv1") == "ffv1"
    assert choose_codec(FORMATS["mp4"], "draft", "x265") == "x265"
    assert "not lossless, as --quality master requires" in refusal(
        choose_codec, FORMATS["mp4"], "master", "x265"
    )
    assert "--codec vp9: not supported in mp4" in refusal(choose_codec, FORMATS["mp4"], "web", "vp9")
    assert "gif is not lossless" in refusal(choose_codec, FORMATS["gif"], "master", None)
    assert "--quality best: unknown quality" in refusal(choose_codec, FORMATS["mp4"], "best", None)


def test_names_of_sequences():
    assert [is_sequence(name) for name in ("a/%05d.png", "a.mp4", "%d.mp4", "a.png", "%d", "a")] == [
        *(True, False, False, True, True, False)
    ]


@pytest.mark.parametrize(("fps", "frames"), [("0.1", 1), ("1", 2), ("16", 32), ("30000/1001", 60)])
def test_a_keyframe_every_two_seconds(fps, frames):
    assert keyframe_interval(Fraction(fps)) == frames


def test_bit_rates_have_bounds():
    assert default_bitrate(VideoInfo(480, 832, Fraction(16))) == 2236
    least, most = (
        default_bitrate(VideoInfo(*size)) for size in ((16, 16, Fraction(1)), (4320, 7680, Fraction(120)))
    )
    assert least < 2236 < most
    assert default_bitrate(VideoInfo(32, 32, Fraction(1))) == least
    assert default_bitrate(VideoInfo(4320, 7680, Fraction(60))) == most


@pytest.mark.parametrize(
    ("height", "width", "pad"),
    [(2, 2, ""), (3, 2, "pad=2:4,fill"), (2, 3, "pad=4:2,fill"), (3, 3, "pad=4:4,fill")],
)
def test_odd_sides_are_made_even_where_the_codec_needs_it(height, width, pad):
    found = codec_filters(VideoInfo(height, width, Fraction(16)), CODECS["x264"])
    assert found.startswith(pad or "scale=")
    assert codec_filters(VideoInfo(3, 3, Fraction(16)), CODECS["ffv1"]) == CODECS["ffv1"].filters


@pytest.mark.parametrize(
    ("height", "width", "hd"), [(576, 1278, False), (576, 1280, True), (578, 64, True), (2, 2, False)]
)
def test_formats_without_colour_tags_take_large_video_as_bt709(height, width, hd):
    codec = next(each for each in CODECS.values() if each.hd_filters)
    found = codec_filters(VideoInfo(height, width, Fraction(16)), codec)
    assert found == (codec.hd_filters if hd else codec.filters)
    assert ("bt709" in found, "bt601" in found) == (hd, not hd)


def live(muxer, url="rtmp://127.0.0.1/a/b", **options):
    return " ".join(stream_args("ffmpeg", VideoInfo(480, 832, Fraction(16)), url=url, muxer=muxer, **options))


def test_services_get_a_constant_rate_and_sound():
    command = live("flv")
    assert "-x264-params nal-hrd=cbr" in command
    assert "-f lavfi -i anullsrc=r=44100:cl=stereo" in command
    assert "-map 1:a -c:a aac -b:a 96k -shortest" in command
    assert "-b:v 2236k -minrate 2236k -maxrate 2236k -bufsize 2236k" in command
    assert command.endswith("-flush_packets 1 -muxdelay 0 -f flv rtmp://127.0.0.1/a/b")
    assert not any(word in command for word in ("baseline", "handshake", "hls", "opus"))
    assert "-b:v 900k" in live("flv", kbits=900)
    silent = live("flv", audio=False)
    assert "lavfi" not in silent
    assert "1:a" not in silent


def test_browsers_get_the_baseline_and_opus():
    command = live("whip", "http://127.0.0.1/whip")
    assert "-profile:v baseline" in command
    assert "-c:a libopus -ar 48000 -ac 2 -b:a 96k" in command
    assert "-handshake_timeout 3000" in command
    assert "nal-hrd" not in command


def test_a_playlist_names_its_segments():
    command = live("hls", "live/index.m3u8")
    assert "-hls_time 2 -hls_playlist_type event -hls_segment_filename index.%d.ts" in command
    assert "-hls_flags append_list+independent_segments+temp_file" in command
    assert command.endswith("-f hls live/index.m3u8")
