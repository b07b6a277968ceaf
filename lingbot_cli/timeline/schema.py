"""What may be said in a timeline: one model a kind of event, and the header."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lingbot_cli.camera import keys as published
from lingbot_cli.timeline.times import Time, parse_time


def _wrong(message: str) -> PydanticCustomError:
    # The message is data, not a template: braces in a user's text must survive.
    return PydanticCustomError("timeline", "{message}", {"message": message})


def _time(value: object) -> Time:
    try:
        return parse_time(value)
    except ValueError as error:
        raise _wrong(str(error)) from None


def _letters(keys: str) -> str:
    unknown = sorted(set(keys) - set(published.LETTERS))
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise _wrong(
            f"unknown key letter{plural} {', '.join(map(repr, unknown))}; expected any of "
            f"{' '.join(published.LETTERS)}, or an empty text to release"
        )
    return keys


TimeField = Annotated[Time, PlainValidator(_time)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]
Amount = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
Ease = Literal["linear", "in", "out", "in-out"]


class Strict(BaseModel):
    """The base of everything a timeline says: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Event(Strict):
    """Something that happens at a moment: `at`, or when the event before it ends."""

    at: TimeField | None = None
    note: str | None = None


class Spanned(Event):
    """Something that lasts: `for` a span or `until` a moment (live, until it is changed)."""

    open_ended: ClassVar[bool] = False  # may do without a span

    span: TimeField | None = Field(None, alias="for")
    until: TimeField | None = None

    @field_validator("until")
    @classmethod
    def _one_end(cls, until: Time | None, info: ValidationInfo) -> Time | None:
        if until is not None and info.data.get("span") is not None:
            raise _wrong("both `for` and `until`; expected one of them")
        return until

    @model_validator(mode="after")
    def _has_an_end(self, info: ValidationInfo) -> "Spanned":
        live = bool(info.context and info.context.get("live"))
        if self.span is None and self.until is None and not self.open_ended and not live:
            raise _wrong("no span; expected `for: 2s` or `until: 4s`")
        return self


class Keys(Spanned):
    """Keys held; empty releases."""

    keys: Annotated[str, AfterValidator(_letters)]
    ease: Ease = "linear"


class Displacement(Strict):
    """How far to go; 1 = one second of walking."""

    forward: Amount = 0.0
    right: Amount = 0.0
    up: Amount = 0.0

    @model_validator(mode="after")
    def _says_something(self) -> "Displacement":
        return _not_empty(self)


class Turning(Strict):
    """How far to look, in degrees; yaw right and pitch up are positive."""

    yaw: Amount = 0.0
    pitch: Annotated[float, Field(ge=-170, le=170, allow_inf_nan=False)] = 0.0  # from limit to limit
    roll: Amount = 0.0

    @model_validator(mode="after")
    def _says_something(self) -> "Turning":
        return _not_empty(self)


def _not_empty(model: Any) -> Any:
    if not model.model_fields_set:
        raise _wrong(f"says nothing; expected {', '.join(type(model).model_fields)}")
    return model


class Move(Spanned):
    """A displacement over the span, along the heading."""

    move: Displacement
    ease: Ease = "linear"


class Turn(Spanned):
    """A change of view over the span."""

    turn: Turning
    ease: Ease = "linear"


class Poses(Spanned):
    """A camera-to-world path from a file, one pose a video frame, or stretched over the span."""

    open_ended = True

    poses: Text
    intrinsics: Text | None = None
    ease: Ease = "linear"


class Prompt(Event):
    """What the world is like from the next chunk on."""

    prompt: Text
    recache: bool = False


class Action(Spanned):
    """Something happens: its text joins the standing prompt for its span."""

    action: Text


class Cut(Event):
    """A fresh world from an image."""

    cut: Text


class Marker(Event):
    """A chapter of the film."""

    marker: Text


def _bare(value: Any) -> bool:
    """Whether a `wait` has no span of its own."""
    return value is None or value is True or value == {}


class Wait(Spanned):
    """Nothing moves: `{wait: 2s}`, or `wait` with `for` or `until`."""

    wait: Annotated[Time | None, PlainValidator(lambda v: None if _bare(v) else _time(v))]

    @model_validator(mode="before")
    @classmethod
    def _value_is_the_span(cls, data: Any) -> Any:
        if not isinstance(data, dict) or _bare(data.get("wait")):
            return data
        if "for" in data or "until" in data:
            raise _wrong("two spans; expected `wait: 2s`, or `wait` with `for` or `until`")
        try:
            parse_time(data["wait"])
        except ValueError:
            return data  # the field itself says so, under its own name
        return {**{k: v for k, v in data.items() if k != "wait"}, "wait": None, "for": data["wait"]}


class End(Event):
    """The film is over, whatever is still under way: at a moment, or live, now."""

    end: Literal[True]

    @model_validator(mode="after")
    def _says_when(self, info: ValidationInfo) -> "End":
        if self.at is None and not (info.context and info.context.get("live")):
            raise _wrong("no moment; expected `at`, or `duration` in the header (only live, `end` means now)")
        return self


KINDS: dict[str, type[Event]] = {
    "keys": Keys,
    "move": Move,
    "turn": Turn,
    "poses": Poses,
    "prompt": Prompt,
    "action": Action,
    "cut": Cut,
    "marker": Marker,
    "wait": Wait,
    "end": End,
}


class Camera(Strict):
    """The lens and the pace: `fov` is horizontal in degrees, `intrinsics` are fx, fy, cx, cy for 832×480."""

    fov: Annotated[float, Field(ge=1, le=170)] | None = None
    intrinsics: (
        Annotated[list[Annotated[float, Field(gt=0, le=1e5)]], Field(min_length=4, max_length=4)] | None
    ) = None
    speed: Annotated[float, Field(gt=0, le=100)] = published.SPEED
    turn_rate: Annotated[float, Field(gt=0, le=180)] = published.TURN_RATE

    @field_validator("intrinsics")
    @classmethod
    def _one_lens(cls, value: list[float] | None, info: ValidationInfo) -> list[float] | None:
        if value is not None and info.data.get("fov") is not None:
            raise _wrong("both `fov` and `intrinsics`; expected one of them")
        return value

    @property
    def lens(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels of 832×480."""
        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
            return fx, fy, cx, cy
        focal = 416 / math.tan(math.radians(self.fov) / 2) if self.fov else DEFAULT_FOCAL
        return focal, focal, 416.0, 240.0


# The lens of the published servers and of the built-in world: 80 degrees from left to right.
DEFAULT_FOCAL = 500.0


def _size(text: str) -> str:
    parts = text.split("x")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) <= 4 for p in parts):
        raise _wrong(f"'{text[:40]}' is not a size; expected WIDTHxHEIGHT such as 832x480")
    if any(int(p) % 16 or not int(p) for p in parts):
        raise _wrong(f"the size {text} does not fit; expected multiples of 16 such as 832x480")
    return text


class Header(Strict):
    """What holds for the whole film."""

    timeline: Literal[1] = 1
    fps: Annotated[int, Field(ge=1, le=120)] = published.FPS
    duration: TimeField | None = None
    prompt: Text | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    size: Annotated[str, AfterValidator(_size)] | None = None
    camera: Camera = Camera()
    note: str | None = None
