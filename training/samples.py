"""First images in `samples/`, rendered from the scene: `python -m training.samples`."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lingbot_cli.camera.pose import CameraPose
from training.place.palette import MOODS
from training.place.render import render
from training.place.scene import EYE

WIDTH, HEIGHT = 840, 480
_FOCAL = torch.tensor([[500.0, 500.0, 416.0, 240.0]])

# name: mood, x, z, heading
SAMPLES = {
    "courtyard-day": ("day", 0.0, -3.6, 0.0),
    "courtyard-dusk": ("dusk", 3.4, -1.0, -75.0),
    "courtyard-night": ("night", -3.0, -2.6, 22.0),
    "courtyard-snow": ("snow", 1.2, 3.6, 172.0),
    "sea-gate-day": ("day", 0.5, 0.8, 82.0),
    "tower-dusk": ("dusk", 0.0, -3.6, 0.0),
}


def draw(mood: str, x: float, z: float, heading: float, *, height: int, width: int) -> np.ndarray:
    """Render an image uint8 [H, W, 3] from a position and heading."""
    pose = torch.from_numpy(CameraPose(x, -EYE, z, yaw=heading).matrix())[None]
    weights = torch.eye(len(MOODS))[[MOODS.index(mood)]]
    return render(pose, _FOCAL, weights, height=height, width=width)[0].numpy()


def main() -> None:
    folder = Path(__file__).parent.parent / "samples"
    folder.mkdir(exist_ok=True)
    for name, (mood, x, z, heading) in SAMPLES.items():
        picture = Image.fromarray(draw(mood, x, z, heading, height=HEIGHT, width=WIDTH))
        picture.save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
