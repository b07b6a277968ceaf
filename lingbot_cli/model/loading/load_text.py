"""Loading of the text encoder and its tokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lingbot_cli.checkpoints.cache_dir import prompts_folder
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.checkpoints.headers import DOWNLOAD_AGAIN
from lingbot_cli.checkpoints.tensor_names import text_name
from lingbot_cli.errors import SetupError
from lingbot_cli.model.loading.packed_layers import use_packed_layers
from lingbot_cli.model.loading.prompt_cache import CachedPromptEncoder
from lingbot_cli.model.loading.tensor_io import (
    OnLoadProgress,
    PackedTensor,
    StoredTensor,
    fill_module,
    stored_tensors,
)
from lingbot_cli.model.text_encoder import TextEncoder, umt5_config, umt5_on_meta

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def cached_prompt_encoder(
    checkpoint: Checkpoint, device: torch.device, report: OnLoadProgress | None
) -> CachedPromptEncoder:
    """Return a prompt encoder that loads the checkpoint's text encoder to a device only for uncached prompts."""
    return CachedPromptEncoder(
        lambda: load_text_encoder(checkpoint, device, report),
        identity=checkpoint.text_identity,
        dim=checkpoint.preset.text_dim,
        folder=prompts_folder(),
        device=device,
    )


def load_text_encoder(
    checkpoint: Checkpoint, device: torch.device, report: OnLoadProgress | None = None
) -> TextEncoder:
    """Load the text encoder, in bfloat16 if stored so or packed, else in float32 (it overflows in float16).

    Packed weights of linear layers stay packed.
    """
    tensors = text_tensors(checkpoint)
    packed = any(isinstance(tensor, PackedTensor) for tensor in tensors.values())
    stored = tensors["shared.weight"].dtype
    dtype = torch.bfloat16 if packed or stored == torch.bfloat16 else torch.float32
    model = umt5_on_meta(umt5_config({name: tensor.shape for name, tensor in tensors.items()})).to(dtype)
    tensors = use_packed_layers(model, tensors, dtype)
    fill_module(model, tensors, part="text encoder", device_of=lambda _: device, report=report)
    tokenizer = load_tokenizer(checkpoint.layout.tokenizer)
    return TextEncoder(model, tokenizer, checkpoint.preset.text_len)


def load_tokenizer(file: Path) -> "Tokenizer":
    """Load a `tokenizer.json`. Errors: SetupError."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise SetupError(f"{file} is not a tokenizer: {error}", hint=DOWNLOAD_AGAIN) from error
    if not tokenizer.get_vocab_size():
        raise SetupError(f"{file} is a tokenizer without a vocabulary", hint=DOWNLOAD_AGAIN)
    return tokenizer


def text_tensors(checkpoint: Checkpoint) -> dict[str, StoredTensor]:
    """Return the text encoder's tensors under UMT5's names. Errors: SetupError if they are not a UMT5 encoder's."""
    stored = stored_tensors(checkpoint.layout.text)
    tensors = {text_name(name): tensor for name, tensor in stored.items()}
    try:
        umt5_config({name: tensor.shape for name, tensor in tensors.items()})
    except (KeyError, ValueError, IndexError) as error:
        raise SetupError(
            f"{checkpoint.layout.text} holds no UMT5 encoder: {error} is missing or misshapen",
            hint="download the text encoder again",
        ) from error
    width, expected = tensors["shared.weight"].shape[1], checkpoint.preset.text_dim
    if width != expected:
        raise SetupError(
            f"{checkpoint.layout.text} is {width} wide, the transformer reads texts of {expected}",
            hint="name the text encoder of this model",
        )
    vocabulary, rows = (
        load_tokenizer(checkpoint.layout.tokenizer).get_vocab_size(),
        tensors["shared.weight"].shape[0],
    )
    if vocabulary > rows:
        raise SetupError(
            f"{checkpoint.layout.tokenizer} has {vocabulary:,} tokens, the text encoder rows for {rows:,}",
            hint="the tokenizer belongs to another model: download both again",
        )
    return tensors
