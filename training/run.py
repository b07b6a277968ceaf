"""Training of the built-in model in stages: `python -m training.run --folder F`.

The stages are text encoder, VAE, latents, transformer, its latents, decoder and export; finished ones are
skipped. After any interruption the same command resumes from the last checkpoint. After
`python -m training.init_folder --folder F` training starts from the built-in model.
"""

import argparse
import os
from pathlib import Path

import torch

from training import train_decoder, train_text, train_transformer, train_vae
from training.export import BUILT_IN, export
from training.generated_latents import generate_share
from training.latents import encode_share
from training.workers import run_workers

STAGES = ("vae", "world", "decoder")
_GENERATED_CLIPS = 400  # for the decoder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="latents, checkpoints and curves; a GB")
    parser.add_argument("--clips", type=int, default=2000, help="encoded, for the transformer")
    parser.add_argument("--vae-minutes", type=float, default=100)
    parser.add_argument("--world-minutes", type=float, default=300)
    parser.add_argument("--decoder-minutes", type=float, default=60)
    parser.add_argument("--until", choices=STAGES, help="stop after this stage, without an export")
    parser.add_argument("--workers", type=int, default=2, help="one-thread processes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=BUILT_IN)
    options = parser.parse_args()
    folder, seed = options.folder, options.seed
    cores = os.cpu_count() or 1
    torch.set_num_threads(1 if cores <= 2 else cores)
    if not (folder / "text.pt").exists():
        train_text.train(folder, seed)
    if not _stage_done(folder / "vae.pt", options.vae_minutes):
        run_workers(options.workers, train_vae.train, folder, options.vae_minutes, seed)
    if options.until == "vae":
        return
    run_workers(options.workers, encode_share, folder, options.clips, seed)
    if not _stage_done(folder / "world-final.pt", options.world_minutes):
        run_workers(options.workers, train_transformer.train, folder, options.world_minutes, seed)
    if options.until == "world":
        return
    generated = min(options.clips, _GENERATED_CLIPS)
    run_workers(options.workers, generate_share, folder, generated, seed)
    if not _stage_done(folder / "decoder.pt", options.decoder_minutes):
        run_workers(options.workers, train_decoder.train, folder, options.decoder_minutes, seed)
    if options.until == "decoder":
        return
    export(folder, options.out, "trained on the courtyard, see training/README.md")


def _stage_done(final: Path, minutes: float) -> bool:
    """Return whether a stage has trained for that many minutes."""
    return (
        final.exists() and torch.load(final, weights_only=True, map_location="cpu")["spent"] >= 60 * minutes
    )


if __name__ == "__main__":
    main()
