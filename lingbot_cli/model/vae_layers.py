"""The layers of the causal VAE: each sees the past only, and what it must remember lives in a `Carry`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.model.conv import conv3d


class CausalConvCache:
    """What one stream remembers between two calls: the last input frames of every temporal layer.

    It belongs to a session; `frames` maps a layer's name to [B, C, n, H, W]. The past and the new frames meet
    in one space as large as the largest layer needs, which all layers use in turn: nothing is joined anew.
    """

    def __init__(self) -> None:
        self.frames: dict[str, Tensor] = {}
        self._buffer = torch.empty(0)

    def started(self, layer: str) -> bool:
        """Whether the layer has been given frames before."""
        return layer in self.frames

    def join(self, layer: str, x: Tensor, keep: int, *, silu: bool = False) -> Tensor:
        """The remembered frames and after them x, or its SiLU; the newest `keep` frames of both are remembered.

        What is returned lasts until the next call. No gradient goes through it.
        """
        held = self.frames.get(layer)
        if held is None:
            joined = F.silu(x) if silu else x
        else:
            past = held.shape[2]
            joined = self._buffer_view(past + x.shape[2], like=x)
            joined[:, :, :past] = held
            if silu:
                torch.ops.aten.silu.out(x, out=joined[:, :, past:])
            else:
                joined[:, :, past:] = x
        newest = joined[:, :, max(joined.shape[2] - keep, 0) :]
        if held is not None and held.shape == newest.shape:
            held.copy_(newest)
        else:
            self.frames[layer] = newest.clone()
        return joined

    def _buffer_view(self, frames: int, like: Tensor) -> Tensor:
        """The space as [B, C, frames, H, W], its memory in the order of `like`."""
        batch, channels, _, height, width = like.shape
        count = batch * channels * frames * height * width
        if (
            self._buffer.numel() < count
            or self._buffer.dtype != like.dtype
            or self._buffer.device != like.device
        ):
            self._buffer = like.new_empty(count)
        room = self._buffer[:count]
        if like.is_contiguous(memory_format=torch.channels_last_3d):
            return room.view(batch, frames, height, width, channels).permute(0, 4, 1, 2, 3)
        return room.view(batch, channels, frames, height, width)


class CausalConv3d(nn.Module):
    """A 3D convolution that pads in space on all sides and in time on the past side only."""

    name: str

    def __init__(self, channels_in: int, channels_out: int, kernel: int | tuple[int, int, int]) -> None:
        super().__init__()
        size = (kernel,) * 3 if isinstance(kernel, int) else kernel
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, *size))
        self.bias = nn.Parameter(torch.empty(channels_out))
        self.past = size[0] - 1
        self.padding = (size[1] // 2, size[2] // 2)

    def forward(self, x: Tensor, carry: CausalConvCache | None, *, silu: bool = False) -> Tensor:
        """Convolve x [B, C, T, H, W], or its SiLU."""
        frames = x.shape[2]
        if self.past and carry is not None:
            x = carry.join(self.name, x, self.past, silu=silu)
        elif silu:
            x = F.silu(x)
        missing = frames + self.past - x.shape[2]
        if missing:
            x = F.pad(x, (0, 0, 0, 0, missing, 0))
        return conv3d(x, self.weight, self.bias, padding=self.padding)


class RMSNorm(nn.Module):
    """Scale each position's channel vector to length √C, times gamma (published name)."""

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * axes))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1).mul_(x.shape[1] ** 0.5) * self.gamma


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        # Positions 1, 4 and 5 hold what has no weights, so that names match the published ones.
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

    def forward(self, x: Tensor, carry: CausalConvCache | None) -> Tensor:
        norm1, _, conv1, norm2, _, _, conv2 = self.residual
        y = conv1(norm1(x), carry, silu=True)
        y = conv2(norm2(y), carry, silu=True)
        return y + (x if self.shortcut is None else self.shortcut(x, None))


class AttentionBlock(nn.Module):
    """One-head attention among the positions of each frame alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RMSNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, carry: CausalConvCache | None) -> Tensor:  # noqa: ARG002 - every layer is called alike
        batch, channels, _frames, height, width = x.shape
        flat = _frames_as_batch(x)
        qkv = self.to_qkv(self.norm(flat)).flatten(2).transpose(1, 2).unsqueeze(1)
        y = F.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))
        y = self.proj(y.squeeze(1).transpose(1, 2).reshape(-1, channels, height, width))
        return x + _batch_as_frames(y, batch)


class Downsample(nn.Module):
    """Halve height and width; when temporal, also halve the frames after the first."""

    name: str

    def __init__(self, channels: int, *, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleList(
            [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2)]
        )
        self.time_conv = CausalConv3d(channels, channels, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, carry: CausalConvCache | None) -> Tensor:
        pad, conv = self.resample
        x = _batch_as_frames(conv(pad(_frames_as_batch(x))), x.shape[0])
        if self.time_conv is None:
            return x
        first = carry is None or not carry.started(self.name)
        joined = x if carry is None else carry.join(self.name, x, 1)
        head = x[:, :, :1] if first else x[:, :, :0]  # frame 0 passes by, and is the past of what follows
        if joined.shape[2] < 3:
            return head
        tail = conv3d(joined, self.time_conv.weight, self.time_conv.bias, stride=2)
        return torch.cat([head, tail], dim=2)


class Upsample(nn.Module):
    """Double height and width and halve the channels; when temporal, double the frames after the first."""

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

    def forward(self, x: Tensor, carry: CausalConvCache | None) -> Tensor:
        if self.time_conv is not None:
            x = self._double_frames(x, carry, self.time_conv)
        up, conv = self.resample
        return _batch_as_frames(conv(up(_frames_as_batch(x))), x.shape[0])

    def _double_frames(self, x: Tensor, carry: CausalConvCache | None, time_conv: CausalConv3d) -> Tensor:
        first = carry is None or not carry.started(self.name)
        if carry is not None:
            carry.frames.setdefault(self.name, x[:, :, :0])  # a mark that frame 0 has gone by
        head, rest = (x[:, :, :1], x[:, :, 1:]) if first else (x[:, :, :0], x)
        if rest.shape[2] == 0:
            return head
        # Frame 0 is not part of what the convolution remembers: its past begins with zeros at frame 1.
        pairs = time_conv(rest, carry)
        batch, _, frames, height, width = pairs.shape
        pairs = pairs.view(batch, 2, -1, frames, height, width).movedim(1, 3)
        return torch.cat([head, pairs.reshape(batch, -1, 2 * frames, height, width)], dim=2)


def name_temporal_layers(model: nn.Module) -> None:
    """Tell every layer that remembers frames the name under which a `Carry` keeps them."""
    for name, module in model.named_modules():
        if isinstance(module, CausalConv3d | Downsample | Upsample):
            module.name = name


def _frames_as_batch(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(0, 1)


def _batch_as_frames(x: Tensor, batch: int) -> Tensor:
    return x.unflatten(0, (batch, -1)).transpose(1, 2)
