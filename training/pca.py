"""Detail of the scene: PSNR of unseen views in a linear 16-component code of 4-frame 8×8 blocks.

A trained VAE ends near this number, so the scene is designed until it is at least 28 dB.
"""

import argparse

import numpy as np
import torch

from training.place.palette import MOODS
from training.place.render import render
from training.place.walk import lens, wander


def blocks(seed: int, clips: int) -> torch.Tensor:
    """Return blocks [N, 768] in 0…1, 4 frames by 8×8 pixels, from random walks."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(clips):
        poses = torch.from_numpy(wander(rng, 28).actual)
        moods = torch.eye(len(MOODS))[rng.integers(len(MOODS))].expand(28, -1)
        video = render(poses, torch.from_numpy(lens(rng)).expand(28, -1), moods).float() / 255
        cut = video.reshape(7, 4, 8, 8, 14, 8, 3).permute(0, 2, 4, 1, 3, 5, 6)
        found.append(cut.reshape(-1, 768))
    return torch.cat(found)


def linear_psnr(clips: int = 48, components: int = 16) -> float:
    """Return the PSNR in dB of unseen views in the best linear code with as many components as a latent cell."""
    seen, unseen = blocks(1, clips), blocks(2, clips // 3)
    mean = seen.mean(0)
    centred = seen - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    basis = vectors[:, -components:]
    rest = unseen - mean
    error = rest - rest @ basis @ basis.T
    return float(-10 * torch.log10((error * error).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=48)
    print(f"{linear_psnr(parser.parse_args().clips):.2f} dB")


if __name__ == "__main__":
    main()
