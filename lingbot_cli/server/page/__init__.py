"""The page: its parts, put together into one document that loads nothing else."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

_SCRIPTS = ("msgpack.js", "screen.js", "input.js", "play.js")


@cache
def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def document(facts: dict[str, Any]) -> tuple[str, str]:
    """The page as HTML, and the Content-Security-Policy it is served with.

    `facts` is what the page knows from the start; it stands in the page as data, not as code.
    """
    # In a scope of its own, so that no browser's own names stand in the way.
    script = "(() => {\n" + "\n".join(_read(name) for name in _SCRIPTS) + "\n})();"
    style = _read("style.css")
    said = json.dumps(facts, ensure_ascii=True).replace("<", "\\u003c")
    html = _read("index.html")
    for mark, text in (("/*STYLE*/", style), ("{/*FACTS*/}", said), ("/*SCRIPT*/", script)):
        html = html.replace(mark, text, 1)
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
