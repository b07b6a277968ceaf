"""Cache of a stream of one image followed by equal frames; a layer runs only until its output is constant."""

import torch
from torch import Tensor, nn

from lingbot_cli.model.vae_layers import CausalConv3d, CausalConvCache, Downsample, ResidualBlock

_FEWEST_FRAMES = 2
"""Output frames of a call at least: on CPUs the convolution of a single small frame sums in another order."""


class StillStream(CausalConvCache):
    """Carried frames of a stream whose frames after the first are all equal.

    Each layer's output is constant a few frames later than its input: early layers, at high resolution, soon have
    nothing left to compute, and carry nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._constant_from = 1  # the first frame from which the last layer's output is constant
        self._needed: dict[nn.Module, int] = {}  # input frames until the layer's output is constant
        self._constant = torch.empty(0)  # output of the last constant layer; no other reads those before it

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._constant.nbytes

    def run(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Run a layer over its next frames [B, C, T, H, W], or repeat its output; call it in the order of layers."""
        stride = 2 if isinstance(layer, Downsample) and layer.time_conv is not None else 1
        if layer not in self._needed:
            self._constant_from = _constant_from(layer, self._constant_from)
            self._needed[layer] = stride * self._constant_from + 1
        outputs, needed = -(-x.shape[2] // stride), self._needed[layer]
        if not needed:
            return self._constant.expand(-1, -1, outputs, -1, -1)
        layout = torch.channels_last_3d if x.stride(1) == 1 else torch.contiguous_format
        x = x[:, :, : max(needed, _FEWEST_FRAMES * stride)].contiguous(memory_format=layout)
        y: Tensor = layer(x, self)
        self._needed[layer] = max(needed - x.shape[2], 0)
        if self._needed[layer]:
            return y
        for module in layer.modules():
            self.frames.pop(getattr(module, "name", ""), None)
        self._constant = last = y[:, :, -1:].clone()
        missing = outputs - y.shape[2]
        return torch.cat([y, *[last] * missing], dim=2) if missing else y


def _constant_from(layer: nn.Module, frame: int) -> int:
    """Return the first frame from which a layer's output is constant, for an input that is constant from `frame`."""
    if isinstance(layer, Downsample):
        return frame if layer.time_conv is None else -(-frame // 2) + 1
    past = sum(part.past for part in layer.modules() if isinstance(part, CausalConv3d))
    assert isinstance(layer, CausalConv3d | ResidualBlock)
    return frame + past
