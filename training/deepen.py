"""A deeper transformer that starts as a shallower one."""

from torch import Tensor

_SILENT = (
    "self_attn.o",
    "cross_attn.o",
    "ffn.2",
    "cam_injector_layer2",
    "cam_scale_layer",
    "cam_shift_layer",
)


def deepened(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Return transformer weights with copies of some blocks behind them, which change nothing at first.

    A copy keeps its queries, keys, values and inner layers; its outputs are zero.
    """
    before = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    origins = [layer * before // layers for layer in range(layers)]
    out = {name: tensor for name, tensor in weights.items() if not name.startswith("blocks.")}
    for layer, origin in enumerate(origins):
        copy = layer > 0 and origins[layer - 1] == origin
        own = f"blocks.{origin}."
        for name, tensor in weights.items():
            if name.startswith(own):
                part = name.removeprefix(own)
                silent = copy and part.startswith(_SILENT)
                out[f"blocks.{layer}.{part}"] = tensor * 0 if silent else tensor
    return out
