"""Expansion of jobs into tasks, one a video, each with its own name in the output folder."""

import contextlib
import os
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import product
from pathlib import Path, PurePosixPath

from lingbot_cli.batch.jobs import Job, read_jobs
from lingbot_cli.checkpoints.lora import parse_lora
from lingbot_cli.checkpoints.registry import DECODERS
from lingbot_cli.errors import UsageError
from lingbot_cli.remote.client import RemoteTarget
from lingbot_cli.render.request import Request
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sample_files import find_sample
from lingbot_cli.sinks.factory import OutputOptions
from lingbot_cli.sinks.formats import choose_codec, choose_format
from lingbot_cli.sinks.output_paths import is_partial_name
from lingbot_cli.timeline.diagnostics import (
    Problem,
    Problems,
    SourceItem,
    SourceText,
    TimelineError,
    TooManyProblems,
)
from lingbot_cli.timeline.input_files import PathOptions
from lingbot_cli.timeline.resolve import TimelineOverrides
from lingbot_cli.video_size import parse_size

_MAX_NAME_BYTES = 255
_FILE_KEYS = {"assets", "text_encoder", "lora", "decoder"}
_MODEL_KEYS = ({field.name for field in fields(ModelOptions)} & set(Job.model_fields)) - _FILE_KEYS
NAME_FIELDS = ("image", "timeline", "prompt", "seed", "job")


@dataclass(frozen=True)
class Task:
    """One video to render; `name` is its path below the output folder."""

    name: str
    request: Request
    options: OutputOptions

    def configured(self, remote: RemoteTarget | None, *, fast: bool) -> "Task":
        """Return the task with a remote model and with fast mode, where its job does not exclude it."""
        options = replace(self.request.options, fast=self.request.options.fast or fast)
        return replace(self, request=replace(self.request, remote=remote, options=options))


def read_tasks(source: SourceText, *, allow_outside: bool = False, overwrite: bool = False) -> list[Task]:
    """Return the tasks of a jobs file. Errors: TimelineError with every error of the file."""
    problems = Problems()
    tasks: list[Task] = []
    with contextlib.suppress(TooManyProblems):
        lines: dict[str, int] = {}  # line of each name's first use
        for number, (job, item) in enumerate(read_jobs(source, problems), 1):
            resolve = partial(_resolve_path, source, item, allow_outside, problems)
            files = {key: resolve(key, getattr(job, key)) for key in _PATH_CHECKS if key != "lora"}
            loras = tuple(str(resolve("lora", text)) for text in job.lora or ())
            wrong = list(_check_options(job, item))
            for problem in wrong:
                problems.append(problem)
            if not wrong:
                size, rows = job.intrinsics_size, job.poses_fps
                path = PathOptions(files["intrinsics"], size, job.convention, job.matrix, rows)
                outside = allow_outside and job.timeline is not None
                flags = TimelineOverrides(None, job.fps, job.duration, job.scale, outside, path)
                for task in _expand_job(job, number, files, loras, flags, overwrite=overwrite):
                    if message := _name_problem(task.name, job, lines):
                        problems.append(Problem(item.locate(("output",)), message))
                        break
                    lines[task.name] = item.locate().line
                    tasks.append(task)
    if problems:
        raise TimelineError(source, problems)
    return tasks


def _expand_job(
    job: Job,
    number: int,
    files: dict[str, str | None],
    loras: tuple[str, ...],
    flags: TimelineOverrides,
    *,
    overwrite: bool,
) -> Iterator[Task]:
    options = OutputOptions(job.quality, job.codec, job.crf, None, overwrite)
    for prompt, seed in product(job.prompts or (job.prompt,), job.seeds or (job.seed,)):
        request = Request(
            image=Path(files["image"] or ""),
            timeline=files["timeline"],
            moves=job.moves,
            poses=files["poses"],
            overrides=replace(flags, prompt=prompt),
            size=job.size,
            seed=seed,
            options=ModelOptions(
                assets=None if job.assets is None else Path(job.assets),
                text_encoder=None if files["text_encoder"] is None else Path(files["text_encoder"]),
                lora=loras,
                decoder=files["decoder"],
                **job.model_dump(include=_MODEL_KEYS),
            ),
        )
        yield Task(str(PurePosixPath(_output_name(job, number, prompt, seed))), request, options)


