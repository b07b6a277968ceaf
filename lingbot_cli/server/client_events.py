"""Client events of the realtime protocol: one parser for each event kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lingbot_cli.camera.formats.camera_file import check_lenses, check_rigid
from lingbot_cli.control import FRAMES_PER_LATENT, Control
from lingbot_cli.errors import UsageError
from lingbot_cli.server.client_messages import (
    ActionScript,
    ActionStates,
    FrameEncoding,
    Seed,
    check_prompt,
    parse_actions,
    validation_summary,
)
from lingbot_cli.server.protocol import ClientLimits, ProtocolError
from lingbot_cli.timeline.schema import TurnAngles

_EVENT_ID: TypeAdapter[int | None] = TypeAdapter(Annotated[int, Field(ge=-(2**63), lt=2**63)] | None)
CommandKind = Literal["pause", "resume", "stop", "heartbeat", "timeline"]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class OutputChange(_Fields):
    """New frame format from the next chunk on; omitted fields stay as they are."""

    format: FrameEncoding | None = None
    max_width: Annotated[int, Field(ge=16, le=8192)] | None = None
    quality: Annotated[int, Field(ge=1, le=100)] | None = None


class Reset(_Fields):
    """Restart from the first frame, with another seed or prompt where given."""

    seed: Seed | None = None
    prompt: str | None = None


class WindowChange(_Fields):
    """Attention window in latent frames, from the next chunk on."""

    frames: Annotated[int, Field(ge=1, lt=2**31)]


@dataclass(frozen=True)
class PromptChange:
    """Prompt from the next chunk on."""

    text: str


@dataclass(frozen=True)
class CompositeInput:
    """Prompt and camera actions for the same chunk."""

    prompt: PromptChange | None
    actions: ActionScript | ActionStates | None


@dataclass(frozen=True)
class CameraTurn:
    """Camera turn in degrees, made during the next chunk."""

    yaw: float
    pitch: float


@dataclass(frozen=True)
class SessionCommand:
    """Event without a payload."""

    kind: CommandKind


EventPayload = (
    PromptChange
    | ActionScript
    | ActionStates
    | CompositeInput
    | CameraTurn
    | Control
    | OutputChange
    | Reset
    | WindowChange
    | SessionCommand
)


@dataclass(frozen=True)
class ClientEvent:
    """Validated event with the `event_id` that the client gave it."""

    payload: EventPayload
    id: int | None = None


def parse_client_event(message: dict[str, Any], limits: ClientLimits) -> ClientEvent:
    """Validate an `event` message. Errors: ProtocolError."""
    if message.get("type") != "event":
        raise ProtocolError("event_expected", "expected a message of type 'event' after init")
    try:
        number = _EVENT_ID.validate_python(message.get("event_id"))
    except ValidationError as error:
        raise ProtocolError("bad_event", "event_id must be a whole number") from error
    kind = message.get("kind")
    if not isinstance(kind, str) or kind not in _PARSERS:
        shown = kind[:40] if isinstance(kind, str) else type(kind).__name__
        raise ProtocolError(
            "unknown_event", f"unknown event kind '{shown}'; expected one of {', '.join(_PARSERS)}"
        )
    try:
        return ClientEvent(_PARSERS[kind](message.get("payload"), limits), number)
    except ValidationError as error:
        raise ProtocolError("bad_event", f"{kind}: {validation_summary(error)}") from error


def _parse_prompt(payload: Any, limits: ClientLimits) -> PromptChange:
    return PromptChange(check_prompt(payload, limits))


def _parse_composite(payload: Any, limits: ClientLimits) -> CompositeInput:
    if not isinstance(payload, dict):
        raise ProtocolError("bad_event", "composite_input must be a map")
    types = payload.get("input_types")
    parsers: dict[Any, Callable[[Any, ClientLimits], Any]] = {
        "prompt": _parse_prompt,
        "camera_actions": parse_actions,
    }
    if not isinstance(types, list) or not types:
        raise ProtocolError(
            "bad_event", "composite_input needs input_types, a list of prompt and camera_actions"
        )
    found: dict[str, Any] = {}
    for name in types:
        if not isinstance(name, str) or name not in parsers:
            raise ProtocolError("bad_event", "input_types may name prompt and camera_actions")
        if name not in payload:
            raise ProtocolError("bad_event", f"composite_input: {name} is named in input_types but missing")
        found[name] = parsers[name](payload[name], limits)
    return CompositeInput(found.get("prompt"), found.get("camera_actions"))


def _parse_turn(payload: Any, limits: ClientLimits) -> CameraTurn:  # noqa: ARG001 - one signature for the table
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


def _parse_control(payload: Any, limits: ClientLimits) -> Control:
    fields = _ControlFields.model_validate(payload)
    poses = np.array(fields.poses, np.float64).reshape(-1, 4, 4)
    intrinsics = np.array(fields.intrinsics, np.float64).reshape(-1, 4)
    actions = np.array(fields.actions, np.float32).reshape(-1, 4)
    try:
        check_rigid("control.poses", poses)
        check_lenses("control.intrinsics", intrinsics, len(poses))
    except UsageError as error:
        raise ProtocolError("bad_event", str(error)) from None
    if not len(poses) == len(intrinsics) == len(actions):
        raise ProtocolError("bad_event", "control needs as many intrinsics and actions as poses")
    prompt = check_prompt(fields.prompt, limits, may_be_empty=True)
    frames = FRAMES_PER_LATENT * len(poses)
    return Control(poses, intrinsics, actions, prompt, frames, recache=fields.recache)


def _command_parser(kind: CommandKind) -> Callable[[Any, ClientLimits], SessionCommand]:
    return lambda _payload, _limits: SessionCommand(kind)


_PARSERS: dict[str, Callable[[Any, ClientLimits], EventPayload]] = {
    "prompt": _parse_prompt,
    "camera_actions": parse_actions,
    "composite_input": _parse_composite,
    "turn": _parse_turn,
    "control": _parse_control,
    "output": lambda payload, _: OutputChange.model_validate(payload),
    "reset": lambda payload, _: Reset.model_validate({} if payload is None else payload),
    "window": lambda payload, _: WindowChange.model_validate(payload),
    "pause": _command_parser("pause"),
    "resume": _command_parser("resume"),
    "stop": _command_parser("stop"),
    "heartbeat": _command_parser("heartbeat"),
    "timeline": _command_parser("timeline"),
}
