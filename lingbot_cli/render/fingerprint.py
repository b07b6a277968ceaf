"""What decides a film's latents, as plain texts that two runs can be held against each other by."""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version

import numpy as np

from lingbot_cli import __version__
from lingbot_cli.control import Control
from lingbot_cli.render.request import Prepared
from lingbot_cli.render.resume_store import Facts


def facts(prepared: Prepared) -> dict[str, str]:
    """Everything but what single chunks are told: program, weights, settings, size, seed, first image."""
    planned, request = prepared.plan, prepared.request
    return {
        "lingbot": __version__,
        "torch": version("torch"),
        "model": prepared.checkpoint.identity,
        "text encoder": prepared.checkpoint.text_identity,
        "settings": digest(json.dumps(asdict(prepared.checkpoint.preset)).encode()),
        "size": f"{planned.width}x{planned.height}",
        "seed": str(planned.seed),
        "scale": repr(planned.scale),
        "device": request.options.device or "the best there is",
        "precision": request.options.precision or "the device's",
        "linears": request.options.linears or "exact",
        "attention": request.options.attention or "exact",
        "kernel": request.options.kernel or "the fastest there is",
        "threads": str(request.options.threads or "as many as are fastest"),
        "compile": {None: "as the device does", True: "yes", False: "no"}[request.options.compile],
        "image": picture(prepared.images[None]),
    }


def told(prepared: Prepared) -> list[Facts]:
    """What each chunk is told."""
    return [_told(control, prepared) for control in prepared.controls]


def recipe(prepared: Prepared) -> str:
    """One short name for the whole film: equal for equal facts, chunks and length."""
    everything = [facts(prepared), told(prepared), prepared.plan.frames, prepared.plan.fps]
    return digest(json.dumps(everything).encode())


def _told(control: Control, prepared: Prepared) -> Facts:
    camera = [control.poses, control.intrinsics, control.actions]
    said = {
        "prompt": control.prompt,
        "camera": digest(b"".join(np.ascontiguousarray(part).tobytes() for part in camera)),
    }
    if control.cut is not None:
        said["cut"] = picture(prepared.images[control.cut])
    if control.recache:
        said["recache"] = "true"
    return said


def picture(image: np.ndarray) -> str:
    """A short name for a picture [H, W, 3] uint8."""
    return digest(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes())


def digest(data: bytes) -> str:
    """16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
