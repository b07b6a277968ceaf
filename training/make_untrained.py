"""Write a model of random weights in our layout: `python training/make_untrained.py FOLDER [SEED]`.

It renders noise that ignores the camera, and stands in for a trained model.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor

from lingbot_cli.model.loading.convert import write_model
from lingbot_cli.model.text_encoder import umt5_on_meta
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.presets import PRESETS, Preset

WORDS = """
a the of in at on with and from to under over behind before through it is are starts stops begins ends slowly
suddenly quiet bright dark warm cold red blue green yellow white black grey golden silver stone brick wooden
courtyard tower fountain arcade tree trees wall walls floor sky sun moon cloud clouds rain snow fog wind storm
night day dusk dawn morning evening summer autumn winter spring gate door window roof path road bridge river
lake sea shore mountain hill forest field garden city street house castle room hall light shadow lantern fire
water grass leaf flower bird walk walking turn turning open opens close closes fall falls rise rises glide
camera scene view left right forward back up down far near large small round square flat tall wide old new
"""
VOCABULARY = 1024


def main(folder: Path, seed: int) -> None:
    """Write the model's folder."""
    torch.manual_seed(seed)
    preset = PRESETS["built-in"]
    tokenizer = byte_level_tokenizer()
    write_model(
        folder,
        preset,
        transformer=random_transformer(preset),
        vae=random_vae(preset),
        text=random_text(preset, tokenizer.get_vocab_size()),
        tokenizer=tokenizer.to_str(),
        precision="float16",
        trained=False,
        source=f"random weights, seed {seed}",
    )


def byte_level_tokenizer() -> Tokenizer:
    """Return a byte-level BPE tokenizer trained on our own word list; it encodes any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS.split(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def random_transformer(preset: Preset) -> dict[str, Tensor]:
    """Return random transformer weights in fp8, which is enough for noise."""
    transformer = Transformer(TransformerConfig.of(preset))
    return {name: tensor.to(torch.float8_e4m3fn) for name, tensor in randomised(transformer).items()}


def random_vae(preset: Preset) -> dict[str, Tensor]:
    """Return random VAE weights whose decoded frames use the whole range of colours."""
    vae = VAE(VAEConfig(dim=preset.vae_dim, num_res_blocks=preset.vae_blocks))
    return {name: tensor.half() for name, tensor in randomised(vae).items()}


def random_text(preset: Preset, vocabulary: int) -> dict[str, Tensor]:
    """Return random weights of a two-layer UMT5 encoder."""
    meta = umt5_on_meta(
        {
            "vocab_size": vocabulary,
            "d_model": preset.text_dim,
            "d_kv": preset.text_dim // 4,
            "d_ff": 2 * preset.text_dim,
            "num_layers": 2,
            "num_heads": 4,
            "feed_forward_proj": "gated-gelu",
        }
    )
    tensors = {}
    for name, place in meta.named_parameters():
        wide = place.ndim == 2 and "shared" not in name
        values = torch.randn(place.shape) * (place.shape[-1] ** -0.5 if wide else 1.0)
        tensors[name] = (values if place.ndim == 2 else torch.ones(place.shape)).half()
    return tensors


def randomised(module: torch.nn.Module) -> dict[str, Tensor]:
    """Return variance-preserving normal weights, ones for norms, zeros for biases, and small modulation."""
    tensors = {}
    for name, place in module.state_dict().items():
        if name.endswith("modulation"):
            tensors[name] = 0.1 * torch.randn(place.shape)
        elif name.endswith("bias"):
            tensors[name] = torch.zeros(place.shape)
        elif name.endswith("gamma") or place.ndim == 1:
            tensors[name] = torch.ones(place.shape)
        else:
            tensors[name] = torch.randn(place.shape) * place[0].numel() ** -0.5
    return tensors


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
