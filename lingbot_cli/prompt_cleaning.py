"""The published cleaning of prompts (model §10); no torch."""

import html
import re


def clean_prompt(prompt: str) -> str:
    """The published cleaning: mend broken encodings, resolve HTML entities twice, collapse white space."""
    import ftfy  # 0.1 s of tables

    mended = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", mended).strip()
