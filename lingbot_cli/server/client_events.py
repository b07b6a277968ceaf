"""What a client may say to a living world: one table of event kinds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lingbot_cli.server.actions import ActionScript, ActionStates, parse_actions
from lingbot_cli.server.messages import FrameEncoding, WholeNumber, check_prompt, validation_summary
from lingbot_cli.server.protocol import Limits, ProtocolError
from lingbot_cli.timeline.files import validate_intrinsics, validate_poses
from lingbot_cli.timeline.schema import TurnAngles


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class OutputChange(_Fields):
    """How frames are sent from the next chunk on; what is left out stays."""

    format: FrameEncoding | None = None
    max_width: Annotated[int, Field(ge=16, le=8192)] | None = None
    quality: Annotated[int, Field(ge=1, le=100)] | None = None


class Reset(_Fields):
    """The world from its first frame on, with another seed or prompt where one is given."""

    seed: WholeNumber | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class PromptChange:
    """What the world is like from the next chunk on."""

    text: str


@dataclass(frozen=True)
class CompositeInput:
    """A prompt and actions for the same chunk."""

    prompt: PromptChange | None
    actions: ActionScript | ActionStates | None


@dataclass(frozen=True)
class CameraTurn:
    """A turn of the view in degrees, made during the next chunk."""

    yaw: float
    pitch: float


@dataclass(frozen=True, eq=False)
class ExactControl:
    """One whole chunk as a renderer plans it; the fields are those of a Control."""

    poses: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray
    prompt: str
    recache: bool


@dataclass(frozen=True)
class SessionCommand:
    """An event without a payload: pause, resume, stop or heartbeat."""

    kind: Literal["pause", "resume", "stop", "heartbeat"]


EventPayload = (
    PromptChange
    | ActionScript
    | ActionStates
    | CompositeInput
    | CameraTurn
    | ExactControl
    | OutputChange
    | Reset
    | SessionCommand
)


@dataclass(frozen=True)
class ClientEvent:
    """One thing said, with the number its sender gave it."""

    said: EventPayload
    id: int | None = None


def parse_event(message: dict[str, Any], limits: Limits) -> ClientEvent:
    """An `event` message; Refusal with what is wrong with it."""
    if message.get("type") != "event":
        raise ProtocolError("event_expected", "after init only messages of type 'event' are read")
    number = message.get("event_id")
    if number is not None and (type(number) is not int or not 0 <= number < 2**63):
        raise ProtocolError("bad_event", "event_id must be a whole number")
    kind = message.get("kind")
    if not isinstance(kind, str) or kind not in _PARSERS:
        shown = kind[:40] if isinstance(kind, str) else type(kind).__name__
        raise ProtocolError(
            "unknown_event", f"unknown event kind '{shown}'; expected one of {', '.join(_PARSERS)}"
        )
    try:
        return ClientEvent(_PARSERS[kind](message.get("payload"), limits), number)
    except ValidationError as wrong:
        raise ProtocolError("bad_event", f"{kind}: {validation_summary(wrong)}") from wrong


def _parse_prompt(payload: Any, limits: Limits) -> PromptChange:
    return PromptChange(check_prompt(payload, limits))


def _parse_composite(payload: Any, limits: Limits) -> CompositeInput:
    if not isinstance(payload, dict):
        raise ProtocolError("bad_event", "composite_input must be a map")
    types = payload.get("input_types")
    readers: dict[Any, Callable[[Any, Limits], Any]] = {
        "prompt": _parse_prompt,
        "camera_actions": parse_actions,
    }
    if not isinstance(types, list) or not types:
        raise ProtocolError(
            "bad_event", "composite_input needs input_types, a list of prompt and camera_actions"
        )
    found: dict[str, Any] = {}
    for name in types:
        if not isinstance(name, str) or name not in readers:
            raise ProtocolError("bad_event", "input_types may name prompt and camera_actions")
        if name not in payload:
            raise ProtocolError("bad_event", f"composite_input names {name} but does not hold it")
        found[name] = readers[name](payload[name], limits)
    return CompositeInput(found.get("prompt"), found.get("camera_actions"))


def _parse_turn(payload: Any, limits: Limits) -> CameraTurn:  # noqa: ARG001 - one signature for the table
    turning = TurnAngles.model_validate(payload)
    return CameraTurn(turning.yaw, turning.pitch)


class _ControlFields(_Fields):
    poses: Annotated[list[Annotated[list[float], Field(min_length=16, max_length=16)]], Field(max_length=64)]
    intrinsics: Annotated[
        list[Annotated[list[float], Field(min_length=4, max_length=4)]], Field(max_length=64)
    ]
    actions: Annotated[list[Annotated[list[float], Field(min_length=4, max_length=4)]], Field(max_length=64)]
    prompt: str
    recache: bool = False


def _parse_control(payload: Any, limits: Limits) -> ExactControl:
    read = _ControlFields.model_validate(payload)
    poses = np.array(read.poses, np.float64).reshape(-1, 4, 4)
    intrinsics = np.array(read.intrinsics, np.float64).reshape(-1, 4)
    actions = np.array(read.actions, np.float32).reshape(-1, 4)
    for checked in (
        validate_poses("control.poses", poses),
        validate_intrinsics("control.intrinsics", intrinsics),
    ):
        if isinstance(checked, str):
            raise ProtocolError("bad_event", checked)
    if not len(poses) == len(intrinsics) == len(actions):
        raise ProtocolError("bad_event", "control needs as many intrinsics and actions as poses")
    prompt = check_prompt(read.prompt, limits, may_be_empty=True)
    return ExactControl(poses, intrinsics, actions, prompt, read.recache)


def _command_parser(
    kind: Literal["pause", "resume", "stop", "heartbeat"],
) -> Callable[[Any, Limits], SessionCommand]:
    return lambda _payload, _limits: SessionCommand(kind)


_PARSERS: dict[str, Callable[[Any, Limits], EventPayload]] = {
    "prompt": _parse_prompt,
    "camera_actions": parse_actions,
    "composite_input": _parse_composite,
    "turn": _parse_turn,
    "control": _parse_control,
    "output": lambda payload, _: OutputChange.model_validate(payload),
    "reset": lambda payload, _: Reset.model_validate({} if payload is None else payload),
    "pause": _command_parser("pause"),
    "resume": _command_parser("resume"),
    "stop": _command_parser("stop"),
    "heartbeat": _command_parser("heartbeat"),
}
