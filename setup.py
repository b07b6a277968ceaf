"""Build of the package: links of the README lead to the repository LINGBOT_URL, or are plain text without it."""

import os
import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
URL = os.environ.get("LINGBOT_URL", "").rstrip("/")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_ELSEWHERE = ("http:", "https:", "mailto:", "#")


def version() -> str:
    """Return the package's version."""
    text = (ROOT / "lingbot_cli" / "__init__.py").read_text("utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def absolute_links(text: str) -> str:
    """Return Markdown whose relative links lead to the tag of this version, outside its blocks of code."""
    parts = text.split("```")
    return "```".join(
        _LINK.sub(_absolute, part) if place % 2 == 0 else part for place, part in enumerate(parts)
    )


def _absolute(link: "re.Match[str]") -> str:
    image, label, target = link.groups()
    if target.startswith(_ELSEWHERE):
        return link[0]
    if not URL:
        return "" if image else label
    return f"{image}[{label}]({URL}/{'raw' if image else 'blob'}/v{version()}/{target})"


setup(
    long_description=absolute_links((ROOT / "README.md").read_text("utf-8")),
    long_description_content_type="text/markdown",
    project_urls={
        "Repository": URL,
        "Documentation": f"{URL}/blob/v{version()}/README.md",
        "Changelog": f"{URL}/blob/v{version()}/CHANGELOG.md",
        "Issues": f"{URL}/issues",
    }
    if URL
    else {},
)
