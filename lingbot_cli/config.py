"""Settings and environment variables: flag > LINGBOT_* > lingbot.yaml > the user's file > default."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lingbot_cli.camera.scale import parse_scale
from lingbot_cli.checkpoints.cache_dir import home_folder
from lingbot_cli.checkpoints.checkpoint import check_name
from lingbot_cli.checkpoints.layouts import check_assets
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.hardware import check_device
from lingbot_cli.sinks.codecs import CODEC_FAMILIES, CODECS
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
from lingbot_cli.timeline.times import parse_fps
from lingbot_cli.video_size import parse_size

PROJECT_FILE = "lingbot.yaml"


@dataclass(frozen=True)
class SettingSpec:
    """A setting's default in words, and a check that raises a LingbotError; a `secret` is never printed."""

    default: str
    check: Callable[[str], object] = str
    secret: bool = False


@dataclass(frozen=True)
class Setting:
    """A value and its source: a variable, or a file and its line."""

    value: Any
    source: str


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


def _check_folder(value: str) -> None:
    if Path(os.path.expanduser(value)).is_file():
        raise UsageError(f"{value} is a file, not a folder")


SETTINGS = {
    "model": SettingSpec("built-in", check_name),
    "assets": SettingSpec("none", lambda value: check_assets(Path(value))),
    "device": SettingSpec("the fastest here", check_device),
    "precision": SettingSpec(
        "bfloat16 on a GPU, else float32", _one_of("float32", "bfloat16", "float16", "fp8")
    ),
    "size": SettingSpec("the image's shape in the model's area", parse_size),
    "fps": SettingSpec("the timeline's, else 16", parse_fps),
    "seed": SettingSpec("the timeline's, else 42", _integer(0, 2**63 - 1)),
    "scale": SettingSpec("clip for --poses, else fixed", parse_scale),
    "quality": SettingSpec("web", _one_of("web", "master", "draft")),
    "codec": SettingSpec("the format's", _one_of(*CODECS, *CODEC_FAMILIES)),
    "crf": SettingSpec("the codec's", _integer(0, 100)),
    "overlay": SettingSpec("none", _one_of("none", "keys", "burn")),
    "preset": SettingSpec("the model's", _one_of(*PRESETS)),
}
"""Settings by the name of the flag that each stands for, in every command that has it."""

VARIABLES = {
    "LINGBOT_CACHE_DIR": SettingSpec("lingbot in the user's cache", _check_folder),
    "LINGBOT_FFMPEG": SettingSpec(
        "the one that came with lingbot", lambda value: find_ffmpeg({"LINGBOT_FFMPEG": value})
    ),
    "LINGBOT_OUTPUT_DIR": SettingSpec("the working folder of batch", _check_folder),
    "LINGBOT_SHARD": SettingSpec("1/1", _check_shard),
    "LINGBOT_ON": SettingSpec("this machine"),
    "LINGBOT_TOKEN": SettingSpec("none", secret=True),
    "LINGBOT_STREAM_URL": SettingSpec("none", secret=True),
}
"""Variables that no file can set."""


def user_file(environ: Mapping[str, str]) -> Path:
    """Return the user's own settings file, in the XDG configuration folder."""
    base = environ.get("XDG_CONFIG_HOME") or home_folder(environ) / ".config"
    return Path(base) / "lingbot" / "config.yaml"


def variable_of(name: str) -> str:
    """Return a setting's environment variable."""
    return f"LINGBOT_{name.upper()}"


def read_settings(environ: Mapping[str, str], folder: Path) -> dict[str, Setting]:
    """Read every setting that is set, the strongest source of each. Errors: TimelineError for a wrong file."""
    found: dict[str, Setting] = {}
    for file in (user_file(environ), folder / PROJECT_FILE):
        if file.is_file():
            found.update(_read(file))
    for name in SETTINGS:
        if environ.get(variable_of(name)):
            found[name] = Setting(environ[variable_of(name)], variable_of(name))
    return found


def check_settings(found: Mapping[str, Setting]) -> None:
    """Refuse values that no command could take, all at once, each by its source. Errors: UsageError."""
    wrong = {
        setting.source: problem
        for name, setting in found.items()
        if (problem := _problem(SETTINGS[name].check, str(setting.value)))
    }
    _refuse(wrong)


def check_variables(environ: Mapping[str, str]) -> None:
    """Refuse wrong values of the variables that are no settings. Errors: UsageError."""
    _refuse(
        {
            name: problem
            for name, spec in VARIABLES.items()
            if environ.get(name) and (problem := _problem(spec.check, environ[name]))
        }
    )


def check_names(environ: Mapping[str, str]) -> None:
    """Refuse a variable whose name is nearly one of ours and has no effect. Errors: UsageError."""
    ours = {*VARIABLES, *map(variable_of, SETTINGS)}
    others = [name for name in environ if name.startswith("LINGBOT_") and name not in ours]
    near = {name: get_close_matches(name, ours, n=1, cutoff=0.85) for name in others}
    _refuse({name: f"no such setting; did you mean {meant[0]}?" for name, meant in near.items() if meant})


def _problem(check: Callable[[str], object], value: str) -> str | None:
    try:
        check(value)
    except (LingbotError, ValueError) as error:
        hint = getattr(error, "hint", None)
        return f"{error} ({hint})" if hint else str(error)
    return None


def _refuse(wrong: Mapping[str, str]) -> None:
    if wrong:
        raise UsageError("\n".join(f"{source}: {problem}" for source, problem in wrong.items()))


def _read(file: Path) -> dict[str, Setting]:
    # Imported here: with pydantic, timelines would double the time that help takes.
    from lingbot_cli.timeline.diagnostics import Problem, Problems, TimelineError, TooManyProblems
    from lingbot_cli.timeline.load import read_source
    from lingbot_cli.timeline.yaml_reader import YamlNode, YamlReader

    source = read_source(str(file))
    problems = Problems()
    found: dict[str, Setting] = {}
    try:
        root = YamlReader(source.text, problems).root
        if root is not None and not isinstance(root.value, dict | None):
            problems.append(Problem(root.locate(), "no settings; expected lines such as `seed: 7`"))
        parts: dict[str, tuple[YamlNode, YamlNode]] = (
            root.children if root is not None and type(root.children) is dict else {}
        )
        for name, (key, node) in parts.items():
            if name not in SETTINGS:
                near = get_close_matches(name[:40], SETTINGS, n=1)
                known = f"'{near[0]}'" if near else f"one of {', '.join(SETTINGS)}"
                problems.append(Problem(key.locate(), f"unknown setting '{name[:40]}'; expected {known}"))
            elif not isinstance(node.value, str | int | float):
                problems.append(
                    Problem(node.locate(), f"`{name}` is not a value; expected a word or a number")
                )
            else:
                found[name] = Setting(node.value, f"{file}:{key.locate().line}")
    except TooManyProblems:
        pass
    if problems:
        raise TimelineError(source, problems)
    return found
