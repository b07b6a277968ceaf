"""Validate plain values against the schema; every problem reads `problem; expected …`."""

from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lingbot_cli.timeline.diagnostics import KeyPath, Problems, SourceItem
from lingbot_cli.timeline.schema import EVENT_TYPES, TimelineEvent, TimelineHeader

_MAX_KEYS = 40
_Model = TypeVar("_Model", bound=BaseModel)


def parse_header(raw: Any, item: SourceItem, problems: Problems) -> TimelineHeader:
    """Return the header of a plain value, or the default one after adding to `problems`."""
    if not _within_key_limit(raw, item, problems):
        return TimelineHeader()
    return validate_model(TimelineHeader, raw, item, problems) or TimelineHeader()


def parse_event(
    raw: Any, item: SourceItem, problems: Problems, *, live: bool = False
) -> TimelineEvent | None:
    """Return the event of a plain value, or None after adding to `problems`."""
    if raw == "wait":
        raw = {"wait": None}
    if not isinstance(raw, dict):
        problems.add(item.locate(), "not an event; expected a mapping such as {keys: w, for: 2s}")
        return None
    if not _within_key_limit(raw, item, problems):
        return None
    kinds = [name for name in raw if name in EVENT_TYPES]
    if len(kinds) == 1:
        return validate_model(EVENT_TYPES[kinds[0]], raw, item, problems, live=live)
    if kinds:
        both = " and ".join(kinds)
        message = f"two kinds in one event: {both}; expected one each, the second with `at` to overlap"
        problems.add(item.locate((kinds[1],), key=True), message)
        return None
    unknown = [name for name in raw if name not in _ALL_KEYS]
    for name in unknown:
        message = f"unknown key '{name[:40]}'; expected {_suggest(name, tuple(_ALL_KEYS))}"
        problems.add(item.locate((name,), key=True), message)
    if not unknown:
        problems.add(item.locate(), f"no kind of event; expected one of {', '.join(EVENT_TYPES)}")
    return None


def _within_key_limit(raw: Any, item: SourceItem, problems: Problems) -> bool:
    if len(raw) <= _MAX_KEYS:
        return True
    problems.add(item.locate(), f"{len(raw)} keys; expected at most {_MAX_KEYS}")
    return False


def validate_model(
    model: type[_Model], raw: Any, item: SourceItem, problems: Problems, *, live: bool = False
) -> _Model | None:
    """Return a plain value as a model, or None after adding all of its problems to `problems`."""
    try:
        return model.model_validate(raw, context={"live": True} if live else None)
    except ValidationError as error:
        for wrong in error.errors(include_url=False):
            path = tuple(step for step in wrong["loc"] if isinstance(step, str | int))
            unknown = wrong["type"] == "extra_forbidden"
            problems.add(item.locate(path, key=unknown), _error_message(model, path, wrong))
        return None


# Messages by pydantic's type of error.
_ERROR_MESSAGES: dict[str, str] = {
    "string_type": "is not text; expected text, in quotes if it looks like a number",
    "string_too_short": "is empty; expected some text",
    "string_too_long": "is too long; expected at most {max_length} characters",
    "float_type": "is not a number; expected a number",
    "finite_number": "is not a finite number; expected a number",
    "int_type": "is not a whole number; expected one",
    "int_from_float": "is not a whole number; expected one",
    "bool_type": "is neither true nor false; expected one of them",
    "list_type": "is not a list; expected {expected}",
    "too_short": "has {actual_length} values; expected {least}{min_length}",
    "too_long": "has {actual_length} values; expected {most}{max_length}",
    "literal_error": "is unknown; expected {expected}",
    "greater_than": "is too small; expected more than {gt}",
    "greater_than_equal": "is too small; expected at least {ge}",
    "less_than": "is too large; expected less than {lt}",
    "less_than_equal": "is too large; expected at most {le}",
    "model_type": "is not a mapping; expected {fields}",
    "missing": "is missing; expected it",
}


def _error_message(model: type[BaseModel], path: KeyPath, wrong: Any) -> str:
    """Return one error of pydantic as `problem; expected …`."""
    inner = _model_at(model, path)
    if wrong["type"] == "extra_forbidden":
        name, names = str(path[-1]), _field_names(inner)
        if name in _ALL_KEYS and issubclass(inner, TimelineEvent):
            kind = next(kind for kind, model in EVENT_TYPES.items() if model is inner)
            return f"`{name}` does not go with `{kind}`; expected {', '.join(names)}"
        return f"unknown key '{name[:40]}'; expected {_suggest(name, names)}"
    if wrong["type"] == "timeline":
        return str(wrong["msg"]) if not path else f"`{path[-1]}`: {wrong['msg']}"
    facts = {"expected": "a list of four numbers", "least": "", "most": ""}
    if path[:1] == ("follow",):
        facts = {"expected": "a list of key poses", "least": "at least ", "most": "at most "}
    facts["fields"] = ", ".join(_field_names(inner))
    facts |= wrong.get("ctx", {})
    name = ".".join(map(str, path))
    message = _ERROR_MESSAGES.get(wrong["type"], f"{wrong['msg'].lower()}; expected another value")
    return f"`{name}` {message.format(**facts)}"


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Return the model of the value at `path`, or of the nearest mapping around it."""
    for step in path:
        if isinstance(step, int):
            continue
        found = (f.annotation for n, f in model.model_fields.items() if step in (n, f.alias))
        inner = next(found, None)
        if get_origin(inner) is list:
            inner = get_args(inner)[0]
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            break
        model = inner
    return model


@lru_cache(maxsize=64)
def _field_names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


@lru_cache(maxsize=4096)
def _suggest(word: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(word[:40], known, n=1, cutoff=0.5)
    return f"'{close[0]}'" if close else f"one of {', '.join(known)}"


_ALL_KEYS = dict.fromkeys(name for model in EVENT_TYPES.values() for name in _field_names(model))
