"""What a client may say to a living world: one table of event kinds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lingbot_cli.server.actions import Script, States, read_actions
from lingbot_cli.server.messages import Format, Whole, check_prompt, listed
from lingbot_cli.server.protocol import Limits, Refusal
from lingbot_cli.timeline.files import check_intrinsics, check_poses
from lingbot_cli.timeline.schema import Turning


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Output(_Payload):
    """How frames are sent from the next chunk on; what is left out stays."""

    format: Format | None = None
    max_width: Annotated[int, Field(ge=16, le=8192)] | None = None
    quality: Annotated[int, Field(ge=1, le=100)] | None = None


class Reset(_Payload):
    """The world from its first frame on, with another seed or prompt where one is given."""

    seed: Whole | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class Prompt:
    """What the world is like from the next chunk on."""

    text: str


@dataclass(frozen=True)
class Composite:
    """A prompt and actions for the same chunk."""

    prompt: Prompt | None
    actions: Script | States | None


@dataclass(frozen=True)
class Look:
    """A turn of the view in degrees, made during the next chunk."""

    yaw: float
    pitch: float


@dataclass(frozen=True, eq=False)
class Exact:
    """One whole chunk as a renderer plans it; the fields are those of a Control."""

    poses: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray
    prompt: str
    recache: bool


@dataclass(frozen=True)
class Signal:
    """An event without a payload: pause, resume, stop or heartbeat."""

    kind: Literal["pause", "resume", "stop", "heartbeat"]


Said = Prompt | Script | States | Composite | Look | Exact | Output | Reset | Signal


@dataclass(frozen=True)
class Event:
    """One thing said, with the number its sender gave it."""

    said: Said
    id: int | None = None


def read_event(message: dict[str, Any], limits: Limits) -> Event:
    """An `event` message; Refusal with what is wrong with it."""
    if message.get("type") != "event":
        raise Refusal("event_expected", "after init only messages of type 'event' are read")
    number = message.get("event_id")
    if number is not None and (type(number) is not int or not 0 <= number < 2**63):
        raise Refusal("bad_event", "event_id must be a whole number")
    kind = message.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        shown = kind[:40] if isinstance(kind, str) else type(kind).__name__
        raise Refusal("unknown_event", f"unknown event kind '{shown}'; expected one of {', '.join(_KINDS)}")
    try:
        return Event(_KINDS[kind](message.get("payload"), limits), number)
    except ValidationError as wrong:
        raise Refusal("bad_event", f"{kind}: {listed(wrong)}") from wrong


def _prompt(payload: Any, limits: Limits) -> Prompt:
    return Prompt(check_prompt(payload, limits))


def _composite(payload: Any, limits: Limits) -> Composite:
    if not isinstance(payload, dict):
        raise Refusal("bad_event", "composite_input must be a map")
    types = payload.get("input_types")
    readers: dict[Any, Callable[[Any, Limits], Any]] = {"prompt": _prompt, "camera_actions": read_actions}
    if not isinstance(types, list) or not types:
        raise Refusal("bad_event", "composite_input needs input_types, a list of prompt and camera_actions")
    found: dict[str, Any] = {}
    for name in types:
        if not isinstance(name, str) or name not in readers:
            raise Refusal("bad_event", "input_types may name prompt and camera_actions")
        if name not in payload:
            raise Refusal("bad_event", f"composite_input names {name} but does not hold it")
        found[name] = readers[name](payload[name], limits)
    return Composite(found.get("prompt"), found.get("camera_actions"))


def _look(payload: Any, limits: Limits) -> Look:  # noqa: ARG001 - one signature for the table
    turning = Turning.model_validate(payload)
    return Look(turning.yaw, turning.pitch)


class _Exact(_Payload):
    poses: Annotated[list[Annotated[list[float], Field(min_length=16, max_length=16)]], Field(max_length=64)]
    intrinsics: Annotated[
        list[Annotated[list[float], Field(min_length=4, max_length=4)]], Field(max_length=64)
    ]
    actions: Annotated[list[Annotated[list[float], Field(min_length=4, max_length=4)]], Field(max_length=64)]
    prompt: str
    recache: bool = False


def _exact(payload: Any, limits: Limits) -> Exact:
    read = _Exact.model_validate(payload)
    poses = np.array(read.poses, np.float64).reshape(-1, 4, 4)
    intrinsics = np.array(read.intrinsics, np.float64).reshape(-1, 4)
    actions = np.array(read.actions, np.float32).reshape(-1, 4)
    for checked in (check_poses("control.poses", poses), check_intrinsics("control.intrinsics", intrinsics)):
        if isinstance(checked, str):
            raise Refusal("bad_event", checked)
    if not len(poses) == len(intrinsics) == len(actions):
        raise Refusal("bad_event", "control needs as many intrinsics and actions as poses")
    prompt = check_prompt(read.prompt, limits, may_be_empty=True)
    return Exact(poses, intrinsics, actions, prompt, read.recache)


def _signal(kind: Literal["pause", "resume", "stop", "heartbeat"]) -> Callable[[Any, Limits], Signal]:
    return lambda _payload, _limits: Signal(kind)


_KINDS: dict[str, Callable[[Any, Limits], Said]] = {
    "prompt": _prompt,
    "camera_actions": read_actions,
    "composite_input": _composite,
    "turn": _look,
    "control": _exact,
    "output": lambda payload, _: Output.model_validate(payload),
    "reset": lambda payload, _: Reset.model_validate({} if payload is None else payload),
    "pause": _signal("pause"),
    "resume": _signal("resume"),
    "stop": _signal("stop"),
    "heartbeat": _signal("heartbeat"),
}
