"""Web page of the server, assembled into one document that loads nothing else."""

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

_SCRIPTS = (
    *("msgpack.js", "frame_player.js", "camera_input.js", "view.js", "save.js", "start.js"),
    *("play.js", "controls.js"),
)


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
