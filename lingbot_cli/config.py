"""What is set once instead of said each time: flag > LINGBOT_* > lingbot.yaml > the user's file > default."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.known import SETTINGS, VARIABLES
from lingbot_cli.timeline.diagnostics import Problem, Problems, TimelineError, TooManyProblems
from lingbot_cli.timeline.load import read_source
from lingbot_cli.timeline.yaml_reader import YamlNode, YamlReader

PROJECT_FILE = "lingbot.yaml"


@dataclass(frozen=True)
class Setting:
    """A value and who said it: a variable, or a file and its line."""

    value: Any
    source: str


def user_file(environ: Mapping[str, str]) -> Path:
    """Where a user's own settings lie: the XDG configuration folder."""
    base = environ.get("XDG_CONFIG_HOME") or Path(os.path.expanduser(environ.get("HOME", "~"))) / ".config"
    return Path(base) / "lingbot" / "config.yaml"


def variable_of(name: str) -> str:
    """The environment's name of a setting."""
    return f"LINGBOT_{name.upper()}"


def read_settings(environ: Mapping[str, str], folder: Path) -> dict[str, Setting]:
    """Every setting that is set, the strongest word for each; TimelineError for a file that is wrong."""
    found: dict[str, Setting] = {}
    for file in (user_file(environ), folder / PROJECT_FILE):
        if file.is_file():
            found.update(_read(file))
    for name in SETTINGS:
        if environ.get(variable_of(name)):
            found[name] = Setting(environ[variable_of(name)], variable_of(name))
    return found


def check_settings(found: Mapping[str, Setting]) -> None:
    """Refuse values that no command could take, each by the name of who set it. Errors: UsageError."""
    wrong = {
        setting.source: complaint
        for name, setting in found.items()
        if (complaint := _complaint(SETTINGS[name].check, str(setting.value)))
    }
    _refuse(wrong)


def check_variables(environ: Mapping[str, str]) -> None:
    """Refuse wrong values of the variables that are no settings, as their own commands do. Errors: UsageError."""
    _refuse(
        {
            name: complaint
            for name, known in VARIABLES.items()
            if environ.get(name) and (complaint := _complaint(known.check, environ[name]))
        }
    )


def check_names(environ: Mapping[str, str]) -> None:
    """Refuse a variable whose name is nearly one of ours, and does nothing. Errors: UsageError."""
    ours = {*VARIABLES, *map(variable_of, SETTINGS)}
    others = [name for name in environ if name.startswith("LINGBOT_") and name not in ours]
    near = {name: get_close_matches(name, ours, n=1, cutoff=0.85) for name in others}
    _refuse({name: f"no such setting; is {meant[0]} meant?" for name, meant in near.items() if meant})


def _complaint(check: Callable[[str], object], value: str) -> str | None:
    try:
        check(value)
    except LingbotError as error:
        return f"{error} ({error.hint})" if error.hint else str(error)
    return None


def _refuse(wrong: Mapping[str, str]) -> None:
    if wrong:
        raise UsageError("\n".join(f"{source}: {complaint}" for source, complaint in wrong.items()))


def _read(file: Path) -> dict[str, Setting]:
    source = read_source(str(file))
    problems = Problems()
    found: dict[str, Setting] = {}
    try:
        root = YamlReader(source.text, problems).root
        if root is not None and not isinstance(root.value, dict | None):
            problems.append(Problem(root.place(), "no settings; expected lines such as `seed: 7`"))
        parts: dict[str, tuple[YamlNode, YamlNode]] = (
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
    except TooManyProblems:
        pass
    if problems:
        raise TimelineError(source, problems)
    return found
