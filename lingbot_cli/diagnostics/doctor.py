"""What of a render this machine can do, each thing tried, with what to do where it cannot."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.errors import LingbotError
from lingbot_cli.runtime.hardware import free_ram
from lingbot_cli.runtime.installed import known_models
from lingbot_cli.runtime.memory import gigabytes
from lingbot_cli.sinks.ffmpeg_binary import codec_works, find_ffmpeg
from lingbot_cli.sinks.formats import CODECS

OLDEST_PYTHON = (3, 11)
LITTLE_DISK = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `bad` makes rendering impossible, `warning` takes something away; `todo` helps."""

    about: str
    state: Literal["good", "warning", "bad"]
    said: str
    todo: str = ""


Check = Callable[[Mapping[str, str]], Iterator[Finding]]


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that is looked at, in order; a check that fails as a whole is itself a finding."""
    for check in CHECKS:
        try:
            yield from check(environ)
        except LingbotError as error:
            yield Finding(check.__name__.lstrip("_"), "bad", str(error), error.hint or "")


def _python(_: Mapping[str, str]) -> Iterator[Finding]:
    good = sys.version_info[:2] >= OLDEST_PYTHON
    yield Finding(
        "python",
        "good" if good else "bad",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if good else "Install Python 3.11 or newer.",
    )


def _torch(_: Mapping[str, str]) -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as problem:
        yield Finding("torch", "bad", f"cannot be imported: {problem}", "Install torch 2.11 or newer.")
        return
    yield Finding("torch", "good", f"{torch.__version__}, {torch.get_num_threads()} threads")
    ram = free_ram()
    state: Literal["good", "warning"] = "good" if ram > 2_000_000_000 else "warning"
    yield Finding(
        "device cpu", state, f"{gigabytes(ram)} free", "" if state == "good" else "Close other programs."
    )
    for place in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(place)
        name = torch.cuda.get_device_name(place)
        yield Finding(f"device cuda:{place}", "good", f"{name}, {gigabytes(free)} of {gigabytes(total)} free")
    if not torch.cuda.is_available():
        yield Finding(
            "gpu",
            "warning",
            "none that torch can use",
            "The built-in world runs on the CPU; for the published ones install torch's CUDA build and a driver.",
        )
    yield _attention()


def _attention() -> Finding:
    """The kernels that attention really runs with on the best device, tried one by one, and which were taken."""
    import torch

    from lingbot_cli.model.accel.attention_backends import working
    from lingbot_cli.model.device import pick_device
    from lingbot_cli.runtime.kernel import FILE
    from lingbot_cli.runtime.measurements import measured

    device = pick_device(None)
    names = working(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    taken = sorted({str(each["kernel"]) for each in measured(FILE, "kernel").values()})
    said = f"on {device}: {', '.join(names) or 'none works'}"
    fastest = f"; measured as the fastest here: {', '.join(taken)}" if taken else ""
    return Finding("attention", "good" if names else "bad", said + fastest)


def _ffmpeg(environ: Mapping[str, str]) -> Iterator[Finding]:
    ffmpeg = find_ffmpeg(environ)
    yield Finding("ffmpeg", "good", ffmpeg)
    working = [name for name in CODECS if codec_works(ffmpeg, name)]
    rest = [name for name in CODECS if name not in working]
    software = any(name in working for name in ("x264", "x265", "ffv1", "vp9", "av1"))
    yield Finding(
        "encoders",
        "good" if software else "bad",
        f"work: {', '.join(working) or 'none'}; do not: {', '.join(rest) or 'none'}",
        "" if software else "Leave LINGBOT_FFMPEG unset to use the ffmpeg that came with lingbot.",
    )
    said = subprocess.run([ffmpeg, "-hide_banner", "-protocols"], capture_output=True, text=True, timeout=30)
    protocols = set(said.stdout.split())
    for name in ("rtmp", "rtmps", "srt"):
        here = name in protocols
        yield Finding(
            f"protocol {name}",
            "good" if here else "warning",
            "spoken" if here else "not spoken by this ffmpeg",
            "" if here else f"To stream over {name}, set LINGBOT_FFMPEG to a build with it.",
        )


def _models(environ: Mapping[str, str]) -> Iterator[Finding]:
    for model in known_models(environ):
        if not model.here:
            yield Finding(f"model {model.name}", "good", "not here", f"lingbot models pull {model.name}")
        elif not model.fits:
            need = gigabytes(model.needs)
            yield Finding(
                f"model {model.name}",
                "warning",
                f"here; needs {need}",
                "Take a smaller --size, or --offload.",
            )
        else:
            yield Finding(f"model {model.name}", "good", f"here, {gigabytes(model.bytes)}; fits")


def _disk(environ: Mapping[str, str]) -> Iterator[Finding]:
    folder = cache_folder(environ)
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    little = free < LITTLE_DISK
    yield Finding(
        "disk",
        "warning" if little else "good",
        f"{gigabytes(free)} free at {folder}",
        "Free some space, or set LINGBOT_CACHE_DIR to a larger disk." if little else "",
    )


CHECKS: tuple[Check, ...] = (_python, _torch, _ffmpeg, _models, _disk)
