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


def _error(message: str) -> PydanticCustomError:
    # The message is data, not a template: braces in a user's text must survive.
    return PydanticCustomError("timeline", "{message}", {"message": message})


def _validate_time(value: object) -> Time:
    try:
        return parse_time(value)
    except ValueError as error:
        raise _error(str(error)) from None


def _validate_letters(keys: str) -> str:
    unknown = sorted(set(keys) - set(published.LETTERS))
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise _error(
            f"unknown key letter{plural} {', '.join(map(repr, unknown))}; expected any of "
            f"{' '.join(published.LETTERS)}, or an empty text to release"
        )
    return keys


TimeField = Annotated[Time, PlainValidator(_validate_time)]
NonEmptyText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]
FiniteAmount = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
Ease = Literal["linear", "in", "out", "in-out"]


class StrictModel(BaseModel):
    """The base of everything a timeline says: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TimelineEvent(StrictModel):
    """Something that happens at a moment: `at`, or when the event before it ends."""

    at: TimeField | None = None
    note: str | None = None


class SpannedEvent(TimelineEvent):
    """Something that lasts: `for` a span or `until` a moment (live, until it is changed)."""

    open_ended: ClassVar[bool] = False  # may do without a span

    span: TimeField | None = Field(None, alias="for")
    until: TimeField | None = None

    @field_validator("until")
    @classmethod
    def _one_end(cls, until: Time | None, info: ValidationInfo) -> Time | None:
        if until is not None and info.data.get("span") is not None:
            raise _error("both `for` and `until`; expected one of them")
        return until

    @model_validator(mode="after")
    def _has_an_end(self, info: ValidationInfo) -> "SpannedEvent":
        live = bool(info.context and info.context.get("live"))
        if self.span is None and self.until is None and not self.open_ended and not live:
            raise _error("no span; expected `for: 2s` or `until: 4s`")
        return self


class KeysEvent(SpannedEvent):
    """Keys held; empty releases."""

    keys: Annotated[str, AfterValidator(_validate_letters)]
    ease: Ease = "linear"


class Displacement(StrictModel):
    """How far to go; 1 = one second of walking."""

    forward: FiniteAmount = 0.0
    right: FiniteAmount = 0.0
    up: FiniteAmount = 0.0

    @model_validator(mode="after")
    def _says_something(self) -> "Displacement":
        return _require_fields(self)


class TurnAngles(StrictModel):
    """How far to look, in degrees; yaw right and pitch up are positive."""

    yaw: FiniteAmount = 0.0
    pitch: Annotated[float, Field(ge=-170, le=170, allow_inf_nan=False)] = 0.0  # from limit to limit
    roll: FiniteAmount = 0.0

    @model_validator(mode="after")
    def _says_something(self) -> "TurnAngles":
        return _require_fields(self)


def _require_fields(model: Any) -> Any:
    if not model.model_fields_set:
        raise _error(f"says nothing; expected {', '.join(type(model).model_fields)}")
    return model


class MoveEvent(SpannedEvent):
    """A displacement over the span, along the heading."""

    move: Displacement
    ease: Ease = "linear"


class TurnEvent(SpannedEvent):
    """A change of view over the span."""

    turn: TurnAngles
    ease: Ease = "linear"


class PosesEvent(SpannedEvent):
    """A camera-to-world path from a file, one pose a video frame, or stretched over the span."""

    open_ended = True

    poses: NonEmptyText
    intrinsics: NonEmptyText | None = None
    ease: Ease = "linear"


class PromptEvent(TimelineEvent):
    """What the world is like from the next chunk on."""

    prompt: NonEmptyText
    recache: bool = False


class ActionEvent(SpannedEvent):
    """Something happens: its text joins the standing prompt for its span."""

    action: NonEmptyText


class CutEvent(TimelineEvent):
    """A fresh world from an image."""

    cut: NonEmptyText


class MarkerEvent(TimelineEvent):
    """A chapter of the film."""

    marker: NonEmptyText


def _is_bare_wait(value: Any) -> bool:
    """Whether a `wait` has no span of its own."""
    return value is None or value is True or value == {}


class WaitEvent(SpannedEvent):
    """Nothing moves: `{wait: 2s}`, or `wait` with `for` or `until`."""

    wait: Annotated[Time | None, PlainValidator(lambda v: None if _is_bare_wait(v) else _validate_time(v))]

    @model_validator(mode="before")
    @classmethod
    def _value_is_the_span(cls, data: Any) -> Any:
        if not isinstance(data, dict) or _is_bare_wait(data.get("wait")):
            return data
        if "for" in data or "until" in data:
            raise _error("two spans; expected `wait: 2s`, or `wait` with `for` or `until`")
        try:
            parse_time(data["wait"])
        except ValueError:
            return data  # the field itself says so, under its own name
        return {**{k: v for k, v in data.items() if k != "wait"}, "wait": None, "for": data["wait"]}


class EndEvent(TimelineEvent):
    """The film is over, whatever is still under way: at a moment, or live, now."""

    end: Literal[True]

    @model_validator(mode="after")
    def _says_when(self, info: ValidationInfo) -> "EndEvent":
        if self.at is None and not (info.context and info.context.get("live")):
            raise _error("no moment; expected `at`, or `duration` in the header (only live, `end` means now)")
        return self


EVENT_TYPES: dict[str, type[TimelineEvent]] = {
    "keys": KeysEvent,
    "move": MoveEvent,
    "turn": TurnEvent,
    "poses": PosesEvent,
    "prompt": PromptEvent,
    "action": ActionEvent,
    "cut": CutEvent,
    "marker": MarkerEvent,
    "wait": WaitEvent,
    "end": EndEvent,
}


class CameraSettings(StrictModel):
    """The lens and the pace: `fov` is horizontal in degrees, `intrinsics` are fx, fy, cx, cy for 832×480."""

    fov: Annotated[float, Field(ge=1, le=170)] | None = None
    intrinsics: (
        Annotated[list[Annotated[float, Field(gt=0, le=1e5)]], Field(min_length=4, max_length=4)] | None
    ) = None
    speed: Annotated[float, Field(gt=0, le=100)] = published.WALK_UNITS_PER_FRAME
    turn_rate: Annotated[float, Field(gt=0, le=180)] = published.TURN_DEGREES_PER_FRAME

    @field_validator("intrinsics")
    @classmethod
    def _one_lens(cls, value: list[float] | None, info: ValidationInfo) -> list[float] | None:
        if value is not None and info.data.get("fov") is not None:
            raise _error("both `fov` and `intrinsics`; expected one of them")
        return value

    @property
    def lens(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels of 832×480."""
        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
            return fx, fy, cx, cy
        focal = 416 / math.tan(math.radians(self.fov) / 2) if self.fov else DEFAULT_FOCAL_PX
        return focal, focal, 416.0, 240.0


# The lens of the published servers and of the built-in world: 80 degrees from left to right.
DEFAULT_FOCAL_PX = 500.0


def _validate_size(text: str) -> str:
    parts = text.split("x")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) <= 4 for p in parts):
        raise _error(f"'{text[:40]}' is not a size; expected WIDTHxHEIGHT such as 832x480")
    if any(int(p) % 16 or not int(p) for p in parts):
        raise _error(f"the size {text} does not fit; expected multiples of 16 such as 832x480")
    return text


class TimelineHeader(StrictModel):
    """What holds for the whole film."""

    timeline: Literal[1] = 1
    fps: Annotated[int, Field(ge=1, le=120)] = published.DEFAULT_FPS
    duration: TimeField | None = None
    prompt: NonEmptyText | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    size: Annotated[str, AfterValidator(_validate_size)] | None = None
    camera: CameraSettings = CameraSettings()
    note: str | None = None
