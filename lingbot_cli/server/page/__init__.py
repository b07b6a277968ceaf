"""Web page of the server, assembled into one document that loads nothing else, and the data of its playing mode."""

import base64
import hashlib
import io
import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from lingbot_cli.camera.keys import WALK_UNITS_PER_FRAME
from lingbot_cli.endpoints import GENERATE_PATH
from lingbot_cli.sample_files import PACKAGE

_SCRIPTS = (
    *("msgpack.js", "frame_player.js", "camera_input.js", "view.js", "save.js", "start.js"),
    *("play.js", "controls.js"),
)
SCENES = {
    "day": "a stone courtyard by day",
    "dusk": "a stone courtyard at dusk",
    "night": "a stone courtyard at night",
    "snow": "a stone courtyard in snow",
}
"""Prompts by the names of their samples."""
_THUMBNAIL = (224, 128)


@cache
def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def page_document(page_data: dict[str, Any]) -> tuple[str, str]:
    """Return the page as HTML and its Content-Security-Policy; `page_data` is embedded as JSON, not as code."""
    # In a function scope, so that no name collides with the browser's own.
    script = "(() => {\n" + "\n".join(_read(name) for name in _SCRIPTS) + "\n})();"
    style = _read("style.css")
    data = json.dumps(page_data, ensure_ascii=True).replace("<", "\\u003c")
    parts = {"/*STYLE*/": style, "{/*DATA*/}": data, "/*SCRIPT*/": script}
    # In one pass, as the data may hold a mark.
    html = re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], _read("index.html"))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "connect-src 'self'",
            "img-src 'self' blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return html, policy


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


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
