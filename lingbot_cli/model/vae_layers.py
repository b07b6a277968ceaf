"""Layers of the causal VAE, and the cache of past frames with which a stream runs through them."""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.model.vae_convolution import (
    batch_as_frames,
    conv2d_doubled,
    conv3d,
    frames_as_batch,
    in_format_of,
    is_exact_on_cpu,
)

# x, and a tensor that the result is written to, if any → the result; then no gradients flow.
Activation = Callable[[Tensor, Tensor | None], Tensor]

_SMALLEST_LENGTH = 1e-12
"""Smallest divisor of `F.normalize`."""


class CausalConvCache:
    """The last input frames of every temporal layer, carried from one call of a stream to the next.

    It belongs to a session; `frames` maps a layer's name to [B, C, n, H, W]. All layers join past and new frames
    in one shared buffer, as large as the largest layer needs.
    """

    def __init__(self) -> None:
        self.frames: dict[str, Tensor] = {}
        self._buffer = torch.empty(0)

    @property
    def nbytes(self) -> int:
        """Bytes of the frames and the buffer."""
        return self._buffer.nbytes + sum(frames.nbytes for frames in self.frames.values())

    def release_buffer(self) -> None:
        """Free the buffer, which the next call allocates again."""
        self._buffer = torch.empty(0)

    def started(self, layer: str) -> bool:
        """Return whether the layer has received frames before."""
        return layer in self.frames

    def join(self, layer: str, x: Tensor, keep: int, activate: Activation | None = None) -> Tensor:
        """Return the cached frames followed by x, or by its activation, and cache the newest `keep` of both.

        The result is valid until the next call. Gradients do not flow through it.
        """
        cached = self.frames.get(layer)
        if cached is None:
            joined = x if activate is None else activate(x, None)
        else:
            past = cached.shape[2]
            joined = self._buffer_view(past + x.shape[2], like=x)
            joined[:, :, :past] = cached
            if activate is None:
                joined[:, :, past:] = x
            else:
                activate(x, joined[:, :, past:])
        newest = joined[:, :, max(joined.shape[2] - keep, 0) :]
        if cached is not None and cached.shape == newest.shape:
            cached.copy_(newest)
        else:
            self.frames[layer] = newest.clone()
        return joined

    def _buffer_view(self, frames: int, like: Tensor) -> Tensor:
        """Return the buffer as [B, C, frames, H, W], in the memory format of `like`."""
        batch, channels, _, height, width = like.shape
        count = batch * channels * frames * height * width
        if (
            self._buffer.numel() < count
            or self._buffer.dtype != like.dtype
            or self._buffer.device != like.device
        ):
            self._buffer = like.new_empty(count)
        view = self._buffer[:count]
        if like.is_contiguous(memory_format=torch.channels_last_3d):
            return view.view(batch, frames, height, width, channels).permute(0, 4, 1, 2, 3)
        return view.view(batch, channels, frames, height, width)


