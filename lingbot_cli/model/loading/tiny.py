"""A tiny decoder from its published file."""

from pathlib import Path

import torch

from lingbot_cli.errors import UsageError
from lingbot_cli.model.loading.tensor_io import fill_module, stored_tensors
from lingbot_cli.model.tiny_decoder import TinyDecoder


def load_tiny_decoder(
    named: str | Path | None, device: torch.device, dtype: torch.dtype
) -> TinyDecoder | None:
    """A tiny decoder from a safetensors or `.pth` file, an encoder beside it left out; None when none is named.

    Errors: UsageError where there is no such file, SetupError for one that holds something else.
    """
    if named is None:
        return None
    file = Path(named)
    if not file.is_file():
        raise UsageError(
            f"--tiny-decoder {file}: no such file", hint="name taew2_1.safetensors or taew2_1.pth"
        )
    tensors = {name: each for name, each in stored_tensors(file).items() if name.startswith("decoder.")}
    with torch.device("meta"):
        decoder = TinyDecoder()
    fill_module(decoder, tensors, part="tiny decoder", device_of=lambda _: device, dtype_of=lambda _: dtype)
    return decoder.eval()
