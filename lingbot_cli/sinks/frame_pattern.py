"""Name pattern of an image sequence: %05d is the frame's number, %% a percent sign."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.files import name_limit
from lingbot_cli.video_size import MAX_FRAMES

_TOKEN = re.compile(r"%%|%0?(\d{0,2})d", re.ASCII)
_TEMPORARY_SUFFIX = ".tmp"  # of an image that ffmpeg is writing


@dataclass(frozen=True)
class FramePattern:
    """Names that differ in a number of at least `digits` digits, between `before` and `after`."""

    before: str
    digits: int
    after: str

    @classmethod
    def parse(cls, name: str) -> "FramePattern | None":
        """Return the pattern of a name with exactly one number, else None; other percent signs are literal."""
        texts, digits, end = [""], [], 0
        for token in _TOKEN.finditer(name):
            texts[-1] += name[end : token.start()]
            end = token.end()
            if token[0] == "%%":
                texts[-1] += "%"
            else:
                texts.append("")
                digits.append(int(token[1] or 1))
        texts[-1] += name[end:]
        return cls(texts[0], digits[0], texts[1]) if len(digits) == 1 else None

    def name(self, number: int) -> str:
        """Return the name of an image."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"

    def for_writing(self, folder: Path) -> "FramePattern":
        """Return the pattern, without its text where that leaves no room for a temporary name."""
        longest = os.fsencode(self.name(MAX_FRAMES) + _TEMPORARY_SUFFIX)
        if len(longest) <= name_limit(folder):
            return self
        return FramePattern("", self.digits, Path(self.name(0)).suffix)

    def ffmpeg_url(self, folder: Path) -> str:
        """Return the pattern in a folder, in ffmpeg's notation."""
        before, after = (
            text.replace("%", "%%") for text in (f"{folder.absolute()}/{self.before}", self.after)
        )
        return f"{before}%0{self.digits}d{after}"

    def find(self, folder: Path) -> dict[int, Path]:
        """Return the images in a folder by number, in order."""
        number = re.compile(rf"{re.escape(self.before)}(\d+){re.escape(self.after)}", re.ASCII | re.S)
        matches = ((number.fullmatch(path.name), path) for path in folder.glob("*"))
        found = {
            int(match[1]): path for match, path in matches if match and path.name == self.name(int(match[1]))
        }
        return dict(sorted(found.items()))
