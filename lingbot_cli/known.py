"""The settings and variables there are: what holds where nobody sets them, and what refuses a wrong value."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.checkpoints.checkpoint import check_name
from lingbot_cli.checkpoints.layouts import check_assets
from lingbot_cli.errors import UsageError
from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.capabilities import check_device
from lingbot_cli.sinks.codecs import CODECS, FAMILIES
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg


@dataclass(frozen=True)
class Known:
    """`usual` tells in words what holds without it; `check` raises a LingbotError; `secret` is never shown."""

    usual: str
    check: Callable[[str], object] = str
    secret: bool = False


def _one_of(*names: str) -> Callable[[str], object]:
    def check(value: str) -> None:
        if value not in names:
            raise UsageError(f"'{value}' is none of {', '.join(names)}")

    return check


def _whole(least: int, most: int) -> Callable[[str], object]:
    def check(value: str) -> None:
        if not re.fullmatch(r"-?[0-9]{1,19}", value) or not least <= int(value) <= most:
            raise UsageError(f"'{value}' is no whole number from {least} to {most}")

    return check


def _shard(value: str) -> None:
    from lingbot_cli.batch.run import part

    part((), value)


def _size(value: str) -> None:
    from lingbot_cli.image import parse_size  # brings numpy, which most starts can do without

    parse_size(value)


def _folder(value: str) -> None:
    if Path(os.path.expanduser(value)).is_file():
        raise UsageError(f"{value} is a file, not a folder")


SETTINGS = {
    "model": Known("built-in", check_name),
    "assets": Known("none", lambda value: check_assets(Path(value))),
    "device": Known("the best there is", check_device),
    "precision": Known("bfloat16 on a GPU, else float32", _one_of("float32", "bfloat16", "float16", "fp8")),
    "size": Known("the picture's shape in the model's area", _size),
    "fps": Known("the timeline's, else 16", _whole(1, 120)),
    "seed": Known("the timeline's, else 42", _whole(0, 2**63 - 1)),
    "scale": Known("fixed, for a path of poses clip", _one_of("fixed", "clip")),
    "quality": Known("web", _one_of("web", "master", "draft")),
    "codec": Known("the format's", _one_of(*CODECS, *FAMILIES)),
    "crf": Known("the codec's", _whole(0, 100)),
    "overlay": Known("none", _one_of("none", "keys", "burn")),
    "preset": Known("built-in", _one_of(*PRESETS)),
}
"""Each stands for the flag of its name, in every command that has it, and may stand in a file too."""

VARIABLES = {
    "LINGBOT_CACHE_DIR": Known("lingbot in the user's cache", _folder),
    "LINGBOT_FFMPEG": Known(
        "the one that came with lingbot", lambda value: find_ffmpeg({"LINGBOT_FFMPEG": value})
    ),
    "LINGBOT_OUTPUT_DIR": Known("the folder batch is called in", _folder),
    "LINGBOT_SHARD": Known("1/1", _shard),
    "LINGBOT_ON": Known("this machine"),
    "LINGBOT_TOKEN": Known("none", secret=True),
    "LINGBOT_STREAM_URL": Known("none", secret=True),
}
"""What is said by the environment alone."""
