"""Text embeddings of the built-in model for its samples and recipes: `python -m training.sample_prompts`."""

import shutil

import torch

from lingbot_cli.checkpoints.cache_dir import PACKAGED_PROMPTS
from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.loading.load_text import load_text_encoder
from lingbot_cli.model.loading.prompt_cache import CachedPromptEncoder
from lingbot_cli.sample_files import FIRST_PROMPT, PACKAGE, sample_names
from lingbot_cli.server.page import SCENES
from lingbot_cli.timeline.load import load_timeline


def sample_prompts() -> list[str]:
    """Return the prompts of the page, the README and every recipe that is a timeline."""
    prompts = {"", FIRST_PROMPT, "a stone courtyard", *SCENES.values()}
    for name in sample_names():
        if name.count("/") == 1 and name.endswith((".yaml", ".jsonl")):
            timeline = load_timeline(str(PACKAGE / name))
            texts = (
                timeline.header.prompt,
                *(getattr(each.event, "prompt", None) for each in timeline.events),
            )
            prompts |= {text for text in texts if text}
    return sorted(prompts)


def write_sample_prompts() -> None:
    """Write the embeddings anew."""
    checkpoint = read_checkpoint(PACKAGE / "builtin")
    shutil.rmtree(PACKAGED_PROMPTS, ignore_errors=True)
    encoder = CachedPromptEncoder(
        lambda: load_text_encoder(checkpoint, torch.device("cpu")),
        identity=checkpoint.text_identity,
        dim=checkpoint.preset.text_dim,
        folder=PACKAGED_PROMPTS,
    )
    for prompt in sample_prompts():
        encoder.encode(prompt)


if __name__ == "__main__":
    write_sample_prompts()
