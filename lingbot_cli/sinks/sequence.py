"""Where the pictures of a numbered sequence gather until it is whole."""

from itertools import count
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.sinks.output_paths import (
    FRAME_NUMBER,
    check_folder,
    check_free,
    numbered_files,
    sibling_folder,
)
from lingbot_cli.sinks.resume_link import ResumeLink


class ImageSequence:
    """A folder of its own: a/%05d.png → a.partial/. A mark in it has a second name, as a file's film has."""

    def __init__(self, pattern: Path, *, overwrite: bool) -> None:
        if len(FRAME_NUMBER.findall(pattern.name)) != 1:
            raise UsageError(
                f"-o {pattern}: a sequence is named by one number in its file name",
                hint=f"for example {pattern.parent / ('%05d' + pattern.suffix)}",
            )
        self.pattern = pattern
        self.folder = pattern.parent
        self.overwrite = overwrite
        self.partial = sibling_folder(self.folder, "partial")
        self.url = f"{str(self.partial.absolute()).replace('%', '%%')}/{pattern.name}"
        self.kept: ResumeLink | None = None
        self.mark = self.partial / ".film"

    def whole(self, limit: int) -> int:
        """How many pictures without a gap from the first, up to `limit`, an earlier run left."""
        found = self.kept.find() if self.kept is not None else None
        if found is None or not (self.mark.exists() and self.mark.samefile(found[0])):
            return 0
        there = numbered_files(self.partial, self.pattern.name)
        return min(limit, next(number for number in count() if number not in there))

    def check(self) -> None:
        """Raise unless pictures can be made here under names that are free."""
        check_folder(self.folder.absolute().parent)
        check_free(self.pattern, bool(numbered_files(self.folder, self.pattern.name)), self.overwrite)

    def prepare(self, first: int) -> None:
        """Make ready for the pictures from number `first` on; later ones that are here go."""
        with write_errors(self.partial):
            self.partial.mkdir(exist_ok=True)
            for number, old in numbered_files(self.partial, self.pattern.name).items():
                if number >= first:
                    old.unlink()
            if not first:
                self.mark.unlink(missing_ok=True)
            if self.kept is not None:
                self.mark.touch()
        if self.kept is not None and not first:
            self.kept.forget()
            self.kept.link(self.mark)

    def commit(self) -> None:
        """Give the finished sequence its name: at once, where nothing else has it."""
        try:
            self.mark.unlink(missing_ok=True)
            if not self.folder.exists():
                self.partial.replace(self.folder)
                return
            for old in numbered_files(self.folder, self.pattern.name).values():
                old.unlink()
            for frame in numbered_files(self.partial, self.pattern.name).values():
                frame.replace(self.folder / frame.name)
            self.partial.rmdir()
        except OSError as failure:
            raise OutputError(f"{self.pattern} could not be finished: {failure.strerror}") from failure

    def discard(self) -> None:
        """Remove a sequence that has no picture."""
        self.mark.unlink(missing_ok=True)
        self.partial.rmdir()