def _lora_file(path: Path) -> Path | None:
    """Return the file of a LoRA named with its strength or without; None if there is none."""
    with contextlib.suppress(UsageError):
        return parse_lora(str(path))[0]
    return None


_PATH_CHECKS: dict[str, Callable[[Path], bool]] = {
    "image": Path.is_file,
    "timeline": Path.is_file,
    "poses": Path.exists,
    "intrinsics": Path.is_file,
    "decoder": Path.is_file,
    "text_encoder": Path.exists,
    "lora": lambda path: _lora_file(path) is not None,
}


def _resolve_path(
    source: SourceText, item: SourceItem, allow_outside: bool, problems: Problems, key: str, name: str | None
) -> str | None:
    """Resolve a path of a job against the jobs file's folder; add its errors to `problems`."""
    if name is None or (key == "decoder" and name in DECODERS):
        return name
    if sample := find_sample(name, source.folder):
        return str(sample)
    path = source.folder / name
    message = None
    try:
        places = [path, (_lora_file(path) if key == "lora" else None) or path]
        inside = all(each.resolve().is_relative_to(source.folder.resolve()) for each in places)
        if not allow_outside and not inside:
            message = (
                f"{name} lies outside the jobs file's folder; expected a file under it, or --allow-outside"
            )
        elif not _PATH_CHECKS[key](path):
            message = f"{name} does not exist; expected it under {source.folder}"
    except (OSError, ValueError, RuntimeError) as wrong:  # a null byte, a long name, a loop of links
        message = (
            f"{name[:40]!r} is no path: {getattr(wrong, 'strerror', None) or wrong}; expected a file's name"
        )
    if message is not None:
        problems.append(Problem(item.locate((key,)), message))
    return str(path)


def _check_options(job: Job, item: SourceItem) -> Iterator[Problem]:
    if job.size is not None:
        try:
            parse_size(job.size)
        except UsageError as wrong:
            yield Problem(item.locate(("size",)), f"{wrong}; expected {wrong.hint}".removeprefix("--size "))
    try:
        used = [field for _, field, _, _ in string.Formatter().parse(job.output or "") if field is not None]
    except ValueError as wrong:
        yield Problem(item.locate(("output",)), f"{wrong}; expected a name such as {{image}}-{{seed}}.mp4")
        return
    known = [field for field in NAME_FIELDS if field != "seed" or job.seed is not None or job.seeds]
    for field in used:
        if field not in known:
            message = f"unknown field {{{field[:40]}}}; expected one of {', '.join(f'{{{each}}}' for each in known)}"
            yield Problem(item.locate(("output",)), message)
            return
    try:
        choose_codec(choose_format(job.output or "video.mp4"), job.quality, job.codec)
    except UsageError as wrong:
        key = "codec" if job.codec else "output"
        yield Problem(item.locate((key,)), f"{wrong}; expected to {wrong.hint}")


def _output_name(job: Job, number: int, prompt: str | None, seed: int | None) -> str:
    template = job.output
    if template is None:
        template = "{image}" + "-{prompt}" * bool(job.prompts) + "-{seed}" * (seed is not None) + ".mp4"
    return template.format(
        image=Path(job.image or "").stem,
        timeline=Path(job.timeline or job.poses or "moves").stem,
        prompt=slug(prompt or ""),
        seed=seed,
        job=number,
    )


def _name_problem(name: str, job: Job, named: dict[str, int]) -> str | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] == (".lingbot",) or name == "null:":
        return f"{name} would lie outside the output folder; expected a name below it"
    if is_partial_name(name):
        return f"{name} is a name for videos that are not complete yet; expected one without .partial"
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES or "\0" in part for part in path.parts):
        return f"{name[:20]!r}… is no file name; expected at most {_MAX_NAME_BYTES} bytes, none of them 0"
    if name in named:
        several = [key for key in ("prompt", "seed") if getattr(job, f"{key}s")]
        needed = " and ".join(f"{{{key}}}" for key in several)
        expected = f"{needed} in it" if needed else "another name"
        return f"{name} is the output of line {named[name]} too; expected {expected}"
    return None


def slug(text: str) -> str:
    """Return a text as part of a file name: letters and digits, at most 40."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-_")[:40].rstrip("-_") or "none"
