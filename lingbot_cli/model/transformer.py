"""Causal video transformer: Wan blocks with camera modulation between self- and cross-attention (model §4)."""

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, fields
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from lingbot_cli.model import rope
from lingbot_cli.model.attention import Attention, AttentionFunction
from lingbot_cli.model.sequence_parallel import SINGLE_PROCESS, SequenceParallel
from lingbot_cli.presets import Preset

LayerAttention = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TransformerConfig:
    """Widths of a transformer; `control_dim` is the number of ray channels at latent size (384, act 448)."""

    dim: int
    heads: int
    layers: int
    ffn: int
    in_dim: int = 36
    out_dim: int = 16
    text_dim: int = 4096
    text_len: int = 512
    freq_dim: int = 256
    eps: float = 1e-6
    control: Literal["cam", "act"] = "cam"

    @classmethod
    def of(cls, preset: Preset) -> "TransformerConfig":
        """Return the widths of a preset, which are its fields of the same names."""
        return cls(**{f.name: getattr(preset, f.name) for f in fields(cls) if hasattr(preset, f.name)})

    @property
    def control_dim(self) -> int:
        return 384 if self.control == "cam" else 448

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


class Block(nn.Module):
    """Self-attention, camera modulation, cross-attention and feed-forward on a float32 residual stream."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.dim, self.eps = dim, config.eps
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim))
        self.self_attn = Attention(dim, config.heads, config.eps)
        self.cam_injector_layer1 = nn.Linear(dim, dim)
        self.cam_injector_layer2 = nn.Linear(dim, dim)
        self.cam_scale_layer = nn.Linear(dim, dim)
        self.cam_shift_layer = nn.Linear(dim, dim)
        self.norm3 = nn.LayerNorm(dim, config.eps)
        self.cross_attn = Attention(dim, config.heads, config.eps)
        self.ffn = nn.Sequential(nn.Linear(dim, config.ffn), nn.GELU("tanh"), nn.Linear(config.ffn, dim))

    def camera_modulation(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Return this block's scale and shift [B, N, dim] for camera tokens p."""
        u = self.cam_injector_layer2(F.silu(self.cam_injector_layer1(p))) + p
        return self.cam_scale_layer(u), self.cam_shift_layer(u)

    def modulate(self, time: Tensor) -> tuple[Tensor, ...]:
        """Return six rows [B, 1, dim] of `time` [B, 6, dim]: shift, scale, gate for attention, then for the FFN."""
        return (self.modulation.float() + time).split(1, dim=1)

    def self_keys_values(self, x: Tensor, time: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """Return only the rotated keys and the values of this block's self-attention."""
        shift, scale, *_ = self.modulate(time)
        k, v = self.self_attn.keys_values(self._modulated_norm(x, shift, scale))
        return rope.rotate(k, rotation), v

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        camera: tuple[Tensor, Tensor],
        text: tuple[Tensor, Tensor],
        rotation: Tensor,
        attend: AttentionFunction,
    ) -> Tensor:
        """Run the block over tokens x [B, N, dim], at the positions of a table `rotation` [2, N, d/2]."""
        attended = attend(*self.before_attention(x, time, rotation))
        return self.after_attention(x, attended, time, camera, text)

    def before_attention(self, x: Tensor, time: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries and keys, rotated, and the values of this block's self-attention."""
        shift, scale, *_ = self.modulate(time)
        y = self._modulated_norm(x, shift, scale)
        q, (k, v) = self.self_attn.queries(y), self.self_attn.keys_values(y)
        return rope.rotate(q, rotation), rope.rotate(k, rotation), v

    def after_attention(
        self,
        x: Tensor,
        attended: Tensor,
        time: Tensor,
        camera: tuple[Tensor, Tensor],
        text: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Run the rest of the block on the output [B, N, heads, d] of self-attention."""
        _, _, gate, ffn_shift, ffn_scale, ffn_gate = self.modulate(time)
        x = x + self.self_attn.o(attended.flatten(2)) * gate
        x = (1.0 + camera[0]) * x + camera[1]
        x = x + self.cross_attn.cross(layer_norm(x, self.norm3).to(text[0].dtype), *text)
        return x + self.ffn(self._modulated_norm(x, ffn_shift, ffn_scale)) * ffn_gate

    def _modulated_norm(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        y = F.layer_norm(x, (self.dim,), eps=self.eps) * (1.0 + scale) + shift
        return y.to(self.norm3.weight.dtype)  # the linear layers may hold fewer bits


class Head(nn.Module):
    """Output projection of tokens to flow patches, in float32."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dim, self.eps = config.dim, config.eps
        self.modulation = nn.Parameter(torch.zeros(1, 2, config.dim))
        self.head = nn.Linear(config.dim, 4 * config.out_dim)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.modulation.float() + time[:, None]).split(1, dim=1)
        return linear_fp32(self.head, F.layer_norm(x, (self.dim,), eps=self.eps) * (1.0 + scale) + shift)


_TIME_EMBEDDINGS: MutableMapping[Tensor, dict[tuple[float, ...], tuple[Tensor, Tensor]]] = (
    WeakIdKeyDictionary()
)
"""Embedding and its six rows, by the weight that they were computed with and the timesteps."""


class BlockPairs:
    """A pair of tensors per block, computed when a forward first reaches the block: an offloaded block moves once.

    Camera: scale and shift [B, N, dim]; text: keys and values [B, L, heads, d].
    """

    def __init__(self, compute: Callable[[Block], tuple[Tensor, Tensor]]) -> None:
        self._compute = compute
        self._pairs: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, layer: int, block: Block) -> tuple[Tensor, Tensor]:
        """Return the pair of a block, which is on the device."""
        if layer not in self._pairs:
            self._pairs[layer] = self._compute(block)
        return self._pairs[layer]

    @property
    def nbytes(self) -> int:
        """Bytes of the pairs so far."""
        return sum(part.nbytes for pair in self._pairs.values() for part in pair)


