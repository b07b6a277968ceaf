"""Recipe of a video, carried in its metadata: everything that it takes to render the video again."""

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat, ValidationError

from lingbot_cli import __version__
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.checkpoints.lora import lora_files
from lingbot_cli.errors import UsageError
from lingbot_cli.files import file_state
from lingbot_cli.redact import redact_values
from lingbot_cli.render.fingerprint import preset_json
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.runtime.autotune import Tuning
from lingbot_cli.runtime.model_options import flag_words
from lingbot_cli.sinks.ffmetadata import read_tags
from lingbot_cli.sinks.formats import is_sequence

METADATA_KEY = "lingbot"
RECIPE_VERSION = 1
RECIPE_FLAGS = {
    *("timeline", "moves", "poses", "prompt", "fps", "duration", "scale", "intrinsics", "intrinsics-size"),
    *("convention", "matrix", "poses-fps", "allow-outside", "size", "seed", "model", "assets", "preset"),
    *("device", "precision", "chunk", "window", "sink", "shift", "steps", "decode", "text-on", "offload"),
    *(
        "decode-on",
        "kernel",
        "vae-format",
        "compile",
        "no-compile",
        "threads",
        "linears",
        "attention",
        "kv-cache",
    ),
    *("encode", "fast-steps", "commit", "decoder", "text-encoder", "lora", "fast", "quality", "codec", "crf"),
    *("overlay", "frames"),
    *("upscale", "output-size", "scaler", "interpolate", "audio", "audio-loop", "subtitles"),
}
"""Flags that a recipe may hold, all that make the same video; of others a command would do more than render it."""


class _RecipePath(BaseModel):
    file: str
    format: str
    convention: str
    matrix: str
    scale_rule: str
    scale: FiniteFloat


class _RecipeSteps(BaseModel, extra="forbid"):
    median: FiniteFloat
    largest: FiniteFloat


class _RecipeCamera(BaseModel):
    scale: FiniteFloat
    scale_rule: str
    steps: _RecipeSteps
    paths: list[_RecipePath]


class _NamedPreset(BaseModel):
    name: str


class _Model(BaseModel):
    preset: _NamedPreset
    identity: str


class _PrintedRecipe(BaseModel):
    """Types of the parts of a recipe that are printed and render it again."""

    image: str
    timeline: str | None
    flags: dict[str, str | bool | int | FiniteFloat | list[str]]
    versions: dict[str, str]
    files: dict[str, str]
    model: _Model
    camera: _RecipeCamera | None = None  # earlier versions did not write it


def make_recipe(
    prepared: PreparedVideo, *, precision: str | None, tuning: Tuning | None, encoding: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the recipe of a video; `encoding` is given as flags without their dashes.

    `precision` and `tuning` are those in use, given as options or not.
    """
    request, plan, model = prepared.request, prepared.plan, prepared.model
    options, overrides = request.options, request.overrides
    flags = {
        "timeline": request.timeline,
        "moves": request.moves,
        "poses": request.poses,
        "prompt": overrides.prompt,
        "fps": plan.fps,
        "duration": None if overrides.duration is None else str(overrides.duration),
        "scale": None if overrides.scale is None else str(overrides.scale),
        "intrinsics": overrides.path.intrinsics,
        "intrinsics-size": overrides.path.intrinsics_size,
        "convention": overrides.path.convention,
        "matrix": overrides.path.matrix,
        "poses-fps": overrides.path.fps,
        "allow-outside": overrides.allow_outside,
        "size": f"{plan.width}x{plan.height}",
        "seed": plan.seed,
        "model": options.model,
        "assets": None if options.assets is None else str(options.assets),
        "device": options.device,
        "precision": precision,
        **options.flags(),
        **(tuning.as_texts() if tuning is not None else {}),
        "no-compile": options.compile is False,
        **encoding,
    }
    files = [request.image, *(path for path in prepared.images if path is not None)]
    if request.poses is not None and Path(request.poses).is_file():
        files.append(Path(request.poses))
    if isinstance(model, Checkpoint) and model.decoder is not None:
        files.append(model.decoder)
    files += [file for text in options.lora for file in lora_files(text)]
    recipe = {
        "recipe": RECIPE_VERSION,
        "image": str(request.image),
        "flags": {name: value for name, value in flags.items() if value is not None and value is not False},
        "timeline": prepared.timeline,
        "camera": plan.camera_json(),
        "files": {str(path): sha256_file(path) for path in files if path.is_file()},  # a pipe is read once
        "model": {"preset": preset_json(model.preset), "identity": model.identity, "trained": model.trained},
        "versions": {
            "lingbot": __version__,
            "torch": version("torch"),
            "python": platform.python_version(),
        },
    }
    redacted: dict[str, Any] = redact_values(recipe)
    return redacted


def container_metadata(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a video file: the recipe, and a comment for players that show one."""
    return {
        METADATA_KEY: json.dumps(recipe, ensure_ascii=False, separators=(",", ":")),
        "comment": f"made with lingbot {__version__}; `lingbot show` prints how",
    }


def read_recipe(tags: Mapping[str, str], path: Path, *, whole: bool = True) -> dict[str, Any]:
    """Return the recipe in a file's tags; `whole` checks the parts that render it again. Errors: UsageError."""
    text = tags.get(METADATA_KEY)
    if text is None:
        raise UsageError(
            f"{path}: no recipe in its metadata",
            hint="render to MP4, MKV or WebM without --no-metadata",
        )
    try:
        recipe = json.loads(text)
        if recipe["recipe"] != RECIPE_VERSION:
            raise UsageError(f"{path}: unknown recipe version {recipe['recipe']}")
        if whole:
            flags = _PrintedRecipe.model_validate(recipe, strict=True).flags
            if not isinstance(flags.get("timeline", ""), str):
                raise ValueError("flags.timeline is no text")
            if "timeline" in flags and recipe["timeline"] is None:
                raise ValueError("its timeline is missing")
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        raise UsageError(
            f"{path}: unreadable recipe: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
        ) from wrong
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise UsageError(f"{path}: unreadable recipe: {wrong}") from wrong
    return recipe


def find_recipe(ffmpeg: str, video: Path, *, whole: bool = True) -> dict[str, Any] | None:
    """Return the recipe of a video, None for images and for a video without one. Errors: those of `read_recipe`."""
    tags = {} if is_sequence(video.name) else read_tags(ffmpeg, video)
    return read_recipe(tags, video, whole=whole) if METADATA_KEY in tags else None


def recipe_command(recipe: Mapping[str, Any], output: str, timeline: str | None = None) -> str:
    """Return the command that renders the video again, to `output`, from `timeline` if given."""
    flags = {name: value for name, value in recipe["flags"].items() if name in RECIPE_FLAGS}
    if timeline is not None:
        flags["timeline"] = timeline
    image = recipe["image"]
    image = f"./{image}" if image.startswith("-") else image
    return shlex.join(["lingbot", "render", image, *flag_words(flags), "-o", output])


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, which is read again only when the file has changed."""
    return _sha256_file(path, file_state(path))


@lru_cache(maxsize=64)
def _sha256_file(path: Path, _state: object) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
