"""Schema and reader of jobs files, YAML or JSONL, validated as strictly as a timeline."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from lingbot_cli.camera.convention import Convention, Matrix
from lingbot_cli.timeline.diagnostics import Problem, Problems, SourceItem, SourceLocation, SourceText
from lingbot_cli.timeline.jsonl_reader import JsonLine, parse_json_line
from lingbot_cli.timeline.load import is_yaml
from lingbot_cli.timeline.schema import (
    DIALECT,
    FrameRateField,
    ImageSize,
    JsonSchema,
    NonEmptyText,
    ScaleField,
    StrictModel,
    TimeField,
    model_schemas,
)
from lingbot_cli.timeline.validate import validate_model
from lingbot_cli.timeline.yaml_reader import YamlReader

MAX_VIDEOS = MAX_SEEDS = 10_000
_RANGE = re.compile(r"(\d{1,19})\.\.(\d{1,19})", re.ASCII)


def _seeds(value: object) -> Sequence[int]:
    """Parse `1..8`, both ends included, or a list of seeds."""
    if isinstance(value, str) and (found := _RANGE.fullmatch(value.strip())):
        first, last = int(found[1]), int(found[2])
        if 0 <= last - first < MAX_SEEDS and last < 2**63:
            return range(first, last + 1)
    whole = isinstance(value, list) and all(type(each) is int and 0 <= each < 2**63 for each in value)
    if isinstance(value, list) and whole and 0 < len(set(value)) == len(value) <= MAX_SEEDS:
        return tuple(value)
    raise PydanticCustomError(
        "timeline", "not seeds; expected a range such as 1..8 or a list of different numbers, at most 10,000"
    )


_SEEDS_SCHEMA = {
    "description": "A range with both ends, such as 1..8, or a list of different numbers.",
    "anyOf": [
        {"type": "string", "pattern": rf"^\s*{_RANGE.pattern}\s*$"},
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
    ],
}


class Job(StrictModel):
    """One job: options of `lingbot render` by name; `prompts` and `seeds` expand it into several videos."""

    image: NonEmptyText | None = None
    timeline: NonEmptyText | None = None
    moves: NonEmptyText | None = None
    poses: NonEmptyText | None = None
    prompt: NonEmptyText | None = None
    prompts: Annotated[list[NonEmptyText], Field(min_length=1, max_length=1000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    seeds: Annotated[Sequence[int], PlainValidator(_seeds), WithJsonSchema(_SEEDS_SCHEMA)] | None = None
    output: NonEmptyText | None = None
    size: NonEmptyText | None = None
    fps: FrameRateField | None = None
    duration: TimeField | None = None
    scale: ScaleField | None = None
    intrinsics: NonEmptyText | None = None
    intrinsics_size: ImageSize | None = None
    convention: Convention | None = None
    matrix: Matrix | None = None
    poses_fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    model: NonEmptyText | None = None
    assets: NonEmptyText | None = None
    preset: NonEmptyText | None = None
    text_encoder: NonEmptyText | None = None
    lora: Annotated[list[NonEmptyText], Field(min_length=1, max_length=100)] | None = None
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    window: int | None = None
    fast: bool = False
    linears: Literal["exact", "fp8"] | None = None
    kv_cache: Literal["exact", "int8", "fp8"] | None = None
    attention: Literal["exact", "int8"] | None = None
    fast_steps: Annotated[int, Field(ge=1, le=2)] | None = None
    commit: Literal["exact", "last-step"] | None = None
    decoder: NonEmptyText | None = None
    quality: Literal["web", "master", "draft"] = "web"
    codec: NonEmptyText | None = None
    crf: Annotated[int, Field(ge=0, le=100)] | None = None
    note: str | None = None

    @property
    def videos(self) -> int:
        """Number of videos."""
        return len(self.prompts or (None,)) * len(self.seeds or (None,))


_POSES_KEYS = ("intrinsics", "intrinsics_size", "convention", "matrix", "poses_fps")
# A job has at most one key of each group; it replaces the defaults of the whole group.
EXCLUSIVE_KEYS = (("timeline", "moves", "poses"), ("prompt", "prompts"), ("seed", "seeds"))


def jobs_schema() -> JsonSchema:
    """Return the JSON Schema of a YAML jobs file: a list of jobs, or `jobs` beside their `defaults`."""
    job, _, definitions = model_schemas(Job, ())
    jobs = {"type": "array", "items": {"$ref": "#/$defs/Job"}}
    keys = {"defaults": {"$ref": "#/$defs/Job"}, "jobs": jobs}
    whole = {"type": "object", "properties": keys, "required": ["jobs"], "additionalProperties": False}
    return {
        "$schema": DIALECT,
        "title": "lingbot jobs",
        "anyOf": [jobs, whole],
        "$defs": {**definitions, "Job": job},
    }


def read_jobs(source: SourceText, problems: Problems) -> list[tuple[Job, SourceItem]]:
    """Return the jobs of a YAML or JSONL text with the defaults applied; add every error to `problems`."""
    defaults, items = (_read_yaml if is_yaml(source) else _read_jsonl)(source, problems)
    jobs, videos = [], 0
    for raw, item in items:
        if not isinstance(raw, dict):
            problems.append(Problem(item.locate(), "not a job; expected a mapping such as {image: a.png}"))
            continue
        job = validate_model(Job, _with_defaults(raw, defaults), item, problems)
        if job is not None:
            for problem in _check_job(job, item):
                problems.append(problem)
            jobs.append((job, item))
            videos += job.videos
        if videos > MAX_VIDEOS:
            problems.append(Problem(item.locate(), f"too many videos; expected at most {MAX_VIDEOS} a file"))
            return []
    if not items and not problems:
        problems.append(Problem(SourceLocation(), "no jobs; expected `jobs:` and lines beginning with `- `"))
    return jobs


def _with_defaults(raw: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    replaced = {name for group in EXCLUSIVE_KEYS if any(each in raw for each in group) for name in group}
    return {name: value for name, value in defaults.items() if name not in replaced} | raw


def _check_job(job: Job, item: SourceItem) -> Iterator[Problem]:
    if job.image is None:
        yield Problem(item.locate(), "no image; expected `image:` here or in the defaults")
    for group in EXCLUSIVE_KEYS:
        given = [name for name in group if getattr(job, name) is not None]
        if len(given) > 1:
            yield Problem(
                item.locate((given[1],), key=True),
                f"both `{given[0]}` and `{given[1]}`; expected one of them",
            )
    for name in _POSES_KEYS:
        if getattr(job, name) is not None and job.poses is None:
            yield Problem(item.locate((name,), key=True), f"`{name}` needs `poses`; expected both or none")
    if not any(getattr(job, name) for name in EXCLUSIVE_KEYS[0]):
        yield Problem(item.locate(), "no camera; expected one of timeline, moves, poses")


RawJobs = tuple[dict[str, Any], list[tuple[Any, SourceItem]]]


def _read_yaml(source: SourceText, problems: Problems) -> RawJobs:
    root = YamlReader(source.text, problems).root
    if root is None:
        return {}, []
    jobs, defaults = root, {}
    if isinstance(root.value, dict):
        for name, (label, node) in root.children.items():
            if name == "defaults" and not node.invalid:
                defaults = _defaults(node.value, node, problems)
            elif name == "jobs":
                jobs = node
            elif name != "defaults":
                problems.append(
                    Problem(label.locate(), f"unknown key '{name[:40]}'; expected defaults or jobs")
                )
    if isinstance(jobs.value, list):
        return defaults, [(node.value, node) for node in jobs.children if not node.invalid]
    if not problems:
        message = "no list of jobs; expected `jobs:` and lines beginning with `- `"
        problems.append(Problem(jobs.locate(), message))
    return {}, []


def _read_jsonl(source: SourceText, problems: Problems) -> RawJobs:
    defaults: dict[str, Any] = {}
    items: list[tuple[Any, SourceItem]] = []
    for number, text in enumerate(source.text.split("\n"), 1):
        if not text.strip():
            continue
        value, line_problems = parse_json_line(number, text)
        for problem in line_problems:
            problems.append(problem)
        line = JsonLine(number, text)
        if isinstance(value, dict) and "defaults" in value and not items:
            if len(value) > 1:
                problems.append(
                    Problem(line.locate(), "more than defaults on their line; expected them alone")
                )
            defaults = _defaults(value["defaults"], line, problems)
        elif not line_problems:
            items.append((value, line))
            if len(items) > MAX_VIDEOS:
                break
    return defaults, items


def _defaults(raw: Any, item: SourceItem, problems: Problems) -> dict[str, Any]:
    return raw if validate_model(Job, raw, item, problems) is not None else {}
