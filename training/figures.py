"""Measurements of the model against ground truth: `python -m training.figures` writes figures.json and sheet.png.

All videos are rendered by the program's own session and compared with the exact scene.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.world_model import WorldModel
from training.camera import measure_cameras
from training.place.palette import MOODS
from training.place.walk import wander
from training.sharpness import PROMPTS, measure_samples, measure_sharpness, measure_sizes
from training.shift import estimate_shift
from training.videos import FPS, Video, estimate_poses, ground_truth, render_video

SECONDS = 20
_START = CameraPose(0.0, -1.0, -3.6)


def walks(seconds: int) -> dict[str, list[str]]:
    """Return the keys of each kind of video, one string per video frame."""
    n = seconds * FPS
    return {
        "still": [""] * n,
        "walk": ((["w"] * 48 + ["s"] * 48) * (n // 96 + 1))[:n],
        "turn": ["l"] * n,
        "walk-and-turn": ["wl"] * n,
        "turn-and-return": ((["j"] * 45 + ["l"] * 45) * (n // 90 + 1))[:n],
    }


def measure(film: Video, mood: str) -> dict[str, float]:
    """Measure PSNR over 3 s and overall, camera error in degrees and units, and speeds over the first 3 s."""
    found = estimate_poses(film, mood)
    truth = [CameraPose.from_matrix(p) for p in film.walk.actual[::4]]
    heading = np.unwrap(np.radians([s.yaw for s in found])) * 180 / np.pi
    asked = np.unwrap(np.radians([s.yaw for s in truth])) * 180 / np.pi
    apart = (heading - asked + 180) % 360 - 180
    away = np.array([np.hypot(a.x - b.x, a.z - b.z) for a, b in zip(found, truth, strict=True)])
    end = min(12, len(found) - 1)  # three seconds
    gone, due = (float(np.hypot(s[end].x - s[0].x, s[end].z - s[0].z)) for s in (found, truth))
    out = {
        "psnr_3s": film.psnr(0, 49),
        "psnr_all": film.psnr(0, len(film.made)),
        "degrees_3s": float(np.abs(apart[:13]).mean()),
        "units_3s": float(away[:13].mean()),
        "degrees_all": float(np.abs(apart).mean()),
        "units_all": float(away.mean()),
    }
    if abs(asked[end] - asked[0]) > 20:
        out["turning_speed"] = float((heading[end] - heading[0]) / (asked[end] - asked[0]))
    if due > 1:
        out["walking_speed"] = gone / due
    return out


def measure_drift(world: WorldModel) -> dict[str, float]:
    """Measure contrast relative to ground truth after a minute of standing and of walking, against the start."""
    rng = np.random.default_rng(3)
    out = {}
    keys: list[str] = []
    while len(keys) < 60 * FPS:
        keys += [str(rng.choice(["w", "s", "l", "j", "wl", "wj", ""]))] * int(rng.integers(12, 40))
    for name, held in (("still", [""] * (60 * FPS)), ("wander", keys[: 60 * FPS])):
        film = render_video(world, held, _START, ["day"], [PROMPTS["day"]])
        ends = ((film.made[:32], film.truth[:32]), (film.made[-32:], film.truth[-32:]))
        before, after = (made.std() / truth.std() for made, truth in ends)
        out[f"contrast_{name}_60s"] = float(after / before)
        out[f"psnr_{name}_58_60s"] = film.psnr(len(film.made) - 32, len(film.made))
    return out


def measure_stills(world: WorldModel) -> dict[str, dict[str, float]]:
    """Measure the largest image shift in pixels in two seconds of standing, per mood, before each wall."""
    out = {}
    for mood in MOODS:
        most = []
        for yaw in (0.0, 90.0, 180.0, 270.0):
            film = render_video(
                world, [""] * 2 * FPS, replace(_START, x=1.0, z=-1.0, yaw=yaw), [mood], [PROMPTS[mood]]
            )
            most.append(max(float(np.hypot(*estimate_shift(film.made[0], frame))) for frame in film.made[1:]))
        out[mood] = {"median": float(np.median(most)), "worst": max(most)}
    return out


def measure_turns(world: WorldModel) -> dict[str, dict[str, float]]:
    """Measure mean PSNR and median speed of three-second turns per mood, from each wall and both ways."""
    out = {}
    for mood in MOODS:
        found = []
        for yaw, key in ((0.0, "l"), (90.0, "j"), (180.0, "l"), (270.0, "j")):
            start = replace(_START, x=1.0, z=-1.0, yaw=yaw)
            film = render_video(world, [key] * 3 * FPS, start, [mood], [PROMPTS[mood]])
            found.append(measure(film, mood))
        noise = np.mean([10 ** (-f["psnr_3s"] / 10) for f in found])
        speed = float(np.median([f["turning_speed"] for f in found]))
        out[mood] = {"psnr_3s": float(-10 * np.log10(noise)), "turning_speed": speed}
    return out


def measure_mood_changes(world: WorldModel) -> dict[str, float]:
    """Measure the mean colour's progress to a new mood, from 0 to 1, two chunks after its prompt."""
    out = {}
    for old, new in (("day", "night"), ("day", "dusk"), ("dusk", "snow"), ("snow", "day"), ("night", "day")):
        film = render_video(
            world, [""] * 80, _START, [old, old, new], [PROMPTS[old], PROMPTS[old], PROMPTS[new]]
        )
        aim = ground_truth(
            torch.from_numpy(film.walk.actual[:1]), torch.eye(4)[[MOODS.index(new)]], (64, 112)
        )
        colour, first, last = (
            x.reshape(-1, 3).mean(0) for x in (film.made[44], film.made[20], aim[0].numpy())
        )
        gone = np.dot(colour - first, last - first) / np.dot(last - first, last - first)
        out[f"{old}→{new}"] = float(gone)
    return out


