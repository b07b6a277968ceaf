"""Layers of the causal VAE, and the cache of past frames with which a stream runs through them."""

import itertools
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# x, and a tensor that the result is written to, if any → the result; then no gradients flow.
Activation = Callable[[Tensor, Tensor | None], Tensor]

_VECTOR_CHANNELS = 16
"""Output channels that oneDNN computes at a time in float32."""
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
        flat = _frames_as_batch(x)
        qkv = self.to_qkv(self.norm(flat)).flatten(2).transpose(1, 2).unsqueeze(1)
        y = F.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))
        y = self.proj(y.squeeze(1).transpose(1, 2).reshape(-1, channels, height, width))
        return x + _batch_as_frames(y, batch)


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
        x = _batch_as_frames(conv(pad(_frames_as_batch(x))), x.shape[0])
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
        images = _frames_as_batch(x)
        if _is_exact_on_cpu(x):
            images = conv2d_doubled(images, cast(Tensor, conv.weight), cast(Tensor, conv.bias))
        else:
            images = conv(up(images))
        return _batch_as_frames(images, x.shape[0])

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


def _frames_as_batch(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(0, 1)


def _batch_as_frames(x: Tensor, batch: int) -> Tensor:
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    padding: tuple[int, int] = (0, 0),
    stride: int = 1,
    by_frame: bool = False,
) -> Tensor:
    """Convolve [B, C, T, H, W] with [O, C, t, h, w]: no padding and `stride` in time, `padding` in space.

    For float32 on CPUs PyTorch chooses a slow 3D convolution: oneDNN's is over ten times as fast on the VAE's shapes,
    and 1.2 to 1.3 times as fast as 2D ones summed over the kernel's frames (`by_frame`), in another order of sums.
    Channels last is the faster memory format on CPUs: 1.1 to 1.4 times in float32, 1.05 to 1.15 in bfloat16 (16
    channels at 64×112, 64 at 16×28, 96 at 120×208; one thread, CPU seconds).
    """
    exact = _is_exact_on_cpu(x)
    if exact and (by_frame or torch.is_grad_enabled() or not torch.backends.mkldnn.is_available()):
        return conv3d_by_frame(x, weight, bias, padding=padding, stride=stride)
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last_3d)
    if exact and stride == 1 and weight.shape[0] * weight.shape[2] <= _VECTOR_CHANNELS:
        return conv3d_few_outputs(x, weight, bias, padding)
    if exact:
        return torch.mkldnn_convolution(x, weight, bias, (0, *padding), (stride, 1, 1), (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, padding=(0, *padding), stride=(stride, 1, 1))


def conv3d_few_outputs(x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int]) -> Tensor:
    """Compute `conv3d` for a few output channels: all taps in time at once, as channels of one 2D convolution.

    oneDNN computes 16 output channels at a time, however few there are.
    """
    taps = weight.shape[2]
    frames = x.shape[2] - taps + 1
    images = weight.permute(2, 0, 1, 3, 4).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    parts = F.conv2d(_frames_as_batch(x), images, None, padding=padding)
    parts = parts.unflatten(1, (taps, -1)).unflatten(0, (x.shape[0], -1))
    total = parts[:, :frames, 0] + bias.view(-1, 1, 1)
    for tap in range(1, taps):
        total = total + parts[:, tap : tap + frames, tap]
    return total.transpose(1, 2)


def conv2d_doubled(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve x [B, C, H, W], doubled in height and width, with [O, C, 3, 3], padded by one pixel.

    A doubled pixel meets two of three taps, or one: each of the four pixels that take its place is a 2×2 convolution
    of x itself, with sums of the taps. All four are one convolution, at 4/9 of the operations.
    """
    batch, _, height, width = x.shape
    both = [_tap_pairs(columns, 3) for columns in _tap_pairs(weight, 2)]
    taps = torch.cat([kernel for pair in both for kernel in pair])
    phases = F.conv2d(x, taps.contiguous(memory_format=torch.channels_last), bias.repeat(4), padding=1)
    phases = phases.permute(0, 2, 3, 1).unflatten(-1, (2, 2, -1))
    doubled = phases.new_empty(batch, height, 2, width, 2, weight.shape[0])
    for i, j in itertools.product(range(2), range(2)):
        doubled[:, :, i, :, j] = phases[:, i : i + height, j : j + width, i, j]
    return doubled.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def _tap_pairs(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the sums of a kernel's three taps along an axis that the first and the second of doubled pixels meet."""
    first, second, third = weight.unbind(axis)
    return torch.stack([first, second + third], axis), torch.stack([first + second, third], axis)


def _is_exact_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def conv3d_by_frame(
    x: Tensor, weight: Tensor, bias: Tensor, *, padding: tuple[int, int], stride: int
) -> Tensor:
    """Compute `conv3d` as a sum of 2D convolutions, one per frame of the kernel."""
    taps = weight.shape[2]
    frames = (x.shape[2] - taps) // stride + 1
    images = x.transpose(1, 2)
    total: Tensor | None = None
    for tap in range(taps):
        span = images[:, tap : tap + stride * (frames - 1) + 1 : stride].flatten(0, 1)
        part = F.conv2d(
            span.contiguous(memory_format=torch.channels_last),
            weight[:, :, tap].contiguous(memory_format=torch.channels_last),
            bias if tap == 0 else None,
            padding=padding,
        )
        total = part if total is None else total.add_(part)
    assert total is not None
    return total.unflatten(0, (x.shape[0], frames)).transpose(1, 2)
