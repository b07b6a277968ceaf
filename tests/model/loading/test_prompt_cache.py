"""Disk cache of text embeddings: hits, damaged entries, unwritable folders."""

from pathlib import Path

import pytest
import torch

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.loading.load_text import load_text_encoder
from lingbot_cli.model.loading.prompt_cache import CachedPromptEncoder
from lingbot_cli.model.text_encoder import TextEncoder


class Counted:
    """Loader of the built-in text encoder that counts its calls."""

    def __init__(self) -> None:
        self.loads = 0

    def __call__(self) -> TextEncoder:
        self.loads += 1
        return load_text_encoder(read_checkpoint(None), torch.device("cpu"))


def prompts(folder: Path, encoder: Counted, identity: str = "one") -> CachedPromptEncoder:
    return CachedPromptEncoder(encoder, identity=identity, dim=64, folder=folder)


def test_an_entry_is_read_back_exactly(tmp_path: Path) -> None:
    encoder = Counted()
    first = prompts(tmp_path, encoder).encode("a gate opens")
    again = prompts(tmp_path, encoder).encode("a   gate opens ")
    assert torch.equal(first, again)
    assert encoder.loads == 1


def test_another_model_has_its_own_entries(tmp_path: Path) -> None:
    encoder = Counted()
    prompts(tmp_path, encoder).encode("a gate")
    prompts(tmp_path, encoder, identity="two").encode("a gate")
    assert encoder.loads == 2


@pytest.mark.parametrize("spoilt", [b"", b"junk" * 100, None])
def test_a_spoilt_entry_is_made_again(tmp_path: Path, spoilt: bytes | None) -> None:
    encoder = Counted()
    rows = prompts(tmp_path, encoder).encode("a gate")
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-7] if spoilt is None else spoilt)
    assert torch.equal(prompts(tmp_path, encoder).encode("a gate"), rows)
    assert entry.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [entry]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    encoder = Counted()
    rows = prompts(tmp_path / "file" / "prompts", encoder).encode("a gate")
    assert rows.shape[1] == 64


def test_a_released_encoder_comes_back_for_a_new_prompt(tmp_path: Path) -> None:
    encoder = Counted()
    text = prompts(tmp_path, encoder)
    text.encode("a gate")
    text.encode("a tower")
    assert encoder.loads == 1
    text.release()
    text.encode("a fountain")
    assert encoder.loads == 2
