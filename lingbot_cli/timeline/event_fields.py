"""Common fields and base classes of a timeline's events."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lingbot_cli.timeline.times import FPS_SCHEMA, TIME_FORMS, Time, parse_fps, parse_time

Value = TypeVar("Value")


def field_error(message: str) -> PydanticCustomError:
    """Return a validation error with a message for the user."""
    # The message is data, not a template: braces in a user's text must survive.
    return PydanticCustomError("timeline", "{message}", {"message": message})


def validator(parse: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """Return a validator that parses a value; a ValueError is a message for the user."""

    def validate(value: Any) -> Value:
        try:
            return parse(value)
        except ValueError as error:
            raise field_error(str(error)) from None

    return validate


validate_time = validator(parse_time)
_TIME_SCHEMA = {
    "description": f"A time: {TIME_FORMS}.",
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[\s0-9.:hmsfcin]+$"}],
}
TimeField = Annotated[Time, PlainValidator(validate_time), WithJsonSchema(_TIME_SCHEMA)]
FrameRateField = Annotated[float, PlainValidator(validator(parse_fps)), WithJsonSchema(FPS_SCHEMA)]
NonEmptyText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]
FiniteAmount = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
PitchAngle = Annotated[float, Field(ge=-170, le=170, allow_inf_nan=False)]  # from limit to limit
Ease = Literal["linear", "in", "out", "in-out"]


class StrictModel(BaseModel):
    """Base of all models: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TimelineEvent(StrictModel):
    """An event at a time: `at`, or the end of the event before it."""

    at: TimeField | None = None
    note: str | None = None


class SpannedEvent(TimelineEvent):
    """An event that lasts `for` a span or `until` a time (live: until it is replaced)."""

    span_optional: ClassVar[bool] = False
    live_span_optional: ClassVar[bool] = True

    span: TimeField | None = Field(None, alias="for")
    until: TimeField | None = None

    @field_validator("until")
    @classmethod
    def _one_end(cls, until: Time | None, info: ValidationInfo) -> Time | None:
        if until is not None and info.data.get("span") is not None:
            raise field_error("both `for` and `until`; expected one of them")
        return until

    @model_validator(mode="after")
    def _has_an_end(self, info: ValidationInfo) -> Self:
        live = self.live_span_optional and bool(info.context and info.context.get("live"))
        if self.span is None and self.until is None and not self.span_optional and not live:
            raise field_error("no span; expected `for: 2s` or `until: 4s`")
        return self


class NonEmptyModel(StrictModel):
    """Base of models with at least one field set."""

    @model_validator(mode="after")
    def _has_a_field(self) -> Self:
        if not self.model_fields_set:
            raise field_error(f"empty; expected {', '.join(type(self).model_fields)}")
        return self


class Displacement(NonEmptyModel):
    """Distances along the heading; 1 is one second of walking."""

    forward: FiniteAmount = 0.0
    right: FiniteAmount = 0.0
    up: FiniteAmount = 0.0


class TurnAngles(NonEmptyModel):
    """Angles in degrees; yaw right and pitch up are positive."""

    yaw: FiniteAmount = 0.0
    pitch: PitchAngle = 0.0
    roll: FiniteAmount = 0.0
