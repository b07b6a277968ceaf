"""What a client may say to begin: the `init` message, checked field by field."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lingbot_cli.server.actions import Keys, parse_script
from lingbot_cli.server.protocol import Limits, ProtocolError
from lingbot_cli.timeline.schema import CameraSettings

WholeNumber = Annotated[int, Field(ge=0, lt=2**63)]
FrameEncoding = Literal["raw", "webp", "jpeg"]


class Init(BaseModel):
    """A session's settings. Fields of the published interface that nothing here reads are let pass.

    Ours: `camera` makes keys move as a timeline's do, per video frame, instead of the published steps per
    latent frame; `controls` promises exact poses, one `control` event a chunk; `scale` is what their
    translations are divided by; `resume` is the key of a world to go on with, `have` how many of its chunks came.
    """

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, frozen=True)

    type: Literal["init"]
    prompt: str = ""
    first_frame: Any = None
    size: str | None = None
    fps: Annotated[float, Field(ge=1, le=120)] | None = None
    num_frames: Any = None
    seed: WholeNumber | None = 42
    num_inference_steps: WholeNumber | None = None
    guidance_scale: float | None = 1.0
    negative_prompt: str | None = None
    max_chunks: Annotated[int, Field(ge=1)] | None = None
    condition_inputs: dict[str, Any] | None = None
    realtime_output_format: FrameEncoding | None = None
    realtime_preview_max_width: Annotated[int, Field(ge=0, le=8192)] | None = None
    realtime_output_pacing: bool | None = False
    output_compression: Annotated[int, Field(ge=1, le=100)] | None = None
    realtime_causal_sink_size: WholeNumber | None = None
    realtime_causal_kv_cache_num_frames: WholeNumber | None = None
    enable_upscaling: bool | None = None
    enable_frame_interpolation: bool | None = None
    camera: CameraSettings | None = None
    controls: bool = False
    scale: Annotated[float, Field(gt=0, le=1e6)] | None = None
    resume: Annotated[str, Field(max_length=100)] | None = None
    have: WholeNumber | None = None

    @property
    def picture(self) -> bytes | None:
        """The first frame's file, if one was sent."""
        return self.first_frame if self.first_frame else None

    def script(self, limits: Limits) -> list[Keys]:
        """The camera's first actions, one set of letters a latent frame."""
        actions = (self.condition_inputs or {}).get("camera_actions")
        return [] if actions is None else parse_script(actions, limits)


def parse_init(message: dict[str, Any], limits: Limits, steps: int) -> Init:
    """The first message as an Init; Refusal names every field that is wrong.

    `steps` is how many denoising steps the served world was distilled for.
    """
    if message.get("type") != "init":
        raise ProtocolError("init_expected", "the first message must be of type 'init'")
    if isinstance(message.get("first_frame"), str):
        raise ProtocolError(
            "first_frame_not_bytes",
            "first_frame must hold the bytes of a picture; paths, addresses and base64 are not read",
        )
    try:
        init = Init.model_validate(message)
    except ValidationError as wrong:
        raise ProtocolError("bad_init", f"init: {validation_summary(wrong)}") from wrong
    if init.first_frame is not None and not isinstance(init.first_frame, bytes):
        raise ProtocolError("first_frame_not_bytes", "first_frame must hold the bytes of a picture")
    check_prompt(init.prompt, limits, may_be_empty=True)
    if init.enable_upscaling or init.enable_frame_interpolation:
        raise ProtocolError(
            "unsupported", "this server neither upscales nor interpolates; leave those fields out"
        )
    if init.num_inference_steps not in (None, 0, steps):
        raise ProtocolError("unsupported", f"this world takes {steps} steps, not {init.num_inference_steps}")
    if init.guidance_scale not in (None, 1.0):
        raise ProtocolError(
            "unsupported", f"this world is made for guidance_scale 1, not {init.guidance_scale:g}"
        )
    unknown = sorted(set(init.condition_inputs or {}) - {"camera_actions"})
    if unknown:
        raise ProtocolError(
            "unsupported", f"unknown condition input '{unknown[0][:40]}'; expected camera_actions"
        )
    init.script(limits)
    return init


def check_prompt(text: Any, limits: Limits, *, may_be_empty: bool = False) -> str:
    """A prompt that can be read: text, not empty, not too long."""
    if not isinstance(text, str) or not (may_be_empty or text.strip()):
        raise ProtocolError("bad_prompt", "a prompt must be a non-empty text")
    if len(text) > limits.prompt_characters:
        raise ProtocolError("prompt_too_long", f"a prompt may have {limits.prompt_characters} characters")
    return text


def validation_summary(wrong: ValidationError) -> str:
    """What pydantic found, in one line and without what was sent."""
    found = (
        f"{'.'.join(str(step)[:40] for step in error['loc']) or 'message'}: {error['msg'].lower()}"
        for error in wrong.errors(include_url=False, include_input=False, include_context=False)
    )
    return "; ".join(found)
