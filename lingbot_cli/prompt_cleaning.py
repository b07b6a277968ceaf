"""Prompt cleaning as published (model §10), and the words beyond the length that the text encoder reads; no torch."""

import html
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def clean_prompt(prompt: str) -> str:
    """Repair broken encodings, resolve HTML entities twice and collapse white space."""
    import ftfy  # 0.1 s of tables

    repaired = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", repaired).strip()


def join_sentences(texts: Iterable[str]) -> str:
    """Join texts to one, with a full stop after each but the last that has no such mark."""
    known = [text for text in texts if text]
    return " ".join(text if text[-1] in ".!?…" else f"{text}." for text in known[:-1]) + (
        f" {known[-1]}" if len(known) > 1 else "".join(known)
    )


@lru_cache(maxsize=2)
def _tokenizer(file: Path) -> "Tokenizer | None":
    """Load a tokenizer; one that cannot be read is reported when it is loaded with the text encoder."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # the library raises nothing narrower
        return None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@dataclass(frozen=True)
class PromptFitter:
    """Cut of prompts to the length that the text encoder reads, which names the words that are lost.

    `tokenizer`: a tokenizer's file. `warn` receives a sentence for each cut.
    """

    tokenizer: Path
    text_len: int
    warn: Callable[[str], None]

    def __call__(self, prompt: str, action_text: str = "") -> str:
        """Return a prompt of which the end, `action_text`, is complete; without one the encoder itself cuts."""
        lost = self.lost_words(prompt)
        if not lost:
            return prompt
        fitted = prompt
        if words := prompt.removesuffix(action_text).split() if action_text else []:
            counts = range(1, len(words) + 1)
            fits = bisect_left(counts, 1, key=lambda n: bool(self.lost_words(_fit(words, n, action_text))))
            fitted = _fit(words, fits, action_text)
            lost = " ".join([*words[fits:], self.lost_words(fitted)]).strip()
        self.warn(f"prompt “{prompt[:40]}…” is longer than {self.text_len} tokens; lost: “{lost}”")
        return fitted

    def lost_words(self, prompt: str) -> str:
        """Return the end of a cleaned prompt that the encoder does not read, empty if there is none.

        The last token of `text_len` marks the end.
        """
        cleaned = clean_prompt(prompt)
        if len(cleaned.encode()) < self.text_len:  # no token is shorter than a byte
            return ""
        tokenizer = _tokenizer(self.tokenizer)
        encoded = None if tokenizer is None else tokenizer.encode(cleaned)
        if encoded is None or len(encoded.ids) <= self.text_len:
            return ""
        last = max(end for _, end in encoded.offsets[: self.text_len - 1])
        return cleaned[last:].strip()


def _fit(words: list[str], count: int, action_text: str) -> str:
    return join_sentences([" ".join(words[:count]), action_text])
