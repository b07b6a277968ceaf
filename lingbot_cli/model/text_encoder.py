"""UMT5 text encoder with its tokenizer, through transformers (model §10)."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TextEncoder:
    """A UMT5 encoder with its tokenizer; longer prompts are truncated to `text_len` tokens."""

    def __init__(self, model: torch.nn.Module, tokenizer: "Tokenizer", text_len: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.text_len = text_len
        tokenizer.no_padding()
        tokenizer.enable_truncation(text_len)

    @torch.inference_mode()
    def encode(self, cleaned: str) -> Tensor:
        """Return the embeddings of a cleaned prompt's tokens, [L ≤ text_len, dim] float32 on the CPU."""
        device = next(self.model.parameters()).device
        ids = torch.tensor([self.tokenizer.encode(cleaned).ids], device=device)
        rows = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return rows[0].float().cpu()


def umt5_on_meta(config: dict[str, Any]) -> torch.nn.Module:
    """Return a UMT5 encoder on the meta device."""
    # The import of the whole package takes seconds longer.
    from transformers.models.umt5.configuration_umt5 import UMT5Config
    from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

    with torch.device("meta"):
        model: torch.nn.Module = UMT5EncoderModel(UMT5Config(**config))
    return model.eval()


def umt5_config(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Infer UMT5's configuration from tensor shapes by name."""
    block = "encoder.block.0.layer.0.SelfAttention"
    vocabulary, dim = shapes["shared.weight"]
    buckets, heads = shapes[f"{block}.relative_attention_bias.weight"]
    return {
        "vocab_size": vocabulary,
        "d_model": dim,
        "d_kv": shapes[f"{block}.q.weight"][0] // heads,
        "d_ff": shapes["encoder.block.0.layer.1.DenseReluDense.wo.weight"][1],
        "num_layers": sum(name.endswith("SelfAttention.q.weight") for name in shapes),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": 128,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.0,
    }
