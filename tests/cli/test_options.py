"""Every option of every command takes effect: a value that is not its default reaches what the command calls.

The work behind a command is replaced by a recorder of its arguments. An option is given and left out; among the
leaves of the arguments that then differ is the one that it names in the table.
"""

import hashlib
import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import FunctionType, MethodType, SimpleNamespace

import numpy as np
import pytest
import torch
import typer

from lingbot_cli.cli import COMMANDS
from lingbot_cli.errors import LingbotError
from lingbot_cli.presets import PRESETS
from lingbot_cli.remote.client import EngineAddress, ServerInfo
from tests.model.loading.test_lora import write_lora
from tests.support.command import lingbot

ROOT = Path(__file__).parents[2]
IMAGE = str(ROOT / "samples/courtyard-day.png")
OTHER_IMAGE = str(ROOT / "samples/courtyard-night.png")
CHECKPOINTS = ROOT / "tests/data/reference/checkpoints"
MODEL = str(CHECKPOINTS / "diffusers-v1-fast")
ORIGINAL = str(CHECKPOINTS / "original-v1-fast")
TEXT_ENCODER = f"{ORIGINAL}/models_t5_umt5-xxl-enc-bf16.pth"
LARGE = "lingbot-world-v2-14b-causal-fast"


PLAIN = (str, int, float, Fraction, Path, type, range, type(None))


class Recorded(LingbotError):
    """End of a command whose arguments are recorded."""


def leaves(value: object, path: str = "", depth: int = 12) -> Iterator[tuple[str, str]]:
    """Yield the parts of a value that have no parts of their own, by path."""
    if depth == 0:
        return
    if isinstance(value, np.ndarray):
        yield path, f"{value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:8]}"
    elif isinstance(value, FunctionType):
        yield path, value.__qualname__
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            yield from leaves(cell.cell_contents, f"{path}.{name}", depth - 1)
    elif isinstance(value, MethodType):
        yield path, value.__qualname__
    elif is_dataclass(value) and not isinstance(value, type):
        yield path, type(value).__name__
        for field in fields(value):
            yield from leaves(getattr(value, field.name), f"{path}.{field.name}", depth - 1)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}", depth - 1)
    elif isinstance(value, list | tuple):
        yield path, f"{len(value)} items"
        for index, each in enumerate(value):
            yield from leaves(each, f"{path}.{index}", depth - 1)
    elif type(value).__module__.startswith("lingbot_cli") and hasattr(value, "__dict__"):
        yield path, type(value).__name__
        for name, each in vars(value).items():
            yield from leaves(each, f"{path}.{name}", depth - 1)
    elif type(value).__module__ == "torch" or isinstance(value, PLAIN):
        yield path, str(value)


