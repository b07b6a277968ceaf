"""What is set once instead of said each time: flag > LINGBOT_* > lingbot.yaml > the user's file > default."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lingbot_cli.timeline.load import read_source
from lingbot_cli.timeline.nodes import Node, Reader
from lingbot_cli.timeline.source import Enough, Problem, Problems, TimelineError

# Each stands for the flag of its name, in every command that has it.
SETTINGS = (
    *("model", "assets", "device", "precision", "size", "fps", "seed", "scale"),
    *("quality", "codec", "crf", "overlay", "preset"),
)
PROJECT = "lingbot.yaml"


@dataclass(frozen=True)
class Setting:
    """A value and who said it: a variable, or a file and its line."""

    value: Any
    source: str


def user_file(environ: Mapping[str, str]) -> Path:
    """Where a user's own settings lie: the XDG configuration folder."""
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(base) / "lingbot" / "config.yaml"


def read_settings(environ: Mapping[str, str], folder: Path) -> dict[str, Setting]:
    """Every setting that is set, the strongest word for each; TimelineError for a file that is wrong."""
    found: dict[str, Setting] = {}
    for file in (user_file(environ), folder / PROJECT):
        if file.is_file():
            found.update(_read(file))
    for name in SETTINGS:
        variable = f"LINGBOT_{name.upper()}"
        if environ.get(variable):
            found[name] = Setting(environ[variable], variable)
    return found


def _read(file: Path) -> dict[str, Setting]:
    source = read_source(str(file))
    problems = Problems()
    found: dict[str, Setting] = {}
    try:
        root = Reader(source.text, problems).root
        if root is not None and not isinstance(root.value, dict | None):
            problems.append(Problem(root.place(), "no settings; expected lines such as `seed: 7`"))
        parts: dict[str, tuple[Node, Node]] = (
            root.parts if root is not None and type(root.parts) is dict else {}
        )
        for name, (key, node) in parts.items():
            if name not in SETTINGS:
                near = get_close_matches(name[:40], SETTINGS, n=1)
                known = f"'{near[0]}'" if near else f"one of {', '.join(SETTINGS)}"
                problems.append(Problem(key.place(), f"unknown setting '{name[:40]}'; expected {known}"))
            elif not isinstance(node.value, str | int | float):
                problems.append(
                    Problem(node.place(), f"`{name}` is not a value; expected a word or a number")
                )
            else:
                found[name] = Setting(node.value, f"{file}:{key.place().line}")
    except Enough:
        pass
    if problems:
        raise TimelineError(source, problems)
    return found
