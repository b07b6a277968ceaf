"""Training of the built-in model in stages: `python -m training.run --folder F`.

A draft first: a small VAE and a transformer on its latents, in `draft/`. Then a sharp VAE from its beginning, in
`sharp/`, which is aligned with the draft's latents, the transformer's training on these, the decoder, and the export.
Finished stages are skipped. After any interruption the same command resumes from the last checkpoint. After
`python -m training.init_folder --folder F` training starts from the built-in model.
"""

import argparse
import os
import shutil
from pathlib import Path

import torch

from training import align_vae, train_decoder, train_text, train_transformer, train_vae
from training.export import BUILT_IN, export
from training.generated_latents import generate_share
from training.latents import encode_share, encoded, measure_statistics
from training.vae_loss import DRAFT_CONFIG
from training.workers import DEVICE, run_workers, start_workers

_CLIPS = 32000
_DRAFT_CLIPS = 3600
_GENERATED_CLIPS = 400  # for the decoder
_GPU_ENCODERS = 4  # processes that render and encode beside the training on a GPU
_FIRST_SHARE = 128  # that training begins when one in so many clips is encoded
_WORLD_MINUTES = 1900 if DEVICE.type == "cpu" else 16  # of two cores, and of an H100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="latents, checkpoints and curves; 7 GB")
    parser.add_argument("--clips", type=int, default=_CLIPS, help="encoded, for the transformer")
    parser.add_argument("--draft-vae-minutes", type=float, default=76)
    parser.add_argument("--draft-world-minutes", type=float, default=300)
    parser.add_argument("--sharp-minutes", type=float, default=78)
    parser.add_argument("--vae-minutes", type=float, default=28)
    parser.add_argument("--world-minutes", type=float, default=_WORLD_MINUTES)
    parser.add_argument("--decoder-minutes", type=float, default=128)
    parser.add_argument("--until", choices=list(_RUN), help="stop after this stage, without an export")
    parser.add_argument("--workers", type=int, default=2, help="one-thread processes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=BUILT_IN)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    torch.set_num_threads(1 if cores <= 2 else cores)
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "text.pt").exists():
        train_text.train(folder, options.seed)
    for stage, run in _RUN.items():
        run(folder, options)
        if stage == options.until:
            return
    export(folder, options.out, "trained on the courtyard, see training/README.md")


def _run_draft(folder: Path, options: argparse.Namespace) -> None:
    if _stage_done(folder / "vae.pt", 0):
        return
    draft = folder / "draft"
    draft.mkdir(exist_ok=True)
    shutil.copy(folder / "text.pt", draft)
    minutes = options.draft_vae_minutes
    if not _stage_done(draft / "vae.pt", minutes):
        run_workers(options.workers, train_vae.train, draft, minutes, options.seed, DRAFT_CONFIG)
    draft_options = {
        "world_minutes": options.draft_world_minutes,
        "clips": min(options.clips, _DRAFT_CLIPS),
    }
    _run_world(draft, argparse.Namespace(**vars(options) | draft_options))


def _run_sharp(folder: Path, options: argparse.Namespace) -> None:
    if _stage_done(folder / "vae.pt", 0):
        return
    sharp = folder / "sharp"
    sharp.mkdir(exist_ok=True)
    if not _stage_done(sharp / "vae.pt", options.sharp_minutes):
        run_workers(options.workers, train_vae.train, sharp, options.sharp_minutes, options.seed)
    measure_statistics(sharp, options.seed)


def _run_vae(folder: Path, options: argparse.Namespace) -> None:
    if not _stage_done(folder / "vae.pt", options.vae_minutes):
        run_workers(options.workers, align_vae.train, folder, options.vae_minutes, options.seed)
        shutil.copy(folder / "draft" / "world-final.pt", folder / "world-start.pt")


def _run_world(folder: Path, options: argparse.Namespace) -> None:
    if DEVICE.type == "cpu":
        run_workers(options.workers, encode_share, folder, options.clips, options.seed)
    else:
        encoding = start_workers(_GPU_ENCODERS, encode_share, folder, options.clips, options.seed)
        while not encoded(folder, options.clips // _FIRST_SHARE) and not encoding.join(0.2):
            pass
    if not _stage_done(folder / "world-final.pt", options.world_minutes):
        run_workers(options.workers, train_transformer.train, folder, options.world_minutes, options.seed)


def _run_decoder(folder: Path, options: argparse.Namespace) -> None:
    generated = min(options.clips, _GENERATED_CLIPS)
    run_workers(options.workers, generate_share, folder, generated, options.seed)
    if not _stage_done(folder / "decoder.pt", options.decoder_minutes):
        run_workers(options.workers, train_decoder.train, folder, options.decoder_minutes, options.seed)


def _stage_done(final: Path, minutes: float) -> bool:
    """Return whether a stage has trained for that many minutes."""
    return (
        final.exists() and torch.load(final, weights_only=True, map_location="cpu")["spent"] >= 60 * minutes
    )


_RUN = {
    "draft": _run_draft,
    "sharp": _run_sharp,
    "vae": _run_vae,
    "world": _run_world,
    "decoder": _run_decoder,
}


if __name__ == "__main__":
    main()
