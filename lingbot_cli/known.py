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
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
from lingbot_cli.sinks.formats import CODEC_FAMILIES, CODECS


@dataclass(frozen=True)
class SettingSpec:
    """`usual` tells in words what holds without it; `check` raises a LingbotError; `secret` is never shown."""

    default: str
    check: Callable[[str], object] = str
    secret: bool = False


def _one_of(*names: str) -> Callable[[str], object]:
    def check(value: str) -> None:
        if value not in names:
            raise UsageError(f"'{value}' is none of {', '.join(names)}")

    return check


def _integer(least: int, most: int) -> Callable[[str], object]:
    def check(value: str) -> None:
        if not re.fullmatch(r"-?[0-9]{1,19}", value) or not least <= int(value) <= most:
            raise UsageError(f"'{value}' is no whole number from {least} to {most}")

    return check


def _check_shard(value: str) -> None:
    from lingbot_cli.batch.run import select_shard

    select_shard((), value)


def _check_size(value: str) -> None:
    from lingbot_cli.image import parse_size  # brings numpy, which most starts can do without

    parse_size(value)


def _check_folder(value: str) -> None:
    if Path(os.path.expanduser(value)).is_file():
        raise UsageError(f"{value} is a file, not a folder")


SETTINGS = {
    "model": SettingSpec("built-in", check_name),
    "assets": SettingSpec("none", lambda value: check_assets(Path(value))),
    "device": SettingSpec("the best there is", check_device),
    "precision": SettingSpec(
        "bfloat16 on a GPU, else float32", _one_of("float32", "bfloat16", "float16", "fp8")
    ),
    "size": SettingSpec("the picture's shape in the model's area", _check_size),
    "fps": SettingSpec("the timeline's, else 16", _integer(1, 120)),
    "seed": SettingSpec("the timeline's, else 42", _integer(0, 2**63 - 1)),
    "scale": SettingSpec("fixed, for a path of poses clip", _one_of("fixed", "clip")),
    "quality": SettingSpec("web", _one_of("web", "master", "draft")),
    "codec": SettingSpec("the format's", _one_of(*CODECS, *CODEC_FAMILIES)),
    "crf": SettingSpec("the codec's", _integer(0, 100)),
    "overlay": SettingSpec("none", _one_of("none", "keys", "burn")),
    "preset": SettingSpec("built-in", _one_of(*PRESETS)),
}
"""Each stands for the flag of its name, in every command that has it, and may stand in a file too."""

VARIABLES = {
    "LINGBOT_CACHE_DIR": SettingSpec("lingbot in the user's cache", _check_folder),
    "LINGBOT_FFMPEG": SettingSpec(
        "the one that came with lingbot", lambda value: find_ffmpeg({"LINGBOT_FFMPEG": value})
    ),
    "LINGBOT_OUTPUT_DIR": SettingSpec("the folder batch is called in", _check_folder),
    "LINGBOT_SHARD": SettingSpec("1/1", _check_shard),
    "LINGBOT_ON": SettingSpec("this machine"),
    "LINGBOT_TOKEN": SettingSpec("none", secret=True),
    "LINGBOT_STREAM_URL": SettingSpec("none", secret=True),
}
"""What is said by the environment alone."""
