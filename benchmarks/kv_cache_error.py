"""Error of an 8-bit KV cache: on every recorded case, and in a video of the built-in model.

A recorded case gives the RMS error of its latents relative to their standard deviation, over the chunks that read
the cache. PSNR in dB is that of a walk with the built-in model against the exact one.

    python -m benchmarks.kv_cache_error --chunks 6
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.speed_option_error import SPEED_OPTIONS, built_in_model, psnr, render_video
from lingbot_cli.diagnostics.parity import replay_tensors
from tests.support.reference import CASES, REFERENCE, settings

KINDS = ("int8", "fp8")


def latents_error(case: Path, kind: str) -> float:
    """Return the relative RMS error of a recorded case's latents after its first chunk."""
    exact, other = (
        replay_tensors(case, REFERENCE, torch.device("cpu"), torch.float32, kv_cache=k)["latents"]
        for k in (None, kind)
    )
    first = settings(case)["chunk_size"]
    error = (other - exact)[:, first:].square().mean().sqrt()
    return float(error / exact[:, first:].std())


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=6)
    chunks = parser.parse_args().chunks
    print(f"| recorded case | {' | '.join(KINDS)} |\n|---|---:|---:|")
    for case in CASES:
        print(
            f"| {case.name} | {' | '.join(f'{latents_error(case, kind):.2%}' for kind in KINDS)} |",
            flush=True,
        )
    model = built_in_model(SPEED_OPTIONS["exact"])
    exact = render_video(model, chunks)
    print(f"\n| built-in model | {chunks} chunks |\n|---|---:|")
    for kind in KINDS:
        print(
            f"| {kind} | {psnr(exact, render_video(replace(model, kv_cache=kind), chunks)):.1f} dB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
