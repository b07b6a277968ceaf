"""Named camera moves of a timeline: dolly, truck, crane, pan, tilt, orbit, look_at and follow."""

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from lingbot_cli.camera.keys import AXIS_COUNT, FORWARD, PITCH, RIGHT, UP, YAW
from lingbot_cli.timeline.event_fields import (
    Displacement,
    Ease,
    FiniteAmount,
    PitchAngle,
    SpannedEvent,
    StrictModel,
)

_MAX_KEY_POSES = 1000


class NamedMove(SpannedEvent):
    """A camera move with a name of its own, spread over the span."""

    ease: Ease = "linear"

    @abstractmethod
    def label(self) -> str:
        """Return the move in words, for drawings."""


class AxisMove(NamedMove):
    """A move along, or a turn about, one axis of `camera.keys`; the field of the class's name is the amount."""

    axis: ClassVar[int]

    @property
    def amount(self) -> float:
        """Walking seconds or degrees."""
        return float(getattr(self, self._name()))

    def _name(self) -> str:
        return type(self).__name__.removesuffix("Event").lower()

    def steps(self, speed: float) -> list[float]:
        """Return the whole move as a step [7]; `speed` is units of a walking second."""
        out = [0.0] * AXIS_COUNT
        out[self.axis] = self.amount * (speed if self.axis in (FORWARD, RIGHT, UP) else 1.0)
        return out

    def label(self) -> str:
        return f"{self._name()} {self.amount:+g}{'°' if self.axis in (YAW, PITCH) else ''}"


class DollyEvent(AxisMove):
    """A move forward; 1 is one second of walking."""

    axis = FORWARD
    dolly: FiniteAmount


class TruckEvent(AxisMove):
    """A move to the right; 1 is one second of walking."""

    axis = RIGHT
    truck: FiniteAmount


class CraneEvent(AxisMove):
    """A move up; 1 is one second of walking."""

    axis = UP
    crane: FiniteAmount


class PanEvent(AxisMove):
    """A turn to the right, in degrees."""

    axis = YAW
    pan: FiniteAmount


class TiltEvent(AxisMove):
    """A turn up, in degrees."""

    axis = PITCH
    tilt: PitchAngle


class Orbit(StrictModel):
    """A circle about the point ahead at `radius`: `angle` degrees, positive to the right; `up` is the rise."""

    angle: FiniteAmount
    radius: Annotated[float, Field(gt=0, le=1e5)] = 2.0
    up: FiniteAmount = 0.0


class OrbitEvent(NamedMove):
    """A circle about a point ahead, which the camera keeps in view."""

    live_span_optional = False

    orbit: Orbit

    def label(self) -> str:
        return f"orbit {self.orbit.angle:+g}° at {self.orbit.radius:g}"


class LookAtEvent(NamedMove):
    """A turn toward a point, which other motion may accompany: at the end of the span the camera faces it."""

    live_span_optional = False

    look_at: Displacement

    def label(self) -> str:
        return "look at " + ", ".join(f"{key} {value:g}" for key, value in self.look_at if value)


class KeyPose(Displacement):
    """A place and a view on the way, seen from the camera at the event's start; angles in degrees."""

    yaw: FiniteAmount = 0.0
    pitch: PitchAngle = 0.0
    roll: FiniteAmount = 0.0


class FollowEvent(NamedMove):
    """A smooth curve through key poses, at an even speed."""

    live_span_optional = False

    follow: Annotated[list[KeyPose], Field(min_length=1, max_length=_MAX_KEY_POSES)]

    def label(self) -> str:
        return f"follow {len(self.follow)} key pose{'s' if len(self.follow) > 1 else ''}"
