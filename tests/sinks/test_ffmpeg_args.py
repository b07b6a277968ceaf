"""ffmpeg command lines and metadata, compared exactly."""

from fractions import Fraction

import pytest

from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.codecs import CODEC_FAMILIES, CODECS
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmetadata import metadata_text
from lingbot_cli.sinks.formats import FORMATS

VIDEO = VideoInfo(480, 832, Fraction(16), 100)

READ = (
    "ffmpeg -hide_banner -nostats -loglevel warning -y -progress pipe:2 -stats_period 0.05"
    "{notes} -f rawvideo -pix_fmt rgb24 -video_size {size} -framerate 16 -i pipe:0 "
)
SCALE_709 = (
    "scale=in_range=full:out_range=limited:out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int,"
    "format=yuv420p,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)


def argv(video, container, codec, *, quality="web", crf=None, **options):
    encoding = Encoding("ffmpeg", FORMATS[container], CODECS[codec], quality, crf)
    return " ".join(encoding.args(video, **options))


def test_a_video_of_web_quality():
    assert argv(VIDEO, "mp4", "x264", url="file:/a.mp4", metadata_url="pipe:7") == (
        READ.format(notes=" -f ffmetadata -i pipe:7", size="832x480")
        + "-map 1:v -map_metadata 0 -map_chapters 0 "
        + f"-vf {SCALE_709} -c:v libx264 -pix_fmt yuv420p -g 32 -fps_mode passthrough "
        + "-bf 2 -x264-params rc-lookahead=4:sync-lookahead=0:sliced-threads=1 -crf 18 "
        + "-movflags +delay_moov+default_base_moof+use_metadata_tags -frag_duration 250000 -flush_packets 1 "
        + "-f mp4 file:/a.mp4"
    )


def test_a_draft_of_odd_size_into_a_pipe():
    video = VideoInfo(481, 831, Fraction(16))
    assert argv(video, "y4m", "yuv", url="pipe:1", quality="draft") == (
        READ.format(notes="", size="831x481")
        + "-map 0:v -map_metadata -1 "
        + "-vf pad=832:482,fillborders=right=1:bottom=1:mode=smear,"
        + "scale=in_range=full:out_range=limited:out_color_matrix=bt601:flags=accurate_rnd+full_chroma_int,"
        + "format=yuv420p -c:v rawvideo -pix_fmt yuv420p -g 32 -fps_mode passthrough "
        + "-flush_packets 1 -f yuv4mpegpipe pipe:1"
    )


def test_a_pipe_cannot_seek_so_an_mp4_stays_fragmented():
    command = argv(VIDEO, "mp4", "x264", url="pipe:1", quality="draft", crf=33)
    assert "+frag_keyframe+delay_moov+default_base_moof" in command
    assert "hybrid" not in command
    assert "-crf 33 -preset ultrafast" in command


@pytest.mark.parametrize("container", FORMATS)
def test_every_codec_a_format_names_exists(container):
    for name in (*FORMATS[container].codecs, FORMATS[container].master_codec):
        assert name is None or all(each in CODECS for each in CODEC_FAMILIES.get(name, (name,)))
    master = FORMATS[container].master_codec
    assert master is None or CODECS[master].lossless


def test_metadata_without_chapters():
    video = VideoInfo(480, 832, Fraction(16), 100, metadata={"title": "walk"})
    assert metadata_text(video) == ";FFMETADATA1\ntitle=walk\n"


def test_metadata_is_escaped_and_chapters_end_where_the_next_begins():
    video = VideoInfo(
        *(480, 832, Fraction(16), 100),
        chapters=(Chapter(0, "the gate"), Chapter(33, "a=b;c#d")),
        metadata={"comment": "two\nlines\\"},
    )
    assert metadata_text(video) == (
        ";FFMETADATA1\ncomment=two\\\nlines\\\\\n"
        "[CHAPTER]\nTIMEBASE=1/16\nSTART=0\nEND=33\ntitle=the gate\n"
        "[CHAPTER]\nTIMEBASE=1/16\nSTART=33\nEND=100\ntitle=a\\=b\\;c\\#d\n"
    )


def test_frames_before_the_first_marker_are_a_chapter():
    video = VideoInfo(16, 16, Fraction(16), 48, (Chapter(16, "gate"),))
    text = metadata_text(video)
    assert [line for line in text.splitlines() if line.startswith(("START", "END", "title"))] == [
        *("START=0", "END=16", "title=start"),
        *("START=16", "END=48", "title=gate"),
    ]
