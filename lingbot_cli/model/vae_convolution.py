"""Convolutions of the VAE in the fastest way of each device, and frames as the batch of 2D ones."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

_VECTOR_CHANNELS = 16
"""Output channels that oneDNN computes at a time in float32."""


def frames_as_batch(x: Tensor) -> Tensor:
    """Return [B, C, T, H, W] as images [B·T, C, H, W]."""
    return x.transpose(1, 2).flatten(0, 1)


def batch_as_frames(x: Tensor, batch: int) -> Tensor:
    """Return images [B·T, C, H, W] as [B, C, T, H, W]."""
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
    exact = is_exact_on_cpu(x)
    if exact and (by_frame or torch.is_grad_enabled() or not torch.backends.mkldnn.is_available()):
        return conv3d_by_frame(x, weight, bias, padding=padding, stride=stride)
    x = (
        x.contiguous(memory_format=torch.channels_last_3d)
        if x.device.type == "cpu"
        else in_format_of(weight, x)
    )
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
    parts = F.conv2d(frames_as_batch(x), images, None, padding=padding)
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


def in_format_of(weight: Tensor, x: Tensor) -> Tensor:
    """Return x with channels last if a convolution's weights have them last; those of one tap are in both formats."""
    last = torch.channels_last if weight.dim() == 4 else torch.channels_last_3d
    if weight.is_contiguous(memory_format=last) and not weight.is_contiguous():
        return x.contiguous(memory_format=last)
    return x


def is_exact_on_cpu(x: Tensor) -> bool:
    """Return whether x is computed in float32 on the CPU, where PyTorch's own choices are slow."""
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
