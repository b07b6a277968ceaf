"""What decides a film's latents, as plain texts that two runs can be held against each other by."""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version

import numpy as np

from lingbot_cli import __version__
from lingbot_cli.control import Control
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume_store import Fingerprint


def render_fingerprint(prepared: PreparedVideo) -> dict[str, str]:
    """Everything but what single chunks are told: program, weights, settings, size, seed, first image."""
    planned, request = prepared.plan, prepared.request
    return {
        "lingbot": __version__,
        "torch": version("torch"),
        "model": prepared.checkpoint.identity,
        "text encoder": prepared.checkpoint.text_identity,
        "settings": short_hash(json.dumps(asdict(prepared.checkpoint.preset)).encode()),
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
        "image": hash_image(prepared.images[None]),
    }


def chunk_fingerprints(prepared: PreparedVideo) -> list[Fingerprint]:
    """What each chunk is told."""
    return [_chunk_fingerprint(control, prepared) for control in prepared.controls]


def video_hash(prepared: PreparedVideo) -> str:
    """One short name for the whole film: equal for equal facts, chunks and length."""
    everything = [
        render_fingerprint(prepared),
        chunk_fingerprints(prepared),
        prepared.plan.frames,
        prepared.plan.fps,
    ]
    return short_hash(json.dumps(everything).encode())


def _chunk_fingerprint(control: Control, prepared: PreparedVideo) -> Fingerprint:
    camera = [control.poses, control.intrinsics, control.actions]
    said = {
        "prompt": control.prompt,
        "camera": short_hash(b"".join(np.ascontiguousarray(part).tobytes() for part in camera)),
    }
    if control.cut is not None:
        said["cut"] = hash_image(prepared.images[control.cut])
    if control.recache:
        said["recache"] = "true"
    return said


def hash_image(image: np.ndarray) -> str:
    """A short name for a picture [H, W, 3] uint8."""
    return short_hash(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes())


def short_hash(data: bytes) -> str:
    """16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
