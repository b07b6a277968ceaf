"""A timeline written out again, as YAML or as JSONL."""

import json
from typing import Any

import yaml
from pydantic import BaseModel

from lingbot_cli.timeline.load import Timeline
from lingbot_cli.timeline.schema import WaitEvent
from lingbot_cli.timeline.times import Time
from lingbot_cli.timeline.yaml_reader import is_plain_text


def to_yaml(timeline: Timeline) -> str:
    """One event a line, `for` and the like as they were meant; comments are not kept."""
    header = {"timeline": 1, **to_plain(timeline.header)}
    lines = [f"{key}: {_inline_yaml(value)}" for key, value in header.items()]
    events = [f"  - {_inline_yaml(to_plain(said.event))}" for said in timeline.events]
    return "\n".join([*lines, "events:" if events else "events: []", *events]) + "\n"


def to_jsonl(timeline: Timeline) -> str:
    """The header, then one event a line."""
    header = {"timeline": 1, **to_plain(timeline.header)}
    rows = [header, *(to_plain(said.event) for said in timeline.events)]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def to_plain(model: BaseModel) -> dict[str, Any]:
    """What was said in a model, by the names of the language, the kind first."""
    told = {
        field.alias or name: _plain_value(getattr(model, name))
        for name, field in type(model).model_fields.items()
        if name in model.model_fields_set
    }
    if isinstance(model, WaitEvent):
        told["wait"] = told.pop("for", True)
    common = ("at", "for", "until", "ease", "note")
    return {k: v for k, v in told.items() if k not in common} | {k: told[k] for k in common if k in told}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Time):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return to_plain(value) if isinstance(value, BaseModel) else value


class _QuotingDumper(yaml.SafeDumper):
    """Quotes every text that would be read as something else."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain_text(text) else "'")


_QuotingDumper.add_representer(str, _represent_text)


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
