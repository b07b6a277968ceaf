"""Schema of a timeline: the header and a pydantic model for each event type; and as JSON Schema, for editors."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import models_json_schema

from lingbot_cli.camera.convention import Convention, Matrix
from lingbot_cli.camera.keys import DEFAULT_FPS, LETTERS, TURN_DEGREES_PER_FRAME, WALK_UNITS_PER_FRAME
from lingbot_cli.camera.lens import MAX_FOV_DEGREES, MIN_FOV_DEGREES, square_lens
from lingbot_cli.camera.scale import SCALE_FORMS, ScaleRule, parse_scale
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.event_fields import (
    Displacement,
    Ease,
    FrameRateField,
    NonEmptyText,
    SpannedEvent,
    StrictModel,
    TimeField,
    TimelineEvent,
    TurnAngles,
    field_error,
    validate_time,
    validator,
)
from lingbot_cli.timeline.named_moves import (
    CraneEvent,
    DollyEvent,
    FollowEvent,
    LookAtEvent,
    OrbitEvent,
    PanEvent,
    TiltEvent,
    TruckEvent,
)
from lingbot_cli.timeline.times import Time, parse_time
from lingbot_cli.video_size import check_image_size, parse_size

DIALECT = "https://json-schema.org/draft/2020-12/schema"
JsonSchema = dict[str, Any]


def _validate_letters(keys: str) -> str:
    unknown = sorted(set(keys) - set(LETTERS))
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise field_error(
            f"unknown key letter{plural} {', '.join(map(repr, unknown))}; expected any of "
            f"{' '.join(LETTERS)}, or an empty text to release"
        )
    return keys


class KeysEvent(SpannedEvent):
    """Held camera keys; an empty text releases them."""

    keys: Annotated[str, AfterValidator(_validate_letters)]
    ease: Ease = "linear"


class MoveEvent(SpannedEvent):
    """A displacement along the heading, spread over the span."""

    move: Displacement
    ease: Ease = "linear"


class TurnEvent(SpannedEvent):
    """A turn of the view, spread over the span."""

    turn: TurnAngles
    ease: Ease = "linear"


_SCALE_SCHEMA = {
    "description": f"Length of a walking step: {SCALE_FORMS}.",
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string"},
        {
            "type": "object",
            "properties": {"fit": {"type": "number", "exclusiveMinimum": 0}},
            "required": ["fit"],
            "additionalProperties": False,
        },
    ],
}
ScaleField = Annotated[ScaleRule, PlainValidator(validator(parse_scale)), WithJsonSchema(_SCALE_SCHEMA)]
ImageSize = Annotated[str, AfterValidator(validator(check_image_size))]


class PosesEvent(SpannedEvent):
    """A camera path from a file or folder of any format: at its rate, a row a frame, or stretched over the span."""

    span_optional = True

    poses: NonEmptyText
    intrinsics: NonEmptyText | None = None
    intrinsics_size: ImageSize | None = None
    convention: Convention | None = None
    matrix: Matrix | None = None
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    scale: ScaleField | None = None
    ease: Ease = "linear"

    @field_validator("fps")
    @classmethod
    def _one_rate(cls, fps: float | None, info: ValidationInfo) -> float | None:
        if fps is not None and (info.data.get("span") is not None or info.data.get("until") is not None):
            raise field_error("both `fps` and a span; expected one of them")
        return fps


class PromptEvent(TimelineEvent):
    """The prompt from the next chunk on; `recache` rewrites the KV cache under it."""

    prompt: NonEmptyText
    recache: bool = False


class ActionEvent(SpannedEvent):
    """A text added to the prompt for the span."""

    action: NonEmptyText


class CutEvent(TimelineEvent):
    """A new scene from an image."""

    cut: NonEmptyText


class MarkerEvent(TimelineEvent):
    """A chapter of the video."""

    marker: NonEmptyText


def _is_bare_wait(value: Any) -> bool:
    return value is None or value is True or value == {}


class WaitEvent(SpannedEvent):
    """A span without motion: `{wait: 2s}`, or `wait` with `for` or `until`."""

    wait: Annotated[
        Time | None,
        PlainValidator(lambda v: None if _is_bare_wait(v) else validate_time(v)),
        WithJsonSchema({"description": "The span, or nothing beside `for` or `until`."}),
    ]

    @model_validator(mode="before")
    @classmethod
    def _value_is_the_span(cls, data: Any) -> Any:
        if not isinstance(data, dict) or _is_bare_wait(data.get("wait")):
            return data
        if "for" in data or "until" in data:
            raise field_error("two spans; expected `wait: 2s`, or `wait` with `for` or `until`")
        try:
            parse_time(data["wait"])
        except ValueError:
            return data  # the field reports it, under its own name
        return {**{k: v for k, v in data.items() if k != "wait"}, "wait": None, "for": data["wait"]}


class EndEvent(TimelineEvent):
    """The end of the video: at a time or, live, when every event with a span is over."""

    end: Literal[True]

    @model_validator(mode="after")
    def _has_a_time(self, info: ValidationInfo) -> Self:
        if self.at is None and not (info.context and info.context.get("live")):
            raise field_error(
                "no time; expected `at`, or `duration` in the header (only live, `end` means now)"
            )
        return self


EVENT_TYPES: dict[str, type[TimelineEvent]] = {
    "keys": KeysEvent,
    "move": MoveEvent,
    "turn": TurnEvent,
    "dolly": DollyEvent,
    "truck": TruckEvent,
    "crane": CraneEvent,
    "pan": PanEvent,
    "tilt": TiltEvent,
    "orbit": OrbitEvent,
    "look_at": LookAtEvent,
    "follow": FollowEvent,
    "poses": PosesEvent,
    "prompt": PromptEvent,
    "action": ActionEvent,
    "cut": CutEvent,
    "marker": MarkerEvent,
    "wait": WaitEvent,
    "end": EndEvent,
}


class CameraSettings(StrictModel):
    """Lens and speeds: `fov`, horizontal in degrees with square pixels, or `intrinsics` fx, fy, cx, cy for 832×480.

    `speed` is units and `turn_rate` degrees a video frame.
    """

    fov: Annotated[float, Field(ge=MIN_FOV_DEGREES, le=MAX_FOV_DEGREES)] | None = None
    intrinsics: (
        Annotated[list[Annotated[float, Field(gt=0, le=1e5)]], Field(min_length=4, max_length=4)] | None
    ) = None
    speed: Annotated[float, Field(gt=0, le=100)] = WALK_UNITS_PER_FRAME
    turn_rate: Annotated[float, Field(gt=0, le=180)] = TURN_DEGREES_PER_FRAME

    @field_validator("intrinsics")
    @classmethod
    def _not_with_fov(cls, value: list[float] | None, info: ValidationInfo) -> list[float] | None:
        if value is not None and info.data.get("fov") is not None:
            raise field_error("both `fov` and `intrinsics`; expected one of them")
        return value

    @property
    def pixel_intrinsics(self) -> tuple[float, float, float, float]:
        """Return fx, fy, cx, cy in pixels of 832×480."""
        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
            return fx, fy, cx, cy
        return square_lens(self.fov)

    def fitted(self, height: int, width: int) -> Self:
        """Return the settings with a lens of square pixels on frames of a size; given intrinsics stay."""
        if self.intrinsics is not None:
            return self
        lens = list(square_lens(self.fov, height, width))
        return type(self)(intrinsics=lens, speed=self.speed, turn_rate=self.turn_rate)


_MAX_SIDE = 9999


def _validate_size(text: str) -> str:
    try:
        sides = parse_size(text)
    except UsageError as wrong:
        message = str(wrong).removeprefix("--size ")
        raise field_error(f"{message}; expected WIDTHxHEIGHT such as 832x480") from None
    if max(sides) > _MAX_SIDE:
        raise field_error(f"{text}: too large; expected at most {_MAX_SIDE} pixels a side")
    return text


class TimelineHeader(StrictModel):
    """Settings of the whole video."""

    timeline: Literal[1] = 1
    fps: FrameRateField = DEFAULT_FPS
    duration: TimeField | None = None
    prompt: NonEmptyText | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    size: Annotated[str, AfterValidator(_validate_size)] | None = None
    camera: CameraSettings = CameraSettings()
    note: str | None = None

    def fitted(self, height: int, width: int) -> Self:
        """Return the header with its lens for frames of a size."""
        return self.model_copy(update={"camera": self.camera.fitted(height, width)})


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
