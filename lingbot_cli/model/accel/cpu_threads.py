"""Number of CPU threads, chosen by timing a transformer block beside a decoder layer, as in a render."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import cache

import torch

from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.transformer import Block, TransformerConfig
from lingbot_cli.model.vae_layers import ResidualBlock
from lingbot_cli.presets import Preset

TIMING_ROUNDS = 5
TIMING_BUDGET_S = 0.5
"""Seconds after which no further number is tried."""
LARGE_LAYER_FLOPS = 4e9
"""Floating-point operations of a layer of both stages from which all cores have enough work."""
BLOCK_PASSES = 2
"""Passes of a block per decoder layer, about as in a video of the built-in model."""


@cache
def default_threads() -> int:
    """Return PyTorch's number of threads before the first `set_threads`."""
    return torch.get_num_threads()


def current_threads() -> int:
    """Return the number of threads in use."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Set the number of threads for this thread and for those that start to compute later."""
    default_threads()
    torch.set_num_threads(count)


def thread_candidates(maximum: int) -> list[int]:
    """Return the numbers to try: all, half of them, and so on down to one."""
    return [maximum >> halvings for halvings in range(maximum.bit_length())]


def is_large(preset: Preset, height: int, width: int) -> bool:
    """Return whether a chunk's layers are large enough that all threads are fastest and timing them takes long."""
    tokens = preset.chunk * height * width // 256
    block = 2 * tokens * (10 * preset.dim**2 + 2 * preset.dim * preset.ffn)
    layer = 2 * 2 * 27 * preset.vae_dim**2 * 4 * height * width
    return block + layer > LARGE_LAYER_FLOPS


def time_threads(preset: Preset, height: int, width: int, dtype: torch.dtype) -> dict[int, float]:
    """Return the shortest time in seconds of both stages side by side, by the numbers of threads tried."""
    stages = [_transformer_load(preset, height, width, dtype), _decoder_load(preset, height, width)]
    seconds: dict[int, float] = {}
    deadline = time.perf_counter() + TIMING_BUDGET_S
    for _ in range(TIMING_ROUNDS):  # round robin, so that other load affects all alike
        for count in thread_candidates(default_threads()):
            if seconds and time.perf_counter() > deadline:
                break
            set_threads(count)
            seconds[count] = min(seconds.get(count, float("inf")), _time_concurrently(stages))
    set_threads(default_threads())
    return seconds


def _transformer_load(preset: Preset, height: int, width: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return a function that runs passes of a block over a chunk's tokens with a full window."""
    config = TransformerConfig.of(preset)
    block = Block(config).to(dtype).eval()
    tokens = height * width // 256
    window = preset.window if preset.window >= 0 else 3 * preset.chunk
    x = torch.randn(1, preset.chunk * tokens, config.dim)
    rows = torch.zeros(1, 6, config.dim)
    camera = torch.zeros_like(x, dtype=dtype)
    keys = torch.randn(1, window * tokens, config.heads, config.head_dim, dtype=dtype)
    text = torch.randn(1, config.text_len, config.heads, config.head_dim, dtype=dtype)
    rotation = torch.zeros(2, preset.chunk * tokens, config.head_dim // 2)

    def run() -> None:
        for _ in range(BLOCK_PASSES):
            block(
                x, rows, (camera, camera), (text, text), rotation, lambda q, _k, _v: attend_all(q, keys, keys)
            )

    return run


def _decoder_load(preset: Preset, height: int, width: int) -> Callable[[], object]:
    """Return a function that runs a last-level decoder block over the frames of one latent."""
    layer = ResidualBlock(preset.vae_dim, preset.vae_dim).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(1, preset.vae_dim, 4, height, width)
    return lambda: layer(x, None)


def _time_concurrently(stages: Sequence[Callable[[], object]]) -> float:
    """Return the seconds in which all stages finish that start together, each in its own warmed-up thread."""
    ready = threading.Barrier(len(stages))
    spans: list[tuple[float, float]] = []

    def run(stage: Callable[[], object]) -> None:
        with torch.inference_mode():
            stage()
            ready.wait()
            started = time.perf_counter()
            stage()
            spans.append((started, time.perf_counter()))

    threads = [threading.Thread(target=run, args=(stage,)) for stage in stages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(end for _, end in spans) - min(start for start, _ in spans)
