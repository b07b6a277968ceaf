"""Fingerprints: named texts of everything that determines a video's latents, compared before a resume."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from lingbot_cli import __version__
from lingbot_cli.control import Control
from lingbot_cli.presets import DESCRIPTIVE, Preset
from lingbot_cli.render.request import PreparedVideo

_version = cache(version)  # it parses the package's metadata, for every video of a batch
_NEWER = {"antialias": False, "vae_mult": (1, 2, 4, 4)}  # settings that earlier versions lacked
Fingerprint = Mapping[str, str]
"""Named texts; equal fingerprints give equal latents."""


def render_fingerprint(prepared: PreparedVideo) -> dict[str, str]:
    """Return the fingerprint of the whole video: versions, weights, options, size, seed, first image."""
    plan, options, checkpoint = prepared.plan, prepared.request.options, prepared.model
    given = {"encode": options.encode, "commit": options.commit, "vae format": options.vae_format}
    return {
        "lingbot": __version__,
        "torch": _version("torch"),
        "model": checkpoint.identity,
        "text encoder": checkpoint.text_identity,
        "settings": short_hash(json.dumps(preset_json(checkpoint.preset)).encode()),
        "size": f"{plan.width}x{plan.height}",
        "seed": str(plan.seed),
        "scale": repr(plan.scale),
        "device": options.device or "the best there is",
        "precision": options.precision or "the device's",
        "linears": options.linears or "exact",
        "attention": options.attention or "exact",
        "kv cache": options.kv_cache or "exact",
        "kernel": options.kernel or "the fastest there is",
        "threads": str(options.threads or "as many as are fastest"),
        "compile": {None: "as the device does", True: "yes", False: "no"}[options.compile],
        "image": hash_image(prepared.images[None]),
    } | {name: value for name, value in given.items() if value}


def chunk_fingerprints(prepared: PreparedVideo) -> list[Fingerprint]:
    """Return the fingerprint of each chunk's inputs."""
    return [_chunk_fingerprint(control, prepared) for control in prepared.controls]


def video_hash(prepared: PreparedVideo) -> str:
    """Return a short hash of the video: equal for equal fingerprints, length and frame rate."""
    plan = prepared.plan
    content = [render_fingerprint(prepared), chunk_fingerprints(prepared), plan.frames, plan.fps]
    return short_hash(json.dumps(content).encode())


def fingerprint_difference(before: Fingerprint, now: Fingerprint) -> str:
    """Return the entries that differ, as text; empty for equal fingerprints."""
    names = dict.fromkeys([*before, *now])
    return ", ".join(
        f"{name} {before.get(name, 'not set')}, now {now.get(name, 'not set')}"
        for name in names
        if before.get(name) != now.get(name)
    )


def _chunk_fingerprint(control: Control, prepared: PreparedVideo) -> Fingerprint:
    camera = [control.poses, control.intrinsics, control.actions]
    fingerprint = {
        "prompt": control.prompt,
        "camera": short_hash(b"".join(np.ascontiguousarray(part).tobytes() for part in camera)),
    }
    if control.cut is not None:
        fingerprint["cut"] = hash_image(prepared.images[control.cut])
    if control.recache:
        fingerprint["recache"] = "true"
    return fingerprint


def preset_json(preset: Preset) -> dict[str, Any]:
    """Return the settings of a preset that determine latents, as videos and resume folders save them."""
    settings = {name: value for name, value in asdict(preset).items() if name not in DESCRIPTIVE}
    # Folders of earlier versions can be resumed: they have a setting more, which other models left empty.
    settings["familiar"] = None
    return {name: value for name, value in settings.items() if name not in _NEWER or value != _NEWER[name]}


def hash_image(image: np.ndarray) -> str:
    """Return a short hash of an image [H, W, 3] uint8."""
    return short_hash(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes())


def short_hash(data: bytes) -> str:
    """Return 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
