"""Output file and image sequence: written under a partial name, renamed when complete."""

import os
import re
from itertools import count
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.files import check_folder, check_new
from lingbot_cli.sinks.resume_link import ResumeLink

FRAME_NUMBER = re.compile(r"%0?\d*d")


def partial_name(path: Path) -> Path:
    """Return the name of an incomplete video: film.mp4 → film.partial.mp4."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def copy_name(target: str, suffix: str) -> str:
    """Return the name of another version of an output: a.mp4 → a.SUFFIX.mp4, a/%05d.png → a.SUFFIX/%05d.png."""
    path = Path(target)
    if FRAME_NUMBER.search(path.name):
        return str(sibling_folder(path.parent, suffix) / path.name)
    return str(path.with_name(f"{path.stem}.{suffix}{path.suffix}"))


def sibling_folder(folder: Path, suffix: str) -> Path:
    """Return frames.SUFFIX for frames/, also for a sequence in the working directory."""
    return folder.with_name(f"{folder.name}.{suffix}") if folder.name else Path(f"frames.{suffix}")


def numbered_files(folder: Path, pattern: str) -> dict[int, Path]:
    """Return the files in `folder` that match a pattern such as %05d.png, by number, in order."""
    before, after = FRAME_NUMBER.split(pattern)
    name = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    matches = ((name.fullmatch(path.name), path) for path in folder.glob("*"))
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


class OutputFile:
    """File written as `partial` until it is complete.

    `link` finds it again in a later run; `growing` is the file that the encoder writes.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self.overwrite = overwrite
        self.partial = partial_name(path)
        self.link: ResumeLink | None = None
        self.growing = self.partial

    @property
    def url(self) -> str:
        """URL of the growing file for ffmpeg."""
        return f"file:{self.growing.absolute()}"

    def check(self) -> None:
        """Raise unless the file can be created and its name is free."""
        check_folder(self.path.parent)
        check_new(self.path, overwrite=self.overwrite)

    def start_over(self) -> None:
        """Replace an earlier partial file by an empty one."""
        with write_errors(self.partial):
            # An encoder that outlived its killed run may still have the old file open.
            self.partial.unlink(missing_ok=True)
            self.partial.write_bytes(b"")
        if self.link is not None:
            self.link.remove()
            self.link.link(self.partial)
        self.growing = self.partial

    def resume(self, frames: int) -> Path:
        """Prepare another file to append after the first `frames` frames; return the file that has them.

        The earlier run's file stays unchanged until `replace_partial`.
        """
        assert self.link is not None
        existing, growing = self.link.limit_frames(frames), self.link.next_file
        with write_errors(growing):
            growing.unlink(missing_ok=True)
            growing.write_bytes(b"")
        self.growing = growing
        return existing

    def replace_partial(self) -> None:
        """Replace the partial file by the growing one, which now has all its frames."""
        assert self.link is not None
        with write_errors(self.partial):
            self.link.link(self.link.next_file)
            self.link.next_file.replace(self.partial)

    def commit(self) -> None:
        """Flush the complete file to the disk and give it its final name."""
        check_new(self.path, overwrite=self.overwrite)
        try:
            with self.partial.open("rb+") as written:
                os.fsync(written.fileno())
            self.partial.replace(self.path)
        except OSError as failure:
            raise OutputError(f"{self.path} could not be finished: {failure.strerror}") from failure


class ImageSequence:
    """Numbered images, written to a folder of their own: a/%05d.png → a.partial/.

    `link` finds `marker`, an empty file in that folder, again in a later run.
    """

    def __init__(self, pattern: Path, *, overwrite: bool) -> None:
        if len(FRAME_NUMBER.findall(pattern.name)) != 1:
            raise UsageError(
                f"-o {pattern}: an image sequence needs one number in its file name",
                hint=f"use a name such as {pattern.parent / ('%05d' + pattern.suffix)}",
            )
        self.pattern = pattern
        self.folder = pattern.parent
        self.overwrite = overwrite
        self.partial = sibling_folder(self.folder, "partial")
        self.url = f"{str(self.partial.absolute()).replace('%', '%%')}/{pattern.name}"
        self.link: ResumeLink | None = None
        self.marker = self.partial / ".film"

    def count_images(self, limit: int) -> int:
        """Return the number of images that an earlier run left, up to `limit` or the first gap."""
        found = self.link.find() if self.link is not None else None
        if found is None or not (self.marker.exists() and self.marker.samefile(found[0])):
            return 0
        existing = numbered_files(self.partial, self.pattern.name)
        return min(limit, next(number for number in count() if number not in existing))

    def check(self) -> None:
        """Raise unless images can be created and their names are free."""
        check_folder(self.folder.absolute().parent)
        for image in numbered_files(self.folder, self.pattern.name).values():
            check_new(image, overwrite=self.overwrite)

    def prepare(self, first: int) -> None:
        """Prepare to write images from number `first` on; remove later ones."""
        with write_errors(self.partial):
            self.partial.mkdir(exist_ok=True)
            for number, image in numbered_files(self.partial, self.pattern.name).items():
                if number >= first:
                    image.unlink()
            if not first:
                self.marker.unlink(missing_ok=True)
            if self.link is not None:
                self.marker.touch()
        if self.link is not None and not first:
            self.link.remove()
            self.link.link(self.marker)

    def commit(self) -> None:
        """Move the complete sequence to its final folder, by a rename if that does not exist yet."""
        try:
            self.marker.unlink(missing_ok=True)
            if not self.folder.exists():
                self.partial.replace(self.folder)
                return
            for image in numbered_files(self.folder, self.pattern.name).values():
                image.unlink()
            for image in numbered_files(self.partial, self.pattern.name).values():
                image.replace(self.folder / image.name)
            self.partial.rmdir()
        except OSError as failure:
            raise OutputError(f"{self.pattern} could not be finished: {failure.strerror}") from failure

    def discard(self) -> None:
        """Remove the folder of a sequence without images."""
        self.marker.unlink(missing_ok=True)
        self.partial.rmdir()
