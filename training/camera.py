"""Camera of the model's videos as `lingbot camera-check` estimates it from their frames, beside the exact scene's."""

import numpy as np

from lingbot_cli.camera.lens import square_lens
from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.diagnostics.camera_check import Limits, RecordedCamera, SecondCheck, check_camera
from lingbot_cli.model.world_model import WorldModel
from training.data import SIZE
from training.place.palette import MOODS
from training.place.scene import EYE
from training.sharpness import PROMPTS
from training.videos import FPS, render_video

KEYS = {"turn": "l", "walk": "w", "walk-and-turn": "wl"}
_SECONDS = 2
_START = CameraPose(0.0, -EYE, -3.6)


def measure_cameras(world: WorldModel) -> dict[str, dict[str, float]]:
    """Measure two seconds of each kind of motion in all moods; `true_…` are those of the exact scene's frames.

    Angles are in degrees, rotations in degrees a second. A doubt is the angle to other motions that explain the
    frames as well; `clear` is the share of seconds whose rotation is known to a degree.
    """
    out = {}
    for name, keys in KEYS.items():
        shown: list[SecondCheck] = []
        exact: list[SecondCheck] = []
        for mood in MOODS:
            video = render_video(world, [keys] * _SECONDS * FPS, _START, [mood], [PROMPTS[mood]])
            lenses = np.tile(square_lens(None, *SIZE), (len(video.made), 1))
            camera = RecordedCamera(video.walk.actual, lenses, FPS, 0.2, height=EYE)
            shown += check_camera(video.made, camera, Limits()).seconds
            exact += check_camera(video.truth, camera, Limits()).seconds
        out[name] = _summary(shown) | {f"true_{part}": value for part, value in _summary(exact).items()}
    return out


def _summary(seconds: list[SecondCheck]) -> dict[str, float]:
    rotations = [(s.rotation_error, s.turn_doubt) for s in seconds if s.rotation_error is not None]
    headings = [(s.heading_error, s.doubt) for s in seconds if s.heading_error is not None]
    speeds = [s.speed for s in seconds if s.speed is not None]
    out = {"clear": sum(doubt <= Limits().rotation for _, doubt in rotations) / len(seconds)}
    for name, found in (("rotation", rotations), ("heading", headings)):
        if found:
            out[name], out[f"{name}_doubt"] = (float(value) for value in np.median(found, axis=0))
            out[f"{name}_worst"] = float(np.max(found, axis=0)[0])
    return out | ({"speed": float(np.median(speeds))} if speeds else {})
