"""Prompt cleaning as published (model §10); no torch."""

import html
import re


def clean_prompt(prompt: str) -> str:
    """Repair broken encodings, resolve HTML entities twice and collapse white space."""
    import ftfy  # 0.1 s of tables

    repaired = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", repaired).strip()
