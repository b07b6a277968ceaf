"""Client messages of the realtime protocol: the init message and camera actions, validated field by field."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.server.protocol import ClientLimits, ProtocolError
from lingbot_cli.timeline.schema import CameraSettings

WholeNumber = Annotated[int, Field(ge=0, lt=2**63)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63), AfterValidator(lambda seed: seed % 2**63)]
FrameEncoding = Literal["raw", "webp", "jpeg"]
Keys = str
"""Keys held during a latent frame, each once, in the order of `LETTERS`."""

_EXPECTED = f"expected any of {' '.join(LETTERS)}"


class Init(BaseModel):
    """Settings of a session. Published fields that this server does not use are accepted and ignored.

    Values are converted as the published server does: "1" and 1.0 are whole numbers, 1 is true.
    Additions to the published protocol: `extensions` asks for our messages and fields, as the other additions
    do; `camera` moves keys as a timeline does, per video frame, instead of by published steps per latent frame;
    `controls` announces exact poses, one `control` event a chunk; `scale` divides their translations; `resume`
    is the key of a session to resume, `have` the number of its chunks that the client has.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)

    type: Literal["init"]
    prompt: str = ""
    first_frame: Any = None
    size: str | None = None
    fps: Annotated[float, Field(ge=1, le=120)] | None = None
    num_frames: Any = None
    seed: Seed | None = 42
    num_inference_steps: WholeNumber | None = None
    guidance_scale: float | None = 1.0
    negative_prompt: str | None = None
    max_chunks: Annotated[int, Field(ge=1)] | None = None
    condition_inputs: dict[str, Any] | None = None
    realtime_output_format: FrameEncoding | None = None
    realtime_preview_max_width: Annotated[int, Field(ge=-(2**63), le=8192)] | None = None
    realtime_output_pacing: bool | None = False
    output_compression: Annotated[int, Field(ge=1, le=100)] | None = None
    realtime_causal_sink_size: WholeNumber | None = None
    realtime_causal_kv_cache_num_frames: WholeNumber | None = None
    enable_upscaling: bool | None = None
    enable_frame_interpolation: bool | None = None
    extensions: bool = False
    camera: CameraSettings | None = None
    controls: bool = False
    scale: Annotated[float, Field(gt=0, le=1e6)] | None = None
    resume: Annotated[str, Field(max_length=100)] | None = None
    have: WholeNumber | None = None

    @property
    def extended(self) -> bool:
        """True when a client asked for our additions, which published clients do not understand."""
        return self.extensions or self.controls or self.camera is not None or self.resume is not None

    @property
    def image(self) -> bytes | None:
        """The encoded first frame, if one was sent."""
        return self.first_frame if self.first_frame else None

    def script(self, limits: ClientLimits) -> list[Keys]:
        """Return the keys of the first latent frames."""
        actions = (self.condition_inputs or {}).get("camera_actions")
        return [] if actions is None else parse_script(actions, limits)


def parse_init(message: dict[str, Any], limits: ClientLimits, steps: int) -> Init:
    """Validate an init message for a model of `steps` denoising steps; ProtocolError names every wrong field."""
    if message.get("type") != "init":
        raise ProtocolError("init_expected", "the first message must be of type 'init'")
    if isinstance(message.get("first_frame"), str):
        raise ProtocolError(
            "first_frame_not_bytes",
            "first_frame must be the bytes of an image; paths, URLs and base64 are not read",
        )
    try:
        init = Init.model_validate(message)
    except ValidationError as error:
        raise ProtocolError("bad_init", f"init: {validation_summary(error)}") from error
    if init.first_frame is not None and not isinstance(init.first_frame, bytes):
        raise ProtocolError("first_frame_not_bytes", "first_frame must be the bytes of an image")
    check_prompt(init.prompt, limits, may_be_empty=True)
    if init.enable_upscaling or init.enable_frame_interpolation:
        raise ProtocolError("unsupported", "upscaling and frame interpolation are not supported; omit them")
    if init.num_inference_steps not in (None, 0, steps):
        raise ProtocolError("unsupported", f"num_inference_steps must be {steps} for this model")
    if init.guidance_scale not in (None, 1.0):
        raise ProtocolError("unsupported", "guidance_scale must be 1 for this model")
    unknown = sorted(set(init.condition_inputs or {}) - {"camera_actions"})
    if unknown:
        raise ProtocolError(
            "unsupported", f"unknown condition input '{unknown[0][:40]}'; expected camera_actions"
        )
    init.script(limits)
    return init


@dataclass(frozen=True)
class ActionScript:
    """Keys of the coming latent frames, in order."""

    frames: tuple[Keys, ...]


@dataclass(frozen=True)
class ActionStates:
    """Keys held after each change since the last message; the last state lasts until the next one."""

    states: tuple[Keys, ...]


def parse_actions(payload: Any, limits: ClientLimits) -> ActionScript | ActionStates:
    """Validate the payload of a `camera_actions` event. Errors: ProtocolError."""
    if isinstance(payload, list):
        return ActionScript(tuple(parse_script(payload, limits)))
    if not isinstance(payload, dict) or payload.get("mode") != "state":
        raise ProtocolError(
            "bad_actions", "camera_actions must be a list of lists, or a map with mode 'state'"
        )
    transitions = payload.get("transitions")
    if not isinstance(transitions, list) or not transitions or len(transitions) > limits.max_script_frames:
        raise ProtocolError("bad_actions", "transitions must be a list of at least one change")
    states = []
    for change in transitions:
        if not isinstance(change, dict):
            raise ProtocolError("bad_actions", "a transition must be a map with 'actions'")
        states.append(_parse_keys(change.get("actions")))
    return ActionStates(tuple(states))


def parse_script(payload: Any, limits: ClientLimits) -> list[Keys]:
    """Validate a script: one list of letters a latent frame. Errors: ProtocolError."""
    if not isinstance(payload, list) or not all(isinstance(frame, list) for frame in payload):
        raise ProtocolError("bad_actions", "camera_actions must be a list of lists, one a latent frame")
    if len(payload) > limits.max_script_frames:
        raise ProtocolError("script_too_long", f"a script may have {limits.max_script_frames} latent frames")
    return [_parse_keys(frame) for frame in payload]


def _parse_keys(actions: Any) -> Keys:
    if not isinstance(actions, list):
        raise ProtocolError("bad_actions", "actions must be a list of letters")
    for action in actions:
        if not isinstance(action, str) or len(action) != 1 or action not in LETTERS:
            shown = action[:20] if isinstance(action, str) else type(action).__name__
            raise ProtocolError("unknown_action", f"unknown action '{shown}'; {_EXPECTED}")
    return "".join(letter for letter in LETTERS if letter in actions)


def check_prompt(text: Any, limits: ClientLimits, *, may_be_empty: bool = False) -> str:
    """Return a valid prompt. Errors: ProtocolError when it is no text, empty or too long."""
    if not isinstance(text, str) or not (may_be_empty or text.strip()):
        raise ProtocolError("bad_prompt", "a prompt must be a non-empty text")
    if len(text) > limits.max_prompt_characters:
        raise ProtocolError("prompt_too_long", f"a prompt may have {limits.max_prompt_characters} characters")
    return text


def validation_summary(error: ValidationError) -> str:
    """Summarize pydantic's errors in one line, without the values that were sent."""
    found = (
        f"{'.'.join(str(step)[:40] for step in each['loc']) or 'message'}: {each['msg'].lower()}"
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )
    return "; ".join(found)
