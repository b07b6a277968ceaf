"""Prompt cleaning as published (model §10), and the words beyond the length that the text encoder reads; no torch."""

import html
import re
from collections.abc import Iterable
from pathlib import Path


def clean_prompt(prompt: str) -> str:
    """Repair broken encodings, resolve HTML entities twice and collapse white space."""
    import ftfy  # 0.1 s of tables

    repaired = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", repaired).strip()


def lost_words(tokenizer_file: Path, prompt: str, text_len: int) -> str:
    """Return the end of a cleaned prompt that exceeds `text_len` tokens, empty if nothing does.

    The last token of `text_len` marks the end. A tokenizer that cannot be read is reported when it is loaded.
    """
    cleaned = clean_prompt(prompt)
    if len(cleaned.encode()) < text_len:  # no token is shorter than a byte, so the tokenizer is not needed
        return ""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception:  # the library raises nothing narrower
        return ""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = tokenizer.encode(cleaned)
    if len(encoded.ids) <= text_len:
        return ""
    last = max(end for _, end in encoded.offsets[: text_len - 1])
    return cleaned[last:].strip()


def length_warnings(tokenizer_file: Path, prompts: Iterable[str], text_len: int) -> list[str]:
    """Return a warning for each prompt that is cut, with the words that are lost."""
    return [
        f"prompt “{prompt[:40]}…” is longer than {text_len} tokens; lost: “{lost}”"
        for prompt in dict.fromkeys(prompts)
        if (lost := lost_words(tokenizer_file, prompt, text_len))
    ]
