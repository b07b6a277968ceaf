"""A film's recipe: all it takes to render it again, carried in the film itself."""

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lingbot_cli import __version__
from lingbot_cli.errors import UsageError
from lingbot_cli.redact import redact
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.runtime.autotune import Tuning

METADATA_KEY = "lingbot"
RECIPE_VERSION = 1


def make_recipe(
    prepared: PreparedVideo, *, precision: str | None, tuning: Tuning | None, written: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the recipe of a film; `written` is how it was encoded, as flags without their dashes.

    `precision` and `tuning` are what was used, asked for or not."""
    request, planned = prepared.request, prepared.plan
    asked = {
        "timeline": request.timeline,
        "moves": request.moves,
        "poses": request.poses,
        "prompt": request.flags.prompt,
        "fps": planned.fps,
        "duration": None if request.flags.duration is None else str(request.flags.duration),
        "scale": request.flags.scale,
        "allow-outside": request.flags.allow_outside,
        "size": f"{planned.width}x{planned.height}",
        "seed": planned.seed,
        "model": request.options.model,
        "assets": None if request.options.assets is None else str(request.options.assets),
        "device": request.options.device,
        "precision": precision,
        **request.options.flags(),
        **(tuning.facts() if tuning is not None else {}),
        "no-compile": request.options.compile is False,
        **written,
    }
    files = [request.image, *(path for path in prepared.images if path is not None)]
    if request.options.tiny_decoder is not None:
        files.append(Path(request.options.tiny_decoder))
    recipe = {
        "recipe": RECIPE_VERSION,
        "image": str(request.image),
        "flags": {name: value for name, value in asked.items() if value is not None and value is not False},
        "timeline": prepared.timeline,
        "files": {str(path): sha256_file(path) for path in files},
        "model": {
            "preset": asdict(prepared.checkpoint.preset),
            "identity": prepared.checkpoint.identity,
            "trained": prepared.checkpoint.trained,
        },
        "versions": {
            "lingbot": __version__,
            "torch": version("torch"),
            "python": platform.python_version(),
        },
    }
    return _redacted(recipe)


def container_metadata(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return what a file says about itself: the recipe, and a line for players that show one."""
    return {
        METADATA_KEY: json.dumps(recipe, ensure_ascii=False, separators=(",", ":")),
        "comment": f"made with lingbot {__version__}; `lingbot show` prints how",
    }


def read_recipe(tags: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Return the recipe among a file's tags; UsageError when there is none."""
    text = tags.get(METADATA_KEY)
    if text is None:
        raise UsageError(
            f"{path} carries no recipe",
            hint="MP4, MKV and WebM films do, unless they were made with --no-metadata",
        )
    try:
        recipe = json.loads(text)
        if recipe["recipe"] != RECIPE_VERSION:
            raise UsageError(f"{path}: its recipe is of another kind ({recipe['recipe']})")
        return recipe
    except (ValueError, KeyError, TypeError) as wrong:
        raise UsageError(f"{path}: its recipe cannot be read: {wrong}") from wrong


def recipe_command(recipe: Mapping[str, Any], output: str, timeline: str | None = None) -> str:
    """Return the command that renders the film again, into `output`, from the timeline file given."""
    flags = dict(recipe["flags"])
    if timeline is not None:
        flags["timeline"] = timeline
    words = ["lingbot", "render", recipe["image"]]
    for name, value in flags.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return shlex.join([*words, "-o", output])


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each) for each in value]
    return value