@torch.inference_mode()
def vae_psnr(world: WorldModel, clips: int = 12) -> float:
    """Return the PSNR in dB of the VAE alone on unseen walks."""
    rng = np.random.default_rng(1234)
    errors = []
    for i in range(clips):
        poses = torch.from_numpy(wander(rng, 57).actual)
        shown = ground_truth(poses, torch.eye(4)[[i % 4]].expand(57, -1), (64, 112))
        video = shown.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        again = ((world.vae.decode(world.vae.encode(video)).float() + 1) * 127.5).round()
        errors.append(((again[0].permute(1, 2, 3, 0) - shown.float()) / 255).square().mean())
    return float(-10 * torch.log10(torch.stack(errors).mean()))


def sheet(films: dict[str, Video]) -> Image.Image:
    """Draw eight moments of every video, ground truth above the rendered one."""
    rows = []
    for film in films.values():
        at = [min(int(s * FPS), len(film.made) - 1) for s in (0, 1, 2, 3, 5, 10, 15, 20)]
        rows += [np.concatenate(list(x[at]), 1) for x in (film.truth, film.made)]
        rows.append(np.full((4, *rows[-1].shape[1:]), 255, np.uint8))
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a folder in our layout; by default the built-in model")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--short", action="store_true", help="leave out the minute-long videos")
    parser.add_argument("--camera", action="store_true", help="measure the camera alone, into figures.json")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    begun = time.perf_counter()
    world = load_model(options.model)
    path = options.out / "figures.json"
    if options.camera:
        _write(path, json.loads(path.read_text(encoding="utf-8")) | {"camera": measure_cameras(world)})
        return
    figures: dict[str, object] = {"load_seconds": time.perf_counter() - begun}
    folder = options.model or Path(__file__).parent.parent / "lingbot_cli" / "builtin"
    figures["megabytes"] = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    figures["vae_psnr"] = vae_psnr(world)
    figures["samples"] = measure_samples(world.vae, antialias=world.preset.antialias)
    films = {}
    begun, frames = time.perf_counter(), 0
    for name, keys in walks(options.seconds).items():
        films[name] = render_video(world, keys, _START, ["day"], [PROMPTS["day"]])
        frames += len(keys)
    figures["frames_a_second"] = frames / (time.perf_counter() - begun)
    for mood, yaw in (("dusk", 250.0), ("night", 20.0), ("snow", 170.0)):
        start = replace(_START, yaw=yaw, z=-1.0, x=1.0)
        films[f"turn, {mood}"] = render_video(world, ["l"] * 48, start, [mood], [PROMPTS[mood]])
    for name, film in films.items():
        mood = name.split(", ")[1] if "," in name else "day"
        figures[name] = measure(film, mood)
    figures["moods"] = measure_mood_changes(world)
    figures["stands"] = measure_stills(world)
    figures["turns"] = measure_turns(world)
    figures["edges"] = measure_sharpness(world, options.seconds)
    figures["sizes"] = measure_sizes(world)
    figures["camera"] = measure_cameras(world)
    if not options.short:
        figures["drift"] = measure_drift(world)
    _write(path, figures)
    sheet(films).save(options.out / "sheet.png", optimize=True)


def _write(path: Path, figures: dict[str, object]) -> None:
    path.write_text(json.dumps(_rounded(figures), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _rounded(x: object) -> object:
    if isinstance(x, dict):
        return {k: _rounded(v) for k, v in x.items()}
    return round(x, 3) if isinstance(x, float) else x


if __name__ == "__main__":
    main()
