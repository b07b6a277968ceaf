"""Tensor names of the published layouts, mapped to those of our modules.

The transformer needs no map: both layouts carry the original names. Our VAE has the original names, the text
encoder those of transformers' UMT5.
"""

import re

_VAE_ENDS = {
    "encoder.conv_in": "encoder.conv1",
    "encoder.norm_out": "encoder.head.0",
    "encoder.conv_out": "encoder.head.2",
    "decoder.conv_in": "decoder.conv1",
    "decoder.norm_out": "decoder.head.0",
    "decoder.conv_out": "decoder.head.2",
    "quant_conv": "conv1",
    "post_quant_conv": "conv2",
}
_VAE_BLOCK = {
    "norm1": "residual.0",
    "conv1": "residual.2",
    "norm2": "residual.3",
    "conv2": "residual.6",
    "conv_shortcut": "shortcut",
}
_VAE_MIDDLE = {"resnets.0": "middle.0", "attentions.0": "middle.1", "resnets.1": "middle.2"}
_TEXT_ENDS = {
    "token_embedding.weight": "shared.weight",
    "norm.weight": "encoder.final_layer_norm.weight",
    "encoder.embed_tokens.weight": "shared.weight",  # the same tensor under its second name
    "token_embd.weight": "shared.weight",  # GGUF's name, as the next
    "enc.output_norm.weight": "encoder.final_layer_norm.weight",
}
_ATTENTION, _FEED_FORWARD = "layer.0.SelfAttention", "layer.1.DenseReluDense"
# The original names, then GGUF's.
_TEXT_BLOCK = {
    **{f"attn.{name}": f"{_ATTENTION}.{name}" for name in "qkvo"},
    "norm1": "layer.0.layer_norm",
    "pos_embedding.embedding": f"{_ATTENTION}.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": f"{_FEED_FORWARD}.wi_0",
    "ffn.fc1": f"{_FEED_FORWARD}.wi_1",
    "ffn.fc2": f"{_FEED_FORWARD}.wo",
    **{f"attn_{name}": f"{_ATTENTION}.{name}" for name in "qkvo"},
    "attn_norm": "layer.0.layer_norm",
    "attn_rel_b": f"{_ATTENTION}.relative_attention_bias",
    "ffn_norm": "layer.1.layer_norm",
    "ffn_gate": f"{_FEED_FORWARD}.wi_0",
    "ffn_up": f"{_FEED_FORWARD}.wi_1",
    "ffn_down": f"{_FEED_FORWARD}.wo",
}


def vae_name(name: str, decoder_blocks: int = 2) -> str:
    """Return the original name of a VAE tensor named as in AutoencoderKLWan; original names stay unchanged.

    `decoder_blocks` is the number of residual blocks of a decoder level beyond the first (published: two); the
    original numbers all blocks and upsamplers of the decoder in one list.
    """
    stem, _, kind = name.rpartition(".")
    if stem in _VAE_ENDS:
        return f"{_VAE_ENDS[stem]}.{kind}"
    if found := re.fullmatch(r"(encoder|decoder)\.mid_block\.((?:resnets|attentions)\.\d)\.(\w+)", stem):
        side, part, layer = found.groups()
        return f"{side}.{_VAE_MIDDLE.get(part, part)}.{_VAE_BLOCK.get(layer, layer)}.{kind}"
    if found := re.fullmatch(r"encoder\.down_blocks\.(\d+)\.(.+)", stem):
        place, layer = found.groups()
        return f"encoder.downsamples.{place}.{_VAE_BLOCK.get(layer, layer)}.{kind}"
    if found := re.fullmatch(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.(.+)", stem):
        level, part, place, layer = found.groups()
        position = int(level) * (decoder_blocks + 2) + (
            int(place) if part == "resnets" else decoder_blocks + 1
        )
        return f"decoder.upsamples.{position}.{_VAE_BLOCK.get(layer, layer)}.{kind}"
    return name


def text_name(name: str) -> str:
    """Return the UMT5 name of a text encoder tensor in the original naming or GGUF's; UMT5 names stay unchanged."""
    if found := re.fullmatch(r"(?:enc\.blk|blocks)\.(\d+)\.(.+)\.weight", name):
        block, layer = found.groups()
        return f"encoder.block.{block}.{_TEXT_BLOCK.get(layer, layer)}.weight"
    return _TEXT_ENDS.get(name, name)
