"""Data of the page in its playing mode: the model, and the scenes that the built-in model was trained on."""

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from lingbot_cli.camera.keys import WALK_UNITS_PER_FRAME
from lingbot_cli.endpoints import GENERATE_PATH
from lingbot_cli.sample_files import PACKAGE

SCENES = {
    "day": "a stone courtyard by day",
    "dusk": "a stone courtyard at dusk",
    "night": "a stone courtyard at night",
    "snow": "a stone courtyard in snow",
}
"""Prompts by the names of their samples."""
_THUMBNAIL = (224, 128)


def play_page_data(model: dict[str, Any]) -> dict[str, Any]:
    """Return the page's data for a model as `/v1/models` describes it."""
    data = {"mode": "play", "route": GENERATE_PATH, "model": model, "walk_speed": WALK_UNITS_PER_FRAME}
    if model["id"] == "built-in":
        data["scenes"] = [
            {"label": label, "prompt": prompt, "path": f"samples/{label}.png", "picture": _thumbnail(label)}
            for label, prompt in SCENES.items()
        ]
    return data


def sample_path(name: str) -> Path | None:
    """Return the sample image of a scene by its address on the server, None for any other name."""
    label = name.removesuffix(".png")
    return PACKAGE / "samples" / f"courtyard-{label}.png" if label in SCENES else None


@cache
def _thumbnail(label: str) -> str:
    """Return a scene's small picture as a data URI."""
    path = sample_path(label)
    assert path is not None
    with Image.open(path) as image:
        small = image.convert("RGB").resize(_THUMBNAIL, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
