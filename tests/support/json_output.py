"""Schema of all JSON that commands print or write, strict in types and keys; docs/json.md lists the same keys."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def all_keys(cls) -> set[str]:
        """Return every key of an object and of the objects in it."""
        found = set(cls.model_fields)
        for field in cls.model_fields.values():
            for kind in _models(field.annotation):
                found |= kind.all_keys()
        return found


def _models(annotation: Any) -> list[type[Strict]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, Strict) else []
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models(inner)]


class RenderPlan(Strict):
    event: Literal["plan"]
    width: int
    height: int
    frames: int
    fps: int
    chunks: int
    seed: int
    model: str
    licence: str
    differences: list[str]
    speed_options: dict[str, str]


class Chunk(Strict):
    event: Literal["chunk"]
    chunk: int
    chunks: int | None
    frames: int
    total: int | None
    seconds: float
    fps: float
    realtime: float
    left: float | None
    memory: int
    keys: str


class Message(Strict):
    event: Literal["note", "warning"]
    message: str


class RenderDone(Strict):
    event: Literal["done"]
    file: str
    files: list[str]
    frames: int
    resumed_frames: int
    chunks: int
    seconds: float
    fps: float
    latents: str


class Error(Strict):
    event: Literal["error"]
    message: str
    hint: str | None
    exit_code: int


class Steps(Strict):
    median: float
    largest: float


class Path(Strict):
    file: str
    start: int
    frames: int
    rows: int
    format: str
    convention: str
    matrix: str
    assumed: bool
    fps: float | None
    scale_rule: str
    scale: float
    steps: Steps


class PlannedChunk(Strict):
    start: int
    frames: int
    prompt: str
    keys: str
    motion: str
    cut: str | None
    recache: bool
    markers: list[str]


class CardFit(Strict):
    vram_gb: int
    size: str
    flags: str | None
    gpu_bytes: int
    ram_bytes: int


class DryRun(Strict):
    event: Literal["dry_run"]
    preset: str
    height: int
    width: int
    fps: int
    frames: int
    seed: int
    scale: float
    scale_rule: str
    steps: Steps
    paths: list[Path]
    chunks: list[PlannedChunk]
    speed_options: dict[str, str]
    device: str | None
    memory: dict[str, int] | None
    seconds: float | None
    cards: list[CardFit]
    writes: list[str]
    notes: list[str]


class StreamOutput(Strict):
    name: str
    sent: int
    lost: int
    reconnects: int
    connected: bool


class StreamState(Strict):
    event: Literal["stream"]
    chunk: int
    made: int
    made_fps: float
    paced: int
    paced_fps: float
    sent_fps: float
    repeats: int
    drops: int
    buffer: float
    latency: float | None
    reconnects: int
    outputs: list[StreamOutput]


class StreamDone(StreamState):
    event: Literal["done"]
    latents: str


class StreamPlan(Strict):
    event: Literal["plan"]
    width: int
    height: int
    frames: int | None
    fps: int
    chunks: int | None
    seed: int
    model: str
    licence: str
    speed_options: dict[str, str]


class Started(Strict):
    event: Literal["started"]
    video: str
    worker: str
    tries: int


class Progress(Strict):
    event: Literal["progress"]
    video: str
    worker: str
    frames: int
    total: int
    fps: float


class Video(Strict):
    video: str
    status: Literal["rendered", "skipped", "failed", "timeout", "crashed", "stopped"]
    image: str
    prompt: str
    seed: int
    size: str
    frames: int
    seconds: float
    latents: str
    recipe: str
    tries: int
    worker: str
    message: str
    hint: str | None
    exit_code: int


class VideoEvent(Video):
    event: Literal["video"]


class BatchReport(Strict):
    videos: list[Video]
    totals: dict[str, int]


class Finding(Strict):
    name: str
    status: Literal["ok", "warning", "error"]
    message: str
    hint: str


class Doctor(Strict):
    possible: bool
    findings: list[Finding]


class ListedModel(Strict):
    name: str
    installed: bool
    folder: str | None
    bytes: int
    memory: int
    fits: bool | None
    licence: str


class Preset(Strict):
    name: str
    dim: int
    heads: int
    layers: int
    ffn: int
    chunk: int
    window: int
    sink: int
    steps: list[int]
    shift: float
    licence: str
    control: str
    area: int
    fps: int
    text_dim: int
    text_len: int
    freq_dim: int
    vae_dim: int
    vae_blocks: int
    vae_mult: list[int]
    antialias: bool
    sizes: list[str]
    scene_max_error: float | None


class Memory(Strict):
    size: str | None = None
    device: str | None = None
    peak: int


class AbsentModel(Strict):
    model: str
    installed: Literal[False]
    bytes: int
    memory: Memory
    licence: str
    preset: Preset
    download: str


class InstalledModel(Strict):
    folder: str
    layout: str
    trained: bool
    identity: str
    stored_as: str
    preset: Preset
    preset_from: str
    differences: list[str]
    installed: Literal[True]
    files: dict[str, str]
    bytes: int
    memory: Memory


class Problem(Strict):
    file: str
    line: int | None = None
    column: int | None = None
    message: str


class CheckedTimeline(Strict):
    file: str
    errors: list[Problem]
    notes: list[Problem] = []
    events: int | None = None
    frames: int | None = None
    fps: int | None = None
    seconds: float | None = None
    chunks: int | None = None


class PlannedTimeline(Strict):
    preset: str
    fps: int
    frames: int
    seconds: float
    scale: float
    steps: Steps
    paths: list[Path]
    chunks: list[PlannedChunk]


class Setting(Strict):
    value: str | int | float
    source: str


class Figure(Strict):
    mean: float | None
    least: float | None


class Comparison(Strict):
    alike: bool
    frames: list[int]
    first: int | None
    psnr: Figure
    ssim: Figure
    metadata: dict[str, list[Any]]


class Deviation(Strict):
    error: float | None
    tolerance: float
    holds: bool


class Parity(Strict):
    case: str
    holds: bool
    tensors: dict[str, Deviation]


class Bench(Strict):
    model: str
    size: str
    device: str
    precision: str
    kernel: str | None
    threads: int
    chunks: int
    load: float
    first_frame: float
    phases: dict[str, float]
    chunk: float
    fps: float
    realtime: float
    sink_fps: float
    memory: int
    device_memory: int
    flops: dict[str, int]
    bytes: dict[str, int]
    peak_flops: float
    peak_bytes: float
    speed_options: dict[str, str]


RENDER_EVENTS = RenderPlan | Chunk | Message | RenderDone | Error
STREAM_EVENTS = StreamPlan | StreamState | Message | StreamDone | Error
BATCH_EVENTS = Started | Progress | VideoEvent | Message
