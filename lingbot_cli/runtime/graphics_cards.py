"""Options with which a model fits a graphics card, by the memory estimate; no card is needed to ask."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lingbot_cli.presets import Preset
from lingbot_cli.runtime.hardware import usable_gpu_memory
from lingbot_cli.runtime.memory import MemoryEstimate, MemorySetup, estimate_memory, gigabytes
from lingbot_cli.runtime.memory_check import fitting_flags

CARDS_GB = (8, 12, 16, 24, 32, 48, 80)
SIZES = ((240, 416), (480, 832), (720, 1280))
"""Height and width of the sizes that tables list."""


@dataclass(frozen=True)
class CardFit:
    """Options, such as `--offload`, with which a size fits a card of `vram_gb`; None where nothing fits."""

    vram_gb: int
    size: str
    flags: str | None
    gpu_bytes: int
    ram_bytes: int

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the cells of a table: card, size, options, memory on the card, RAM."""
        card = f"{self.vram_gb} GB"
        if self.flags is None:
            return card, self.size, "nothing fits", "", ""
        return card, self.size, self.flags or "fits", gigabytes(self.gpu_bytes), gigabytes(self.ram_bytes)


def fit_card(preset: Preset, setup: MemorySetup, vram_gb: int) -> list[CardFit]:
    """Return the mildest options with which a setup fits a card, and the mildest without `--offload`.

    The size is not changed. A card of 24 GB has 24 GiB, of which a margin stays free; main memory is not limited.
    """
    needed = estimate_memory(preset, setup)
    free = usable_gpu_memory(vram_gb * 2**30, vram_gb * 2**30)
    if needed.peak <= free:
        ways: list[tuple[str | None, MemoryEstimate]] = [("", needed)]
    else:
        fitting = [way for way in fitting_flags(preset, setup, free, sys.maxsize) if "--size" not in way[0]]
        resident = [way for way in fitting if "--offload" not in way[0]]
        ways = [*dict.fromkeys(fitting[:1] + resident[:1])] or [(None, needed)]
    size = f"{setup.width}x{setup.height}"
    return [CardFit(vram_gb, size, flags, memory.peak, memory.host) for flags, memory in ways]


def fit_cards(preset: Preset, setups: Sequence[MemorySetup], cards_gb: Sequence[int]) -> list[CardFit]:
    """Return the options of each setup on each card, card by card."""
    return [fit for card in cards_gb for setup in setups for fit in fit_card(preset, setup, card)]
