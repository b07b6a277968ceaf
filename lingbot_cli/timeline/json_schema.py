"""JSON Schema of timelines, for editors: completion, descriptions, and errors while typing."""

from typing import Any

from pydantic.json_schema import models_json_schema

from lingbot_cli.timeline.event_fields import SpannedEvent, StrictModel, TimelineEvent
from lingbot_cli.timeline.schema import EVENT_TYPES, TimelineHeader, WaitEvent

DIALECT = "https://json-schema.org/draft/2020-12/schema"
JsonSchema = dict[str, Any]


def timeline_schema() -> JsonSchema:
    """Return the schema of a YAML timeline: the header's keys beside `events`."""
    header, events, definitions = model_schemas(TimelineHeader, tuple(EVENT_TYPES.values()))
    for model, event in zip(EVENT_TYPES.values(), events, strict=True):
        event.update(_span_rules(model))
    header["properties"]["events"] = {"type": ["array", "null"], "items": {"anyOf": list(events)}}
    return {"$schema": DIALECT, "title": "lingbot timeline", **header, "$defs": definitions}


def model_schemas(
    root: type[StrictModel], items: tuple[type[StrictModel], ...]
) -> tuple[JsonSchema, tuple[JsonSchema, ...], JsonSchema]:
    """Return the schemas of a root and of its items, and the definitions that both refer to."""
    names, whole = models_json_schema([(model, "validation") for model in (root, *items)], by_alias=True)
    definitions = whole["$defs"]
    own = [definitions.pop(names[model, "validation"]["$ref"].rpartition("/")[2]) for model in (root, *items)]
    return own[0], tuple(own[1:]), definitions


def _span_rules(model: type[TimelineEvent]) -> JsonSchema:
    """Return the rules between `for` and `until`: at most one of them, and one where the event needs a span."""
    if not issubclass(model, SpannedEvent):
        return {}
    if model is WaitEvent or model.span_optional:
        return {"not": {"required": ["for", "until"]}}
    return {"oneOf": [{"required": ["for"]}, {"required": ["until"]}]}