class CausalConv3d(nn.Module):
    """A 3D convolution, padded on all sides in space and on the past side in time."""

    name: str
    by_frame = False

    def __init__(self, channels_in: int, channels_out: int, kernel: int | tuple[int, int, int]) -> None:
        super().__init__()
        size = (kernel,) * 3 if isinstance(kernel, int) else kernel
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, *size))
        self.bias = nn.Parameter(torch.empty(channels_out))
        self.past = size[0] - 1
        self.padding = (size[1] // 2, size[2] // 2)

    def forward(self, x: Tensor, cache: CausalConvCache | None, activate: Activation | None = None) -> Tensor:
        """Convolve x [B, C, T, H, W], or its activation."""
        frames = x.shape[2]
        if self.past and cache is not None:
            x = cache.join(self.name, x, self.past, activate)
        elif activate is not None:
            x = activate(x, None)
        missing = frames + self.past - x.shape[2]
        if missing:
            x = F.pad(x, (0, 0, 0, 0, missing, 0))
        return conv3d(x, self.weight, self.bias, padding=self.padding, by_frame=self.by_frame)


class RMSNorm(nn.Module):
    """Scaling of each position's channel vector to length √C, times gamma (published name)."""

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * axes))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1).mul_(x.shape[1] ** 0.5) * self.gamma

    def silu(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the SiLU of the scaled x; written to `out` it is computed in place, to the same bits."""
        if out is None:
            return F.silu(self(x))
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min_(_SMALLEST_LENGTH)
        torch.div(x, length, out=out).mul_(x.shape[1] ** 0.5).mul_(self.gamma)
        return F.silu(out, inplace=True)


class ResidualBlock(nn.Module):
    """Norm, SiLU and convolution, twice, with a shortcut."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        # Positions 1, 4 and 5 hold modules without weights, so that names match the published ones.
        self.residual = nn.ModuleList(
            [
                RMSNorm(channels_in),
                nn.SiLU(),
                CausalConv3d(channels_in, channels_out, 3),
                RMSNorm(channels_out),
                nn.SiLU(),
                nn.Identity(),
                CausalConv3d(channels_out, channels_out, 3),
            ]
        )
        self.shortcut = CausalConv3d(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, x: Tensor, cache: CausalConvCache | None) -> Tensor:
        norm1, _, conv1, norm2, _, _, conv2 = self.residual
        y = conv1(x, cache, norm1.silu)
        y = conv2(y, cache, norm2.silu)
        return y + (x if self.shortcut is None else self.shortcut(x, None))


class AttentionBlock(nn.Module):
    """Single-head attention among the positions of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RMSNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, cache: CausalConvCache | None) -> Tensor:  # noqa: ARG002 - every layer is called alike
        batch, channels, _frames, height, width = x.shape
        flat = frames_as_batch(x)
        qkv = self.to_qkv(self.norm(flat)).flatten(2).transpose(1, 2).unsqueeze(1)
        y = F.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))
        y = self.proj(y.squeeze(1).transpose(1, 2).reshape(-1, channels, height, width))
        return x + batch_as_frames(y, batch)


class Downsample(nn.Module):
    """Downsampling by two in height and width and, if temporal, in the frames after the first."""

    name: str

    def __init__(self, channels: int, *, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleList(
            [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2)]
        )
        self.time_conv = CausalConv3d(channels, channels, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, cache: CausalConvCache | None) -> Tensor:
        pad, conv = self.resample
        images = in_format_of(cast(Tensor, conv.weight), pad(frames_as_batch(x)))
        x = batch_as_frames(conv(images), x.shape[0])
        if self.time_conv is None:
            return x
        first = cache is None or not cache.started(self.name)
        joined = x if cache is None else cache.join(self.name, x, 1)
        head = (
            x[:, :, :1] if first else x[:, :, :0]
        )  # frame 0 passes unchanged, and is the past of the next frames
        if joined.shape[2] < 3:
            return head
        conv = self.time_conv
        tail = conv3d(joined, conv.weight, conv.bias, stride=2, by_frame=conv.by_frame)
        return torch.cat([head, tail], dim=2)


class Upsample(nn.Module):
    """Upsampling by two in height and width and, if temporal, in the frames after the first; halves the channels."""

    name: str

    def __init__(self, channels: int, *, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleList(
            [
                nn.Upsample(scale_factor=2.0, mode="nearest-exact"),
                nn.Conv2d(channels, channels // 2, 3, padding=1),
            ]
        )
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, cache: CausalConvCache | None) -> Tensor:
        if self.time_conv is not None:
            x = self._double_frames(x, cache, self.time_conv)
        up, conv = self.resample
        images = frames_as_batch(x)
        if is_exact_on_cpu(x):
            images = conv2d_doubled(images, cast(Tensor, conv.weight), cast(Tensor, conv.bias))
        else:
            images = conv(in_format_of(cast(Tensor, conv.weight), up(images)))
        return batch_as_frames(images, x.shape[0])

    def _double_frames(self, x: Tensor, cache: CausalConvCache | None, time_conv: CausalConv3d) -> Tensor:
        first = cache is None or not cache.started(self.name)
        if cache is not None:
            cache.frames.setdefault(self.name, x[:, :, :0])  # marks that frame 0 has passed
        head, rest = (x[:, :, :1], x[:, :, 1:]) if first else (x[:, :, :0], x)
        if rest.shape[2] == 0:
            return head
        # The convolution never sees frame 0: its past at frame 1 is zeros.
        pairs = time_conv(rest, cache)
        batch, channels, frames, height, width = rest.shape
        last = pairs.is_contiguous(memory_format=torch.channels_last_3d)
        doubled = torch.empty(
            (batch, channels, 2 * frames, height, width),
            dtype=pairs.dtype,
            device=pairs.device,
            memory_format=torch.channels_last_3d if last else torch.contiguous_format,
        )
        doubled[:, :, ::2], doubled[:, :, 1::2] = pairs.chunk(2, dim=1)
        return torch.cat([head, doubled], dim=2) if first else doubled


def name_temporal_layers(model: nn.Module) -> None:
    """Set on every temporal layer the name under which a `CausalConvCache` stores its frames."""
    for name, module in model.named_modules():
        if isinstance(module, CausalConv3d | Downsample | Upsample):
            module.name = name