class Transformer(nn.Module):
    """The transformer with the published parameter names; it keeps no state between calls."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.config = config
        self.patch_embedding = nn.Conv3d(config.in_dim, dim, (1, 2, 2), stride=(1, 2, 2))
        self.patch_embedding_wancamctrl = nn.Linear(4 * config.control_dim, dim)
        self.c2ws_hidden_states_layer1 = nn.Linear(dim, dim)
        self.c2ws_hidden_states_layer2 = nn.Linear(dim, dim)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU("tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.head = Head(config)

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    def iter_blocks(self) -> Iterator[Block]:
        """Yield the blocks in order; an offloaded block is on the device until the next one is taken."""
        return (cast(Block, block) for block in self.blocks)

    def embed_text(self, context: Tensor) -> BlockPairs:
        """Return every block's cross-attention keys and values for text embeddings [L ≤ text_len, text_dim]."""
        missing = self.config.text_len - context.shape[0]
        rows = F.pad(context, (0, 0, 0, missing))[None].to(self.dtype)
        tokens = self.text_embedding(rows)
        return BlockPairs(lambda block: block.cross_attn.keys_values(tokens))

    def embed_camera(self, rays: Tensor, parallel: SequenceParallel = SINGLE_PROCESS) -> BlockPairs:
        """Return every block's scale and shift for rays [B, control_dim, c, h, w]; they depend on neither t nor x."""
        p = self.patch_embedding_wancamctrl(parallel.shard(patchify(rays.to(self.dtype))))
        p = p + self.c2ws_hidden_states_layer2(F.silu(self.c2ws_hidden_states_layer1(p)))
        return BlockPairs(lambda block: block.camera_modulation(p))

    def embed_time(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding [B, dim] and its six rows [B, 6, dim] for timesteps t [B] on the CPU, in float32.

        They are computed on the CPU once per value: not every device has float64, and the float32 weights would
        take a gigabyte of a large model's device. Weights in training change: they compute again, on their device.
        """
        weight = cast(nn.Linear, self.time_projection[1]).weight
        device = weight.device
        if weight.requires_grad:
            return self._embed_time(t, device)
        known = _TIME_EMBEDDINGS.setdefault(weight, {})
        values = tuple(t.tolist())
        if values not in known:
            host = device if weight.is_meta else torch.device("cpu")  # meta weights cannot be copied
            embedding, rows = self._embed_time(t, host)
            known[values] = embedding.to(device), rows.to(device)
        return known[values]

    def _embed_time(self, t: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        half = self.config.freq_dim // 2
        rates = 10000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
        angles = t.cpu().double()[:, None] * rates
        wave = torch.cat([angles.cos(), angles.sin()], dim=1).float().to(device, non_blocking=True)
        first, _, second = self.time_embedding
        embedding = linear_fp32(second, F.silu(linear_fp32(first, wave)))
        return embedding, linear_fp32(self.time_projection[1], F.silu(embedding)).unflatten(1, (6, -1))

    def forward(
        self,
        latents: Tensor,
        condition: Tensor,
        t: Tensor,
        camera: BlockPairs,
        text: BlockPairs,
        rotation: Tensor,
        attend: LayerAttention,
        *,
        flow: bool = True,
        parallel: SequenceParallel = SINGLE_PROCESS,
    ) -> Tensor | None:
        """Return the flow [B, 16, c, h, w] float32 of latents [B, 16, c, h, w], condition [B, 20, c, h, w], t [B].

        `rotation` [2, N, d/2] rotates queries and keys (rope.rotation_table); `attend(layer, q, k, v)` writes to the
        KV cache and attends. With `flow=False` the pass only fills the cache: it stops at the last block's keys and
        values and returns None. `parallel` selects this process's share of the tokens; `camera` and `rotation` hold
        only that share.
        """
        tokens = patchify(torch.cat([latents, condition], dim=1).to(self.dtype))
        x = F.linear(
            parallel.shard(tokens), self.patch_embedding.weight.flatten(1), self.patch_embedding.bias
        ).float()
        embedding, rows = self.embed_time(t)
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.iter_blocks()):
            if layer == last and not flow:
                k, v = block.self_keys_values(x, rows, rotation)
                attend(layer, k[:, :0], k, v)
                return None
            pairs = camera.of(layer, block), text.of(layer, block)
            x = block(x, rows, *pairs, rotation, lambda q, k, v, i=layer: attend(i, q, k, v))
        return unpatchify(parallel.gather(self.head(x, embedding), tokens.shape[1]), latents.shape)


def patchify(x: Tensor) -> Tensor:
    """Split x [B, C, F, H, W] into tokens [B, F·H/2·W/2, C·4], each in the order channel, row, column."""
    batch, channels, frames, height, width = x.shape
    x = x.view(batch, channels, frames, height // 2, 2, width // 2, 2)
    return x.permute(0, 2, 3, 5, 1, 4, 6).reshape(batch, frames * height * width // 4, channels * 4)


def unpatchify(tokens: Tensor, shape: torch.Size) -> Tensor:
    """Join tokens [B, F·H/2·W/2, 4·C], each in the order row, column, channel, to [B, C, F, H, W]."""
    batch, channels, frames, height, width = shape
    x = tokens.view(batch, frames, height // 2, width // 2, 2, 2, channels)
    return x.permute(0, 6, 1, 2, 4, 3, 5).reshape(batch, channels, frames, height, width)


def linear_fp32(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear layer in float32 on x's device, whatever the type and device of its weights."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return F.linear(x.float(), weight.to(x.device).float(), bias.to(x.device).float())


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Apply an affine layer norm in float32."""
    return F.layer_norm(x.float(), norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps)