class Recorder:
    """Arguments of the work that a command calls, and the files and the text that it leaves."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.calls: list[tuple[str, str]] = []
        self.folder = folder
        self.given = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        patch.chdir(folder)
        patch.setattr("lingbot_cli.server.auth.new_token", lambda: "random")
        patch.setattr("lingbot_cli.model.device.pick_device", lambda name: torch.device(name or "cpu"))
        patch.setattr(
            EngineAddress, "fetch_info", lambda _: ServerInfo("built-in", exact=True, chunk=3, fps=16)
        )
        for place in (
            "render.render.render_video",
            "render.launcher.launch_processes",
            "broadcast.broadcast.broadcast",
            "terminal.play.play_in_terminal",
            "diagnostics.bench.measure",
            "diagnostics.parity.replay",
            "cli.models.download_model",
            "model.loading.convert.convert",
            "cli.models.verify_checkpoint",
        ):
            module, _, name = place.rpartition(".")
            function = getattr(import_module(f"lingbot_cli.{module}"), name)
            patch.setattr(f"lingbot_cli.{place}", self._stand_in(name, inspect.signature(function)))
        patch.setattr("lingbot_cli.server.serve.load_served_model", self._load)
        patch.setattr("lingbot_cli.server.serve.run_server", self._serve)
        patch.setattr("lingbot_cli.batch.run.run_batch", self._batch)
        patch.setattr("lingbot_cli.batch.local_workers.LocalWorkerPool", self._pool)
        patch.setattr("lingbot_cli.batch.ray_workers.RayWorkerPool", self._pool)

    def record(self, name: str, value: object) -> None:
        self.calls += leaves(value, name)

    def _stand_in(self, name: str, signature: inspect.Signature):
        def call(*args: object, **named: object) -> None:
            self.record(name, signature.bind(*args, **named).arguments)
            raise Recorded("recorded")

        return call

    def _load(self, options, defaults, note, group=None, sessions=1):  # noqa: ARG002
        self.record("model", options)
        self.record("sessions", sessions)
        return SimpleNamespace(
            preset=PRESETS["built-in"], device=SimpleNamespace(type="cpu"), leader=None
        ), None

    def _serve(self, service, address, rules, pool_limits, **named) -> None:
        served = service()
        self.record("limits", served.limits)
        self.record("defaults", served.defaults)
        self.record("on_chunk", served.on_chunk)
        self.record("serve", {"address": address, "rules": rules, "pool": pool_limits, **named})
        handlers = logging.getLogger("lingbot.server.chunks").handlers
        self.calls.append(("chunk log", f"{len(handlers)} handlers"))
        handlers.clear()
        raise Recorded("recorded")

    def _pool(self, *args: object, **named: object) -> None:
        self.record("pool", {"args": args, **named})

    def _batch(self, states, make_pool, options, display) -> None:
        make_pool(len(states))
        self.record("batch", {"states": states, "options": options, "display": display})
        for state in states:
            state.result = SimpleNamespace(
                status="failed", message="", hint=None, frames=0, seconds=0, latents="", exit_code=1
            )

    def run(self, command: str, argv: list[str]) -> dict[str, str]:
        """Run a command line and return every leaf of what it called, printed and wrote, by path."""
        self.calls.clear()
        done = lingbot(*command.split(), *argv)
        assert "error: " not in done.stderr.replace("error: recorded", ""), done.stderr
        found = dict(self.calls)
        found |= {"printed": done.stdout + done.stderr}
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and (content := file.read_bytes()) != self.given.get(file):
                found[f"file {file.relative_to(self.folder)}"] = hashlib.sha256(content).hexdigest()
                if file not in self.given:
                    file.unlink()
        return found


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("LINGBOT_STREAM_URL", "LINGBOT_TOKEN", "LINGBOT_SHARD", "LINGBOT_ON", "LINGBOT_OUTPUT_DIR"):
        monkeypatch.delenv(name, raising=False)
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 2, 3] = np.linspace(0, 1, 9)
    np.save(folder / "given.npy", poses)
    np.save(folder / "given-lens.npy", np.array([700.0, 700.0, 416.0, 240.0]))
    (folder / "given-timeline.jsonl").write_text('{"keys": "w", "for": "3s"}\n')
    (folder / "given-jobs.yaml").write_text(
        f"jobs:\n  - {{image: {IMAGE}, moves: w-9, seeds: 1..2, size: 32x32}}\n"
    )
    (folder / "given-urls").write_text("given.mkv\n")
    (folder / "given-taew2_1.safetensors").write_bytes(b"")
    write_lora(folder / "given-lora.safetensors")
    for name in ("given.svg", "given.gif", "given/poses.npy", "given.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "timelines").mkdir()
    (folder / "timelines" / "given.jsonl").write_text('{"poses": "../given.npy", "for": "1s"}\n')
    (folder / "timelines" / "given-jobs.yaml").write_text(
        f"jobs:\n  - {{image: {IMAGE}, moves: w-9, size: 32x32}}\n"
    )
    return Recorder(monkeypatch, folder)


WITH_MOVES = ["--moves", "w-9", "--size", "32x32"]
BASE = {
    "render": [IMAGE, *WITH_MOVES, "-o", "a.mp4"],
    "stream": [IMAGE, *WITH_MOVES, "--to", "null:"],
    "serve": [],
    "play": [IMAGE],
    "batch": ["given-jobs.yaml", "--allow-outside"],
    "bench": ["--chunks", "1", "--size", "32x32"],
    "timeline check": ["given-timeline.jsonl"],
    "timeline plan": ["given-timeline.jsonl"],
    "timeline show": ["given-timeline.jsonl"],
    "timeline animatic": ["given-timeline.jsonl", "-o", "a.gif", "--size", "32x16"],
    "timeline export": ["given-timeline.jsonl", "-o", "poses"],
    "timeline convert": ["given-timeline.jsonl"],
    "parity": [str(CHECKPOINTS.parent / "cases" / "fast-v1-window-and-sink")],
    "models list": [],
    "models pull": ["lingbot-world-fast", "--accept-license"],
    "models show": [MODEL],
    "models verify": [MODEL],
    "models convert": [MODEL, "converted"],
    "config show": [],
}

# Option → its value, the path and the value of a leaf that shows it, and the situation in which it has an effect.
TIMELINE = {
    "--timeline": ("given-timeline.jsonl", r"\.timeline = given-timeline.jsonl", "no camera"),
    "--moves": ("s-12", r"request\.moves = s-12", ""),
    "--poses": ("given.npy", r"request\.poses = given.npy", "no camera"),
    "--scale": ("0.5", r"plan\.scale|\.scale = 0\.5|scale", "poses"),
    "--convention": ("opengl", r"convention = opengl", "poses"),
    "--matrix": ("w2c", r"matrix = w2c", "poses"),
    "--intrinsics": ("given-lens.npy", r"path\.intrinsics = given-lens.npy", "poses"),
    "--intrinsics-size": ("640x480", r"intrinsics_size", "poses and lens"),
    "--poses-fps": ("8", r"path\.fps = 8", "poses"),
    "--prompt": ("a red door", r"prompt = a red door", ""),
    "--duration": ("0.25s", r"overrides\.duration", ""),
    "--fps": ("8", r"\.fps = 8", ""),
    "--size": ("48x32", r"\.width = 48", "no size"),
    "--seed": ("7", r"\.seed = 7", ""),
    "--allow-outside": (None, r"allow_outside = True", "timeline"),
}
ENCODED = {
    "--upscale": ("2", r"\.factor = 2", ""),
    "--output-size": ("96x64", r"\.size\.0 = 96", ""),
    "--scaler": ("neighbor", r"\.scaler = neighbor", "enlarged"),
    "--interpolate": ("32", r"rescale\.fps = 32", ""),
}
MODEL_OPTIONS = {
    "--text-encoder": (TEXT_ENCODER, r"text_encoder = .*models_t5", ""),
    "--model": (MODEL, r"model = .*diffusers-v1-fast", ""),
    "--preset": ("built-in", r"\.preset = built-in", ""),
    "--device": ("cpu", r"\.device = cpu", ""),
    "--precision": ("bfloat16", r"\.precision = bfloat16", ""),
    "--fast": (None, r"(\.fast = True|\.window = 9)", ""),
    "--window": ("9", r"\.window = 9", ""),
    "--linears": ("fp8", r"\.linears = fp8", ""),
    "--kv-cache": ("int8", r"\.kv_cache = int8", ""),
    "--fast-steps": ("1", r"\.fast_steps = 1", ""),
    "--commit": ("last-step", r"\.commit = last-step", ""),
    "--kernel": ("torch", r"\.kernel = torch", ""),
    "--vae-format": ("channels-last", r"\.vae_format = channels-last", ""),
    "--compile": (None, r"\.compile = True", ""),
    "--assets": (ORIGINAL, r"assets = .*original-v1-fast", "flat model"),
    "--lora": ("given-lora.safetensors", r"\.lora\.0 = given-lora", "reference model"),
    "--attention": ("int8", r"\.attention = int8", ""),
    "--decoder": ("given-taew2_1.safetensors", r"\.decoder = given-taew2_1", ""),
    "--no-compile": (None, r"\.compile = False", ""),
    "--threads": ("1", r"\.threads = 1", ""),
}
MORE_MODEL_OPTIONS = {
    "--encode": ("tf32", r"\.encode = tf32", ""),
    "--decode": ("bfloat16", r"\.decode = bfloat16", ""),
    "--decode-on": ("cpu", r"\.decode_on = cpu", ""),
    "--text-on": ("cpu", r"\.text_on = cpu", ""),
    "--offload": (None, r"\.offload = True", ""),
    "--gpus": ("2", r"launch_processes\.count = 2", ""),
}
DISPLAY = {
    "--preview": ("browser", r"BrowserPreview", ""),
    "--quiet": (None, r"display = QuietDisplay", ""),
    "--json": (None, r"display = JsonDisplay", ""),
}
TABLE = {
    "render": TIMELINE
    | ENCODED
    | MODEL_OPTIONS
    | MORE_MODEL_OPTIONS
    | DISPLAY
    | {
        "--frames": ("2:6", r"prepared\.first_frame = 2", ""),
        "--output": ("b.mkv", r"sink\.name = b\.mkv", "no output"),
        "--quality": ("draft", r"_encoding\.quality = draft", ""),
        "--codec": ("x265", r"codec\.encoder = libx265", ""),
        "--crf": ("31", r"_encoding\.crf = 31", ""),
        "--format": ("rgb", r"container\.muxer = rawvideo", "pipe"),
        "--subtitles": ("track", r"subtitle_track = True", ""),
        "--overlay": ("burn", r"OverlaySink", ""),
        "--overwrite": (None, r"_overwrite = True", ""),
        "--no-metadata": (None, r"encoding = None", ""),
        "--chunk": ("2", r"preset\.chunk = 2", ""),
        "--sink": ("2", r"preset\.sink = 2", ""),
        "--shift": ("7", r"preset\.shift = 7\.0", ""),
        "--steps": ("0,500", r"preset\.steps = 2 items", ""),
        "--resume": ("fast", r"resume\.resume = fast", ""),
        "--fork-at": ("0.25s", r"resume\.fork_at", ""),
        "--keep-latents": (None, r"keep_latents = True", ""),
        "--engine": ("ws://127.0.0.1:9", r"request\.remote\.engine\.address = ws://127.0.0.1:9", ""),
        "--dry-run": (None, r"printed = (?s:.*)will write a\.mp4", ""),
        "--help-all": (None, r"printed = (?s:.*)--steps", ""),
    },
    "stream": TIMELINE
    | {
        option: (value, effect, "enlarged in a file" if where else "to a file")
        for option, (value, effect, where) in ENCODED.items()
    }
    | MODEL_OPTIONS
    | MORE_MODEL_OPTIONS
    | DISPLAY
    | {
        "--loop": (None, r"stream\.frames = None", ""),
        "--to": ("b.mkv", r"targets\.0\.name = b\.mkv", "no target"),
        "--to-file": ("given-urls", r"targets\.0\.name = given\.mkv", "no target"),
        "--record": ("c.mkv", r"options\.record\.name = c\.mkv", ""),
        "--overwrite": (None, r"_overwrite = True", "to a file"),
        "--pace": ("smooth", r"options\.pace = smooth", ""),
        "--lead": ("3", r"options\.lead = 3\.0", ""),
        "--bitrate": ("2.5M", r"targets\.0\.start\.options\.kbits = 2500", "to a server"),
        "--no-audio": (None, r"targets\.0\.start\.options\.audio = False", "to a server"),
        "--engine": ("ws://127.0.0.1:9", r"request\.remote\.engine\.address = ws://127.0.0.1:9", ""),
        "--help-all": (None, r"printed = (?s:.*)--threads", ""),
    },
    "serve": MODEL_OPTIONS
    | MORE_MODEL_OPTIONS
    | {
        "--host": ("0.0.0.0", r"address\.host = 0\.0\.0\.0", ""),
        "--port": ("0", r"address\.port = 0", ""),
        "--token": ("secret", r"rules\.token = secret", ""),
        "--no-token": (None, r"rules\.token = None", ""),
        "--allow-host": ("my.example", r"rules\.hosts\.0 = my\.example", ""),
        "--allow-origin": ("http://127.0.0.1:9", r"rules\.origins\.0 = http://127\.0\.0\.1:9", ""),
        "--per-address": ("7", r"rules\.per_address = 7", ""),
        "--min-fps": ("8", r"pool\.min_fps = 8", ""),
        "--sessions": ("3", r"pool\.slots = 3", ""),
        "--alive": ("9", r"pool\.alive = 9", ""),
        "--grace": ("5", r"pool\.grace_s = 5\.0", ""),
        "--idle": ("60", r"pool\.idle_timeout_s = 60\.0", ""),
        "--lifetime": ("90", r"pool\.lifetime_s = 90\.0", ""),
        "--max-pixels": ("5000", r"limits\.max_pixels = 5000", ""),
        "--any-size": (None, r"limits\.max_pixels = 2088960", ""),
        "--max-chunks": ("4", r"limits\.max_chunks = 4", ""),
        "--image": (IMAGE, r"defaults\.image = \(", ""),
        "--prompt": ("a red door", r"defaults\.prompt = a red door", ""),
        "--log-chunks": (None, r"chunk log = 1 handlers", ""),
        "--help-all": (None, r"printed = (?s:.*)--threads", ""),
    },
    "play": MODEL_OPTIONS
    | MORE_MODEL_OPTIONS
    | {
        "--prompt": ("a red door", r"defaults\.prompt = a red door", ""),
        "--size": ("48x32", r"defaults\.width = 48", ""),
        "--seed": ("7", r"defaults\.seed = 7", ""),
        "--in": ("terminal", r"play_in_terminal\.graphics = auto", ""),
        "--port": ("8123", r"address\.port = 8123", ""),
        "--graphics": ("sixel", r"play_in_terminal\.graphics = sixel", "in a terminal"),
        "--record": ("walk.jsonl", r"on_chunk = SessionRecorder.chunk_sent", ""),
        "--help-all": (None, r"printed = (?s:.*)--threads", ""),
    },
    "batch": {
        "--allow-outside": (None, r"states = 1 items", "outside jobs"),
        "--output-dir": ("out", r"pool\.args\.0 = out", ""),
        "--overwrite": (None, r"options\.overwrite = True", ""),
        "--report": ("report.json", r"file report\.json", ""),
        "--junit": ("report.xml", r"file report\.xml", ""),
        "--shard": ("2/2", r"states = 1 items", ""),
        "--retry": ("3", r"options\.retries = 3", ""),
        "--timeout": ("90s", r"options\.timeout = 90\.0", ""),
        "--fail-fast": (None, r"options\.fail_fast = True", ""),
        "--jobs": ("2", r"pool\.args\.1 = 2", ""),
        "--device": ("cpu", r"pool\.args\.2\.0 = cpu", ""),
        "--on": ("ray", r"pool\.address = None", ""),
        "--bring": (None, r"pool\.jobs = \.", "on ray"),
        "--engine": ("ws://127.0.0.1:9", r"request\.remote\.engine\.address = ws://127.0.0.1:9", ""),
        "--fast": (None, r"options\.window = 9", ""),
        "--dry-run": (None, r"printed = (?s:.*)2 to render", ""),
        "--quiet": (None, r"batch\.display = BatchDisplay", ""),
        "--json": (None, r"batch\.display = JsonBatchDisplay", ""),
    },
    "bench": MODEL_OPTIONS
    | {
        "--chunks": ("2", r"plan\.frames = ", "no chunks"),
        "--size": ("48x32", r"plan\.width = 48", "no size"),
        "--random-weights": (None, r"measure\.load = random_model", ""),
        "--quality": ("draft", r"_encoding\.quality = draft", ""),
        "--help-all": (None, r"printed = (?s:.*)--threads", ""),
    },
    "timeline check": {
        "--json": (None, r'printed = \[\n(?s:.*)"frames": 48', ""),
        "--preset": (LARGE, r"printed = .*4 chunks", ""),
        "--allow-outside": (None, r"printed = .*good", "outside"),
    },
    "timeline plan": {
        "--preset": (LARGE, r"printed = (?s:.*)4 chunks of 4 latent frames", ""),
        "--duration": ("1s", r"printed = (?s:.*)1s: 16 frames", ""),
        "--fps": ("8", r"printed = (?s:.*)24 frames at 8 fps", ""),
        "--prompt": ("a red door", r"printed = (?s:.*)“a red door”", ""),
        "--json": (None, r"printed = \{", ""),
        "--allow-outside": (None, r"printed = (?s:.*)16 frames", "outside"),
    },
    "timeline show": {
        "--output": ("a.svg", r"file a\.svg", ""),
        "--overwrite": (None, r"file given\.svg", "a picture"),
        "--allow-outside": (None, r"printed = ", "outside"),
    },
    "timeline animatic": {
        "--output": ("b.gif", r"file b\.gif", "no animatic"),
        "--image": (OTHER_IMAGE, r"file a\.gif", ""),
        "--size": ("64x32", r"file a\.gif", ""),
        "--overwrite": (None, r"file given\.gif", "an animatic"),
        "--duration": ("1s", r"printed = a.gif: 16 frames, 1\.0 s", ""),
        "--fps": ("8", r"printed = a.gif: 24 frames, 3\.0 s", ""),
        "--allow-outside": (None, r"file a\.gif", "outside with output"),
    },
    "timeline export": {
        "--output": ("other", r"file other/poses\.npy", "no export"),
        "--format": ("colmap", r"file poses/cameras\.txt", ""),
        "--size": ("640x480", r"file poses/intrinsics\.npy", ""),
        "--preset": (LARGE, r"file poses/(poses|action)\.npy|file poses/lingbot", ""),
        "--duration": ("1s", r"file poses/poses\.npy", ""),
        "--fps": ("8", r"file poses/poses\.npy", ""),
        "--allow-outside": (None, r"file poses/poses\.npy", "outside with output"),
        "--overwrite": (None, r"file given/poses\.npy", "an export"),
    },
    "timeline convert": {
        "--to": ("yaml", r"printed = (?s:.*)keys: w", "no conversion"),
        "--output": ("b.yaml", r"file b\.yaml", "yaml"),
        "--overwrite": (None, r"file given\.yaml", "a conversion"),
    },
    "parity": {
        "--weights": (MODEL, r"replay\.weights = .*diffusers-v1-fast", ""),
        "--device": ("cuda:0", r"replay\.device = cuda:0", ""),
        "--precision": ("bfloat16", r"replay\.dtype = torch\.bfloat16", ""),
    },
    "models pull": {
        "--accept-license": (None, r"download_model\.model\.name = lingbot-world-fast", "no licence"),
        "--revision": ("0123abcd", r"download_model\.revision = 0123abcd", ""),
    },
    "models show": {
        "--assets": (ORIGINAL, r"printed = (?s:.*)v1 flat", "flat model"),
        "--preset": ("lingbot-world-fast", r"printed = (?s:.*)preset from: --preset", "no preset"),
        "--vram": ("24", r"printed = (?s:.*)24", ""),
        "--json": (None, r"printed = \{", ""),
    },
    "models verify": {
        "--assets": (ORIGINAL, r"verify_checkpoint\.assets = .*original-v1-fast", "flat model"),
        "--preset": ("lingbot-world-fast", r"verify_checkpoint\.preset = lingbot-world-fast", ""),
    },
    "models convert": {
        "--text-encoder": (TEXT_ENCODER, r"convert\.checkpoint.*models_t5", ""),
        "--to": ("float16", r"convert\.precision = float16", ""),
        "--assets": (ORIGINAL, r"convert\.checkpoint\.layout\.vae = .*original", "flat model"),
        "--preset": ("lingbot-world-fast", r"convert\.checkpoint\.preset_source = --preset", ""),
        "--lora": ("given-lora.safetensors", r"given-lora", ""),
    },
    "models list": {"--json": (None, r"printed = \[", "")},
    "config show": {"--json": (None, r"printed = \{", "")},
}
# Options that another file exercises, where it takes files of their own or a real run to see the effect.
ELSEWHERE = {
    "render --open": "tests/cli/test_render.py",
    **{f"render --{name}": "tests/cli/test_camera_flags.py" for name in ("save-poses", "poses-format")},
    **{
        f"{command} --{name}": "tests/sinks/test_tracks.py"
        for command in ("render", "stream")
        for name in ("audio", "audio-loop")
    },
    **{
        f"camera-check --{name}": "tests/diagnostics/test_camera_check.py"
        for name in ("camera", "camera-height", "fps", "json", "overwrite", "plot")
    },
    **{
        f"camera-check --max-{name}": "tests/diagnostics/test_camera_check.py"
        for name in ("error", "heading-error", "speed-error")
    },
    **{f"serve --{name}": "tests/server/test_balancer.py" for name in ("drain", "name")},
    **{
        f"timeline schema --{name}": "tests/timeline/test_json_schema.py"
        for name in ("jobs", "output", "overwrite")
    },
    "samples --overwrite": "tests/cli/test_samples.py",
    "stream --save-timeline": "tests/cli/test_stream_events.py",
    **{f"show --{name}": "tests/cli/test_show.py" for name in ("timeline", "overwrite", "json")},
    **{
        f"sheet --{name}": "tests/videos/test_contact_sheet.py"
        for name in ("output", "frames", "columns", "width", "overwrite")
    },
    **{f"diff --{name}": "tests/videos/test_compare.py" for name in ("min-psnr", "min-ssim", "json")},
    **{f"bench --{name}": "tests/cli/test_bench.py" for name in ("json", "markdown", "compare")},
    "timeline show --preset": "tests/cli/test_timeline.py",
    "timeline animatic --preset": "tests/cli/test_timeline.py",
    "timeline new --overwrite": "tests/cli/test_timeline.py",
    "models rm --yes": "tests/checkpoints/test_download.py",
    "parity --json": "tests/cli/test_parity.py",
    "doctor --json": "tests/cli/test_doctor.py",
}


NEEDED = {
    *("no camera", "no target", "no output", "pipe", "flat model", "outside", "outside with output"),
    *("outside jobs", "a picture", "no animatic", "an animatic", "no export", "an export"),
    *("no conversion", "a conversion", "no licence", "no preset"),
}
"""Situations in which the command is refused without the option."""


def situation(command: str, name: str) -> list[str]:
    """Return the rest of a command line in which an option has an effect."""
    base = BASE[command]
    where = ["-o", "a.mp4"] if command == "render" else ["--to", "null:"]
    return {
        "": base,
        "enlarged": [*base, "--upscale", "2"],
        "no camera": [IMAGE, "--size", "32x32", *where],
        "no size": base[:-2] if command == "bench" else [IMAGE, "--moves", "w-9", *where],
        "poses": [IMAGE, "--size", "32x32", *where, "--poses", "given.npy"],
        "poses and lens": [
            *(IMAGE, "--size", "32x32", *where, "--poses", "given.npy", "--intrinsics", "given-lens.npy")
        ],
        "timeline": [IMAGE, "--size", "32x32", *where, "--timeline", "given-timeline.jsonl"],
        "no output": [IMAGE, *WITH_MOVES],
        "pipe": [IMAGE, *WITH_MOVES, "-o", "/dev/null"],
        "no target": [IMAGE, *WITH_MOVES],
        "enlarged in a file": [IMAGE, *WITH_MOVES, "--to", "b.mkv", "--upscale", "2"],
        "to a file": [IMAGE, *WITH_MOVES, "--to", "b.mkv"],
        "to a server": [IMAGE, *WITH_MOVES, "--to", "rtmp://127.0.0.1/live/key"],
        "in a terminal": [*base, "--in", "terminal"],
        "on ray": [*base, "--on", "ray"],
        "no chunks": base[2:],
        "flat model": [
            *([] if command.startswith("models") else [*base, "--model"]),
            f"{ORIGINAL}/lingbot_world_fast",
            *base[1:] * command.startswith("models"),
            *("--preset", "lingbot-world-fast"),
        ],
        "reference model": [*base, "--model", MODEL],
        "no licence": base[:1],
        "no preset": [f"{ORIGINAL}/lingbot_world_fast", "--assets", ORIGINAL],
        "outside": ["timelines/given.jsonl"],
        "outside with output": ["timelines/given.jsonl", *base[1:]],
        "outside jobs": ["timelines/given-jobs.yaml"],
        "a picture": [*base, "-o", "given.svg"],
        "no animatic": [*base[:1], "--size", "32x16"],
        "an animatic": [*base[:1], "-o", "given.gif", "--size", "32x16"],
        "no export": base[:1],
        "an export": [*base[:1], "-o", "given"],
        "no conversion": base,
        "yaml": [*base, "--to", "yaml"],
        "a conversion": [*base, "-o", "given.yaml"],
    }[name]


def cases() -> list[tuple[str, str]]:
    return [(command, option) for command, options in TABLE.items() for option in options]


@pytest.mark.parametrize(("command", "option"), cases())
def test_an_option_reaches_what_the_command_calls(recorder: Recorder, command: str, option: str) -> None:
    value, effect, where = TABLE[command][option]
    rest = situation(command, where)
    given = [option, *([] if value is None else [value])]
    needed = where in NEEDED
    before = {} if needed else recorder.run(command, rest)
    after = recorder.run(command, [*rest, *given])
    changed = [f"{path} = {leaf}" for path, leaf in after.items() if before.get(path) != leaf]
    assert any(re.search(effect, line) for line in changed), changed


DEFAULTS = {
    "render --quality": "web",
    "render --overlay": "none",
    "render --gpus": 1,
    "batch --output-dir": Path("."),
    "batch --shard": "1/1",
    "stream --pace": "hold",
    "stream --gpus": 1,
    "play --seed": 42,
    "play --in": "browser",
    "play --graphics": "auto",
    "play --gpus": 1,
    "serve --host": "127.0.0.1",
    "serve --port": 30000,
    "serve --per-address": 64,
    "serve --grace": 30,
    "serve --idle": 600,
    "serve --lifetime": 14400,
    "serve --gpus": 1,
    "sheet --output": Path("sheet.png"),
    "sheet --width": 240,
    "bench --chunks": 8,
    "bench --quality": "web",
    "timeline check --preset": "built-in",
    "timeline plan --preset": "built-in",
    "timeline show --preset": "built-in",
    "timeline animatic --preset": "built-in",
    "timeline export --format": "npy",
    "timeline export --preset": "built-in",
    "models convert --to": "bfloat16",
    "camera-check --max-error": 1.0,
    "camera-check --max-heading-error": 10.0,
    "camera-check --max-speed-error": 0.25,
    "render --subtitles": "none",
    "parity --device": "cpu",
    "parity --precision": "float32",
}
"""Every default that is neither empty, zero nor False; the defaults that are None the help names in words."""


def options_of(command: object, path: list[str]) -> Iterator[tuple[str, str, object]]:
    """Yield every option of a command and of its sub-commands, by its longest name, with its default."""
    for name, sub in getattr(command, "commands", {}).items():
        yield from options_of(sub, [*path, name])
    if not hasattr(command, "commands"):
        for each in command.params:
            if each.param_type_name == "option":
                for names in (each.opts, each.secondary_opts):
                    if names:
                        yield " ".join(path), max(names, key=len), each.default


def every_option() -> list[tuple[str, str, object]]:
    commands = (
        typer.main.get_command(import_module(f"lingbot_cli.cli.{name.replace('-', '_')}").app)
        for name in COMMANDS
    )
    return [each for name, app in zip(COMMANDS, commands, strict=True) for each in options_of(app, [name])]


def test_defaults_are_those_of_the_documentation() -> None:
    found = {f"{command} {option}": default for command, option, default in every_option() if default}
    assert found == DEFAULTS


def test_every_option_is_exercised() -> None:
    known = {(command, option) for command, option, _ in every_option()}
    missing = known - set(cases()) - {tuple(key.rsplit(" ", 1)) for key in ELSEWHERE}
    assert sorted(" ".join(each) for each in missing) == []
    for key, place in ELSEWHERE.items():
        assert tuple(key.rsplit(" ", 1)) in known, key
        option = key.rsplit(" ", 1)[1].replace("--output", "-o")
        assert f'"{option}' in (ROOT / place).read_text(), (key, place)
