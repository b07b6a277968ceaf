"""Checks of the machine: Python, torch, devices, ffmpeg and its encoders, models, disk."""

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
from lingbot_cli.runtime.installed import model_statuses
from lingbot_cli.runtime.memory import gigabytes
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.ffmpeg_binary import codec_works, find_ffmpeg, sends_whip

MIN_PYTHON = (3, 11)
MIN_FREE_DISK_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """Result of one check: `error` makes rendering impossible, `warning` limits it; `hint` is the remedy."""

    name: str
    status: Literal["ok", "warning", "error"]
    message: str
    hint: str = ""


def _verdict(
    name: str, good: bool, message: str, hint: str, bad: Literal["warning", "error"] = "warning"
) -> Finding:
    return Finding(name, "ok" if good else bad, message, "" if good else hint)


Check = Callable[[Mapping[str, str]], Iterator[Finding]]


def run_checks(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Run every check in order; a LingbotError in a check becomes a finding of status `error`."""
    for check in CHECKS:
        try:
            yield from check(environ)
        except LingbotError as error:
            yield Finding(check.__name__.lstrip("_"), "error", str(error), error.hint or "")


def _python(_: Mapping[str, str]) -> Iterator[Finding]:
    good = sys.version_info[:2] >= MIN_PYTHON
    message = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield _verdict("python", good, message, "install Python 3.11 or newer", "error")


def _torch(_: Mapping[str, str]) -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as problem:
        yield Finding("torch", "error", f"cannot be imported: {problem}", "install torch 2.11 or newer")
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    ram = free_ram()
    yield _verdict("device cpu", ram > 2_000_000_000, f"{gigabytes(ram)} free", "close other programs")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield Finding(f"device cuda:{index}", "ok", f"{name}, {gigabytes(free)} of {gigabytes(total)} free")
    if not torch.cuda.is_available():
        yield Finding(
            "gpu",
            "warning",
            "torch finds none",
            "for the published models install the CUDA build of torch and a GPU driver; the built-in one runs on CPU",
        )
    yield _attention()


def _attention() -> Finding:
    """Try each attention kernel on the default device; name those that work and the fastest measured so far."""
    import torch

    from lingbot_cli.model.accel.attention_backends import working_backends
    from lingbot_cli.model.device import pick_device
    from lingbot_cli.runtime.autotune import KERNELS_FILE, read_measurements

    device = pick_device(None)
    names = working_backends(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    fastest = sorted({str(each["kernel"]) for each in read_measurements(KERNELS_FILE, "kernel").values()})
    working_text = f"on {device}: {', '.join(names) or 'none works'}"
    fastest_text = f"; fastest measured here: {', '.join(fastest)}" if fastest else ""
    return Finding("attention", "ok" if names else "error", working_text + fastest_text)


def _ffmpeg(environ: Mapping[str, str]) -> Iterator[Finding]:
    ffmpeg = find_ffmpeg(environ)
    yield Finding("ffmpeg", "ok", ffmpeg)
    working = [name for name in CODECS if codec_works(ffmpeg, name)]
    rest = [name for name in CODECS if name not in working]
    software = any(name in working for name in ("x264", "x265", "ffv1", "vp9", "av1"))
    message = f"available: {', '.join(working) or 'none'}; not available: {', '.join(rest) or 'none'}"
    hint = "unset LINGBOT_FFMPEG to use the ffmpeg installed with lingbot"
    yield _verdict("encoders", software, message, hint, "error")
    listed = subprocess.run(
        [ffmpeg, "-hide_banner", "-protocols"], capture_output=True, text=True, timeout=30
    )
    for name, here in {"srt": "srt" in listed.stdout.split(), "whip": sends_whip(ffmpeg)}.items():
        message = "supported" if here else "not supported by this ffmpeg"
        hint = f"to stream over {name}, set LINGBOT_FFMPEG to a build that has it"
        yield _verdict(f"protocol {name}", here, message, hint)


def _models(environ: Mapping[str, str]) -> Iterator[Finding]:
    for model in model_statuses(environ):
        if not model.installed:
            yield Finding(f"model {model.name}", "ok", "not downloaded", f"lingbot models pull {model.name}")
        elif not model.fits:
            need = gigabytes(model.memory)
            yield Finding(
                f"model {model.name}",
                "warning",
                f"downloaded; needs {need}",
                "use a smaller --size, or --offload",
            )
        else:
            yield Finding(f"model {model.name}", "ok", f"downloaded, {gigabytes(model.bytes)}; fits")


def _disk(environ: Mapping[str, str]) -> Iterator[Finding]:
    folder = cache_folder(environ)
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    hint = "free some space, or set LINGBOT_CACHE_DIR to a larger disk"
    yield _verdict("disk", free >= MIN_FREE_DISK_BYTES, f"{gigabytes(free)} free at {folder}", hint)


CHECKS: tuple[Check, ...] = (_python, _torch, _ffmpeg, _models, _disk)
