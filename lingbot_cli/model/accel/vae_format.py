"""Memory format of the VAE: channels first, or last in weights and activations together."""

import torch
from torch import nn


def use_channels_last(part: nn.Module) -> None:
    """Store the weights of a part's convolutions with channels last; its activations take the same format."""
    for module in part.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() in (4, 5):
            last = torch.channels_last if weight.dim() == 4 else torch.channels_last_3d
            weight.data = weight.data.contiguous(memory_format=last)
