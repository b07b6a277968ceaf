"""Text encoder stage: a two-layer UMT5 whose every embedding encodes the prompt's mood."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from lingbot_cli.model.text_encoder import umt5_on_meta
from lingbot_cli.presets import PRESETS
from lingbot_cli.prompt_cleaning import clean_prompt
from training.make_untrained import byte_level_tokenizer, random_text
from training.place.palette import MOODS
from training.prompts import prompt
from training.workers import save

_NONE = len(MOODS)


def encoder(weights: dict[str, Tensor]) -> nn.Module:
    """Return the text encoder with these weights, in float32."""
    vocabulary, dim = weights["shared.weight"].shape
    model = umt5_on_meta(
        {
            "vocab_size": vocabulary,
            "d_model": dim,
            "d_kv": dim // 4,
            "d_ff": 2 * dim,
            "num_layers": 2,
            "num_heads": 4,
            "feed_forward_proj": "gated-gelu",
            "dropout_rate": 0.0,
        }
    )
    model.load_state_dict({k: v.float().clone() for k, v in weights.items()}, strict=False, assign=True)
    model.tie_weights()  # type: ignore[operator]  # of a transformers model
    return model


def rows(model: nn.Module, texts: list[str]) -> list[Tensor]:
    """Return the embeddings [L, dim] of each prompt."""
    tokenizer = byte_level_tokenizer()
    tokenizer.enable_truncation(PRESETS["built-in"].text_len)
    ids = [torch.tensor([tokenizer.encode(clean_prompt(text)).ids]) for text in texts]
    return [model(input_ids=i, attention_mask=torch.ones_like(i)).last_hidden_state[0] for i in ids]


def train(folder: Path, seed: int, steps: int = 700) -> float:
    """Write `text.pt`, the encoder's weights; return its accuracy on unseen prompts."""
    torch.manual_seed(seed)
    tokenizer = byte_level_tokenizer()
    model = encoder(random_text(PRESETS["built-in"], tokenizer.get_vocab_size()))
    judge = nn.Linear(PRESETS["built-in"].text_dim, _NONE + 1)
    parameters = [*model.parameters(), *judge.parameters()]
    for p in parameters:
        p.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, lr=2e-3)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        ids, mask, moods = _batch(rng, tokenizer, 48)
        logits = judge(model(input_ids=ids, attention_mask=mask).last_hidden_state)
        loss = F.cross_entropy(logits[mask.bool()], moods[:, None].expand_as(ids)[mask.bool()])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        ids, mask, moods = _batch(np.random.default_rng(seed + 1), tokenizer, 400)
        logits = judge(model(input_ids=ids, attention_mask=mask).last_hidden_state).argmax(-1)
        right = ((logits == moods[:, None]) | ~mask.bool()).all(1).float().mean()
    save(folder / "text.pt", {k: v.detach().half() for k, v in model.named_parameters()})
    return float(right)


def _batch(rng: np.random.Generator, tokenizer: Tokenizer, count: int) -> tuple[Tensor, Tensor, Tensor]:
    moods = rng.integers(_NONE + 1, size=count)
    texts = [clean_prompt(prompt(rng, None if m == _NONE else int(m))) for m in moods]
    codes = [tokenizer.encode(text).ids[:64] for text in texts]
    longest = max(map(len, codes))
    ids = torch.tensor([c + [0] * (longest - len(c)) for c in codes])
    mask = torch.tensor([[1] * len(c) + [0] * (longest - len(c)) for c in codes])
    return ids, mask, torch.from_numpy(moods)
