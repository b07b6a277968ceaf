"""How many threads the CPU computes by, timed as in a film: the transformer beside the decoder."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch

from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.transformer import Block, TransformerConfig
from lingbot_cli.model.vae_layers import ResidualBlock
from lingbot_cli.presets import Preset

MIN_SPEEDUP = 1.1
"""How many times faster than PyTorch's own number another must be to be taken: noise must not decide."""
TIMING_ROUNDS = 5
TIMING_BUDGET_S = 0.5
"""Seconds after which no other number is tried; the one in work is finished."""
LARGE_LAYER_FLOPS = 4e9
"""Floating-point operations of one layer of each stage beyond which every core has enough to do."""
BLOCK_PASSES = 2
"""Passes of a block beside one layer of the decoder: about as in a film of the built-in world."""


@cache
def default_threads() -> int:
    """PyTorch's own number of threads, as it was before anything was set here."""
    return torch.get_num_threads()


def set_threads(number: int) -> None:
    """Compute by so many threads, in this thread and in those that begin to compute after this."""
    default_threads()
    torch.set_num_threads(number)


def thread_candidates(most: int) -> list[int]:
    """What may be fastest: all, half of them, and so on down to one."""
    return [most >> halvings for halvings in range(most.bit_length())]


def is_large(preset: Preset, height: int, width: int) -> bool:
    """Whether a chunk's layers are so much work that all threads serve and trying them would take long."""
    tokens = preset.chunk * height * width // 256
    block = 2 * tokens * (10 * preset.dim**2 + 2 * preset.dim * preset.ffn)
    layer = 2 * 2 * 27 * preset.vae_dim**2 * 4 * height * width
    return block + layer > LARGE_LAYER_FLOPS


def time_threads(preset: Preset, height: int, width: int, dtype: torch.dtype) -> dict[int, float]:
    """The least seconds by number of threads for a piece of both stages side by side, of those that were tried."""
    stages = [_transformer_load(preset, height, width, dtype), _decoder_load(preset, height, width)]
    seconds: dict[int, float] = {}
    until = time.perf_counter() + TIMING_BUDGET_S
    for _ in range(TIMING_ROUNDS):  # in turn, so that what else the machine does falls on all alike
        for number in thread_candidates(default_threads()):
            if seconds and time.perf_counter() > until:
                break
            set_threads(number)
            seconds[number] = min(seconds.get(number, float("inf")), _time_concurrently(stages))
    set_threads(default_threads())
    return seconds


def fastest_threads(seconds: Mapping[int, float]) -> int:
    """The number to take: PyTorch's own, unless another is faster by more than noise."""
    number = min(seconds, key=seconds.__getitem__, default=default_threads())
    return (
        number
        if seconds.get(number, 0.0) * MIN_SPEEDUP < seconds.get(default_threads(), float("inf"))
        else default_threads()
    )


def _transformer_load(preset: Preset, height: int, width: int, dtype: torch.dtype) -> Callable[[], object]:
    """Some passes of a block over a chunk's tokens, its window full."""
    config = TransformerConfig.of(preset)
    block = Block(config).to(dtype).eval()
    tokens = height * width // 256
    window = preset.window if preset.window >= 0 else 3 * preset.chunk
    x = torch.randn(1, preset.chunk * tokens, config.dim)
    rows = torch.zeros(1, 6, config.dim)
    camera = torch.zeros_like(x, dtype=dtype)
    keys = torch.randn(1, window * tokens, config.heads, config.head_dim, dtype=dtype)
    text = torch.randn(1, config.text_len, config.heads, config.head_dim, dtype=dtype)

    def work() -> None:
        for _ in range(BLOCK_PASSES):
            block(x, rows, (camera, camera), (text, text), lambda q, _k, _v: attend_all(q, keys, keys))

    return work


def _decoder_load(preset: Preset, height: int, width: int) -> Callable[[], object]:
    """The decoder's last level over the frames of one latent."""
    layer = ResidualBlock(preset.vae_dim, preset.vae_dim).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(1, preset.vae_dim, 4, height, width)
    return lambda: layer(x, None)


def _time_concurrently(stages: Sequence[Callable[[], object]]) -> float:
    """Seconds until all are done that begin together, each in a fresh thread that was warmed up."""
    ready = threading.Barrier(len(stages))
    moments: list[tuple[float, float]] = []

    def run(stage: Callable[[], object]) -> None:
        with torch.inference_mode():
            stage()
            ready.wait()
            began = time.perf_counter()
            stage()
            moments.append((began, time.perf_counter()))

    threads = [threading.Thread(target=run, args=(stage,)) for stage in stages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(end for _, end in moments) - min(began for began, _ in moments)
