"""Writer of timelines, as YAML, JSON Lines or moves."""

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel

from lingbot_cli.camera.scale import ScaleRule
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.load import Timeline
from lingbot_cli.timeline.moves import format_moves
from lingbot_cli.timeline.schema import CutEvent, PosesEvent, WaitEvent
from lingbot_cli.timeline.times import Time
from lingbot_cli.timeline.yaml_reader import is_plain_text


def to_text(timeline: Timeline, form: Literal["yaml", "jsonl", "moves"]) -> str:
    """Return a timeline in a form. Errors: UsageError for one that moves cannot hold."""
    if form == "yaml":
        return to_yaml(timeline)
    if form == "jsonl":
        return to_jsonl(timeline)
    moves = format_moves(timeline)
    if moves is None:
        raise UsageError(
            f"{timeline.source.name} cannot be written as moves: it holds more than keys one after the other",
            hint="convert it to yaml or jsonl",
        )
    return moves + "\n"


def check_file_names(timeline: Timeline, output: Path) -> None:
    """Refuse to move a timeline away from the files that it names. Errors: UsageError."""
    names_files = any(isinstance(each.event, PosesEvent | CutEvent) for each in timeline.events)
    if names_files and output.parent.resolve() != timeline.source.folder.resolve():
        raise UsageError(
            f"{timeline.source.name} names files beside it, which {output} would not find",
            hint=f"write it into {timeline.source.folder}",
        )


def to_yaml(timeline: Timeline) -> str:
    """Return a timeline as YAML, one event a line; comments are lost."""
    header = {"timeline": 1, **to_plain(timeline.header)}
    lines = [f"{key}: {_inline_yaml(value)}" for key, value in header.items()]
    events = [f"  - {_inline_yaml(to_plain(parsed.event))}" for parsed in timeline.events]
    return "\n".join([*lines, "events:" if events else "events: []", *events]) + "\n"


def to_jsonl(timeline: Timeline) -> str:
    """Return a timeline as JSON Lines: the header, then one event a line."""
    header = {"timeline": 1, **to_plain(timeline.header)}
    rows = [header, *(to_plain(parsed.event) for parsed in timeline.events)]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def to_plain(model: BaseModel) -> dict[str, Any]:
    """Return the set fields of a model by their names in the format, the event's kind first."""
    fields = {
        field.alias or name: _plain_value(getattr(model, name))
        for name, field in type(model).model_fields.items()
        if name in model.model_fields_set
    }
    if isinstance(model, WaitEvent):
        fields["wait"] = fields.pop("for", True)
    common = ("at", "for", "until", "ease", "note")
    first = {key: value for key, value in fields.items() if key not in common}
    return first | {key: fields[key] for key in common if key in fields}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Time):
        return str(value)
    if isinstance(value, ScaleRule):
        plain = {"fit": {"fit": _plain_value(value.value)}, "length": _plain_value(value.value)}
        return plain.get(value.kind, value.kind)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    return to_plain(value) if isinstance(value, BaseModel) else value


class _QuotingDumper(yaml.SafeDumper):
    """Dumper that quotes every text that would be read as another type."""


_QuotingDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if is_plain_text(text) else "'"
    ),
)


def _inline_yaml(value: Any) -> str:
    text = yaml.dump(
        value,
        Dumper=_QuotingDumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return str(text).removesuffix("...\n").strip()
