"""Initial transformer weights: an identity on the noise, and a whitened camera projection."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.camera.lens import REFERENCE_HEIGHT, REFERENCE_WIDTH
from lingbot_cli.camera.plucker import CELL_PX
from lingbot_cli.model.transformer import Transformer, TransformerConfig, patchify
from lingbot_cli.presets import PRESETS
from training.data import LATENTS
from training.latents import Latents

_COMPONENTS = 12


def batched_rays(steps: Tensor, optics: Tensor, height: int, width: int) -> Tensor:
    """Return rays [B, 384, F, h, w] of relative poses [B, F, 4, 4] and lenses [B, F, 4]; as `plucker_rays`."""
    fx, fy, cx, cy = (optics[..., i, None] for i in range(4))
    across = (torch.arange(width, device=steps.device) + 0.5) * (REFERENCE_WIDTH / width)
    down = (torch.arange(height, device=steps.device) + 0.5) * (REFERENCE_HEIGHT / height)
    x = ((across - cx) / fx).unflatten(-1, (-1, CELL_PX)).movedim(-1, 2)[:, :, None, :, None, :]
    y = ((down - cy) / fy).unflatten(-1, (-1, CELL_PX)).movedim(-1, 2)[:, :, :, None, :, None]
    x, y = torch.broadcast_tensors(x, y)  # [B, F, dy, dx, h, w]
    ray = F.normalize(torch.stack([x, y, torch.ones_like(x)], 2).flatten(3, 4), dim=2)
    ray = torch.einsum("bfij,bfjkhw->bikfhw", steps[..., :3, :3], ray)
    origin = steps[..., :3, 3].transpose(1, 2)[:, :, None, :, None, None].expand_as(ray)
    return torch.cat([origin, ray], 1).flatten(1, 2)


def init_transformer(clips: Latents, seed: int) -> Transformer:
    """Return an initial transformer; the clips are samples of the camera input."""
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig.of(PRESETS["built-in"]))
    dim = model.config.dim
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv3d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            nn.init.zeros_(cast(Tensor, module.bias))
    with torch.no_grad():
        silent = [cast(nn.Linear, model.time_projection[1]), model.c2ws_hidden_states_layer2]
        for block in model.iter_blocks():
            silent += [block.self_attn.o, block.cross_attn.o, block.cam_injector_layer2]
            silent += [cast(nn.Linear, block.ffn[2])]
            silent += [block.cam_scale_layer, block.cam_shift_layer]
            block.modulation.zero_()
            block.modulation[:, [2, 5]] = 1
        for layer in silent:
            layer.weight.zero_()
        _pass_noise(model)
        _sort_camera(model.patch_embedding_wancamctrl, clips, dim)
    return model


def _pass_noise(model: Transformer) -> None:
    """Set embedding and head to pass the 64 noisy values of a patch unchanged."""
    embedding = model.patch_embedding.weight
    embedding[:64] = 0
    head = model.head.head.weight
    head.zero_()
    for channel in range(16):
        for cell in range(4):
            embedding[4 * channel + cell, channel, 0, cell // 2, cell % 2] = 1
            head[16 * cell + channel, 4 * channel + cell] = 1


def _sort_camera(layer: nn.Linear, clips: Latents, dim: int) -> None:
    """Set the camera projection to a random mix of the rays' whitened principal components."""
    seen = []
    for steps, optics in zip(clips.steps[:160].cpu(), clips.optics[:160].cpu(), strict=True):
        rays = batched_rays(steps[None], optics.expand(1, LATENTS, -1), *clips.size)
        tokens = patchify(rays)[0]
        seen.append(tokens[torch.randint(len(tokens), (LATENTS * 8,))])
    tokens = torch.cat(seen)
    mean = tokens.mean(0)
    values, vectors = torch.linalg.eigh((tokens - mean).T @ (tokens - mean) / len(tokens))
    values, vectors = values[-_COMPONENTS:], vectors[:, -_COMPONENTS:]
    whitened = (vectors / (values + 1e-5 * values[-1]).sqrt()).T
    mix = torch.randn(dim, _COMPONENTS) * _COMPONENTS**-0.5
    layer.weight.copy_(mix @ whitened)
    layer.bias.copy_(-layer.weight @ mean)
