"""ffmpeg's command line, as a pure function, and the metadata file it reads."""

from collections.abc import Sequence
from fractions import Fraction

from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.codecs import Codec
from lingbot_cli.sinks.formats import Format

_KEYFRAME_INTERVAL_S = 2


def encode_args(
    ffmpeg: str,
    film: VideoInfo,
    container: Format,
    codec: Codec,
    *,
    url: str,
    quality: str = "web",
    crf: int | None = None,
    metadata_fd: int | None = None,
    first: int = 0,
) -> list[str]:
    """Return the command that reads raw RGB frames on standard input and writes the film to `url`.

    `first`: the number of the first picture of a sequence.
    """
    notes, video, told = metadata_input(metadata_fd)
    piped = url.startswith("pipe:")
    container_args = container.piped if piped and container.piped is not None else container.args
    return [
        *(ffmpeg, "-hide_banner", "-nostats", "-loglevel", "warning", "-y"),
        *("-progress", "pipe:2", "-stats_period", "0.05"),
        *notes,
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{film.width}x{film.height}"),
        *("-framerate", str(film.fps), "-i", "pipe:0"),
        *("-map", f"{video}:v", *told),
        *("-vf", _filters(film, codec)),
        *("-c:v", codec.encoder, "-pix_fmt", codec.pixels),
        *("-g", str(keyframe_interval(film.fps)), "-fps_mode", "passthrough"),
        *codec.args,
        *_quality_args(codec, quality, crf),
        *container_args,
        *(("-start_number", str(first)) if container.sequence else ()),
        *("-f", container.muxer, url),
    ]


def metadata_input(metadata_fd: int | None) -> tuple[Sequence[str], int, Sequence[str]]:
    """Return the input that holds the metadata, the number of the input after it, and what to take from it."""
    if metadata_fd is None:
        return (), 0, ("-map_metadata", "-1")
    # The notes come first: probing the frames waits for the first of them.
    return ("-f", "ffmetadata", "-i", f"pipe:{metadata_fd}"), 1, ("-map_metadata", "0", "-map_chapters", "0")


def _filters(film: VideoInfo, codec: Codec) -> str:
    """Convert colours once; where a codec needs even sides, repeat the last row or column."""
    right, bottom = (film.width % 2, film.height % 2) if codec.even else (0, 0)
    if not (right or bottom):
        return codec.filters
    pad = f"pad={film.width + right}:{film.height + bottom}"
    return f"{pad},fillborders=right={right}:bottom={bottom}:mode=smear,{codec.filters}"


def _quality_args(codec: Codec, quality: str, crf: int | None) -> Sequence[str]:
    draft = quality == "draft"
    if not codec.quality:
        return codec.fast if draft else ()
    number = crf if crf is not None else codec.draft if draft else codec.web
    return (codec.quality, str(number), *(codec.fast if draft else ()))


def keyframe_interval(fps: Fraction) -> int:
    """How many frames a keyframe is apart from the next, at most."""
    return max(1, round(fps * _KEYFRAME_INTERVAL_S))


def metadata_text(film: VideoInfo) -> str:
    """Return the film's metadata and chapters in ffmpeg's own notation (ffmetadata)."""
    lines = [";FFMETADATA1"]
    lines += [f"{_escape(key)}={_escape(value)}" for key, value in film.metadata.items()]
    chapters = film.chapters
    if chapters and chapters[0].start > 0:
        # In MP4 the first chapter begins with the film, wherever it is said to begin.
        chapters = (Chapter(0, "start"), *chapters)
    ends = [*(chapter.start for chapter in chapters[1:]), film.frames]
    for chapter, end in zip(chapters, ends, strict=False):
        end = chapter.start + 1 if end is None else end
        lines += [
            "[CHAPTER]",
            f"TIMEBASE={film.fps.denominator}/{film.fps.numerator}",
            f"START={chapter.start}",
            f"END={end}",
            f"title={_escape(chapter.title)}",
        ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    for special in ("\\", "=", ";", "#", "\n"):
        text = text.replace(special, "\\" + special)
    return text
