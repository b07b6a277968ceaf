"""Replay of a recorded case, with the largest error of each tensor against the recording."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lingbot_cli.camera.interpolate import resample_path
from lingbot_cli.camera.pose import clip_scale
from lingbot_cli.checkpoints.packed import packing_of, read_entries
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.model.loading.packed_layers import use_packed_layers
from lingbot_cli.model.loading.tensor_io import fill_module, stored_tensors
from lingbot_cli.model.sampler import sigma_schedule
from lingbot_cli.model.session import Session
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import Preset

# Largest absolute errors in float32; flows and latents gather rounding over layers and chunks.
TOLERANCES = {
    "timesteps": 0.0,
    "sigmas": 1e-6,
    "renoise_sigmas": 1e-6,
    "condition": 1e-5,
    "plucker": 1e-5,
    "flow_first_chunk": 1e-4,
    "flow_last_chunk": 1e-4,
    "latents": 3e-4,
    "video": 1e-3,
}
PACKED_TOLERANCES = {"Q8_0": 0.08, "Q5_1": 0.5, "fp8": 0.6, "Q4_0": 1.1, "nvfp4": 1.6}
"""Largest absolute errors of flows, latents and video with packed weights, by their packing."""

_OF_TRANSFORMER = ("flow_first_chunk", "flow_last_chunk", "latents", "video")


@dataclass(frozen=True)
class Deviation:
    """Largest absolute error of one tensor and its tolerance; a NaN or a wrong shape never holds."""

    name: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance


class RecordingTransformer:
    """A transformer that records its inputs and outputs, commit passes included."""

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer
        self.rays: list[Tensor] = []
        self.conditions: list[Tensor] = []
        self.flows: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transformer, name)

    def embed_camera(self, rays: Tensor, *rest: Any) -> Any:
        self.rays.append(rays)
        self.flows.clear()
        return self._transformer.embed_camera(rays, *rest)

    def __call__(
        self, latents: Tensor, condition: Tensor, *rest: Any, flow: bool = True, **more: Any
    ) -> Tensor | None:
        answer = self._transformer(latents, condition, *rest, **more)
        self.flows.append(answer[0])
        if not flow:
            self.conditions.append(condition)
        return answer if flow else None


@dataclass(frozen=True)
class RecordedTextEncoder:
    """Text encoder that returns the recorded embeddings of the prompt."""

    context: Tensor

    def encode(self, prompt: str) -> Tensor:  # noqa: ARG002 - the case has one prompt only
        return self.context


def replay(case: Path, weights: Path, device: torch.device, dtype: torch.dtype) -> list[Deviation]:
    """Run the case in `case`/case.json with weights from `weights` and compare every recorded tensor.

    The transformer may be packed, in a file of the case's name or with the suffix `.gguf`.
    """
    tensors = replay_tensors(case, weights, device, dtype)
    settings, expected = _read_settings(case), _read_tensors(case / "expected.safetensors")
    try:
        expected["renoise_sigmas"] = torch.tensor(settings["renoise_sigmas"], dtype=torch.float64)
        packing = packing_of(read_entries(_transformer_file(settings, weights)).values())
        tolerances = dict(TOLERANCES)
        if packing is not None:
            if packing not in PACKED_TOLERANCES:
                known = ", ".join(PACKED_TOLERANCES)
                raise UsageError(f"{packing}: no tolerance", hint=f"pack the weights as {known}")
            tolerances |= dict.fromkeys(_OF_TRANSFORMER, PACKED_TOLERANCES[packing])
        return [_deviation(name, tensors[name], expected, tolerances[name]) for name in TOLERANCES]
    except KeyError as missing:
        raise UsageError(f"{case}: {missing} is missing from the case") from missing


@torch.inference_mode()
def replay_tensors(
    case: Path, weights: Path, device: torch.device, dtype: torch.dtype, *, kv_cache: str | None = None
) -> dict[str, Tensor]:
    """Run the case in `case`/case.json and return its tensors by name; `kv_cache`: int8 or fp8, None for exact."""
    settings = _read_settings(case)
    expected = _read_tensors(case / "expected.safetensors")
    try:
        world = _world(settings, weights, expected["context"], device, dtype)
        return _run(settings, expected, replace(world, kv_cache=kv_cache))
    except KeyError as missing:
        raise UsageError(f"{case}: {missing} is missing from the case") from missing


def _run(settings: dict[str, Any], expected: dict[str, Tensor], world: WorldModel) -> dict[str, Tensor]:
    chunk = settings["chunk_size"]
    frames = expected["latents"].shape[1]
    recorder = RecordingTransformer(world.transformer)
    poses = resample_path(expected["poses"].numpy(), frames)
    intrinsics = np.resize(expected["intrinsics"].numpy(), (frames, 4))
    actions = expected.get("wasd", torch.zeros(4 * frames, 4)).numpy()[::4][:frames]

    def noise(index: int, step: int, shape: tuple[int, ...]) -> Tensor:  # noqa: ARG001 - the recording has the shape
        if step == 0:
            return expected["noise_init"][:, index * chunk : (index + 1) * chunk]
        return expected["noise_renoise"][index * (len(settings["timestep_indices"]) - 1) + step - 1]

    session = Session(
        replace(world, transformer=cast(Transformer, recorder)),
        expected["image_rgb"].numpy(),
        height=settings["height"],
        width=settings["width"],
        scale=clip_scale(poses),
        noise=noise,
        max_attention_tokens=settings.get("max_attention_tokens"),
    )
    carry, latents, video, flows = CausalConvCache(), [], [], []
    for start in range(0, frames, chunk):
        span = slice(start, start + chunk)
        control = Control(poses[span], intrinsics[span], actions[span], prompt="recorded", frames=4 * chunk)
        latents.append(session.denoise(control).cpu())
        flows.append(torch.stack(recorder.flows).cpu())
        video.append(world.vae.decode(latents[-1][None].to(world.device), carry)[0].float().cpu())
    steps = sigma_schedule(world.preset.steps, world.preset.shift)
    return {
        "timesteps": torch.tensor(steps.timesteps),
        "sigmas": torch.tensor(steps.sigmas, dtype=torch.float64),
        "renoise_sigmas": torch.tensor(steps.renoise_sigmas, dtype=torch.float64),
        "condition": torch.cat(recorder.conditions, dim=2)[0],
        "plucker": torch.cat(recorder.rays, dim=2)[0],
        "flow_first_chunk": flows[0],
        "flow_last_chunk": flows[-1],
        "latents": torch.cat(latents, dim=1),
        "video": torch.cat(video, dim=1),
    }


def _deviation(name: str, actual: Tensor, expected: dict[str, Tensor], tolerance: float) -> Deviation:
    target = expected[name]
    if target.shape != actual.shape:
        return Deviation(name, float("inf"), tolerance)
    error = (actual.cpu().double() - target.double()).abs().max().item()
    return Deviation(name, error, tolerance)


def _world(
    settings: dict[str, Any], weights: Path, context: Tensor, device: torch.device, dtype: torch.dtype
) -> WorldModel:
    config, vae_config = settings["config"], settings["vae_config"]
    preset = Preset(
        name="recorded",
        dim=config["dim"],
        heads=config["num_heads"],
        layers=config["num_layers"],
        ffn=config["ffn_dim"],
        chunk=settings["chunk_size"],
        window=config["local_attn_size"],
        sink=config["sink_size"],
        steps=tuple(settings["timestep_indices"]),
        shift=settings["shift"],
        licence="",
        control=config["control_type"],
        text_dim=config["text_dim"],
        text_len=config["text_len"],
        freq_dim=config["freq_dim"],
    )
    transformer = _load_transformer(preset, _transformer_file(settings, weights), device, dtype)
    vae = VAE(
        VAEConfig(
            dim=vae_config["dim"],
            z_dim=vae_config["z_dim"],
            dim_mult=tuple(vae_config["dim_mult"]),
            num_res_blocks=vae_config["num_res_blocks"],
            temporal_downsample=tuple(vae_config["temporal_downsample"]),
        )
    )
    try:
        vae.load_state_dict(_read_tensors(weights / settings["vae"]))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UsageError(f"{weights / settings['vae']}: the weights do not fit the case: {reason}") from error
    vae.eval().requires_grad_(False)
    return WorldModel(preset, transformer, vae.to(device), RecordedTextEncoder(context), device)


def _transformer_file(settings: dict[str, Any], weights: Path) -> Path:
    """Return the file of the case's transformer, plain or GGUF. Errors: UsageError."""
    file = weights / settings["transformer"]
    found = next((each for each in (file, file.with_suffix(".gguf")) if each.is_file()), None)
    if found is None:
        raise UsageError(f"{file}: no such file", hint="name the folder of the case's weights with --weights")
    return found


def _load_transformer(preset: Preset, file: Path, device: torch.device, dtype: torch.dtype) -> Transformer:
    with torch.device("meta"):
        transformer = Transformer(TransformerConfig.of(preset)).to(dtype)
    tensors = use_packed_layers(transformer, stored_tensors(file), dtype, within="blocks.")
    fill_module(transformer, tensors, part="transformer", device_of=lambda _: device)
    return transformer.eval()


def _read_settings(case: Path) -> dict[str, Any]:
    try:
        settings = json.loads((case / "case.json").read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{case / 'case.json'}: not a readable case: {error}") from error
    if not isinstance(settings, dict):
        raise UsageError(f"{case / 'case.json'}: expected a JSON object")
    return settings


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: not a readable safetensors file: {error}") from error
