"""Points tracked through frames: corners and points on edges, whose place is known across the edge only.

OpenCV is imported on use; `lingbot[verify]` installs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lingbot_cli.diagnostics.bundle import Bundle
from lingbot_cli.errors import SetupError

MIN_POINTS = 12
_MAX_POINTS, _QUALITY, _SPACING_PX, _BLOCK_PX = 800, 1e-4, 6, 7
_FLOW_WINDOW_PX, _FLOW_LEVELS = (15, 15), 4
_MAX_RETURN_PX = 0.5  # distance between a point and itself tracked forth and back
_BORDER_PX = 9
_PROFILE_PX, _SEARCH_PX = 5, 6  # half the length of a profile across an edge, and how far it is searched
_PROFILE_ROWS_PX = np.array([-2.0, 0.0, 2.0])
_PROFILE_STEPS = 8
_MAX_MISS = 0.25  # of a profile, as a share of its contrast
_MAX_TURN_COSINE = 0.9  # between an edge and itself in another frame


@dataclass(frozen=True, eq=False)
class Tracks:
    """Places of points: `pixels` [K, N, 2] and `weights` [K, N, 2, 2] in the key frames, as a Bundle takes them."""

    pixels: np.ndarray
    weights: np.ndarray

    def seen(self) -> np.ndarray:
        """Return whether each key frame shows each point, [K, N]."""
        return ~np.isnan(self.pixels[..., 0])


def load_opencv() -> Any:
    """Import OpenCV. Errors: SetupError with the extra that installs it and what is used beside it."""
    try:
        import cv2
        import threadpoolctl  # noqa: F401
    except ImportError as missing:
        raise SetupError(f"{missing.name} is not installed", hint="pip install 'lingbot[verify]'") from None
    return cv2


def track_points(frames: Sequence[np.ndarray], keys: Sequence[int], lenses: np.ndarray) -> Tracks:
    """Track points through grey `frames` uint8 [H, W], whose lenses are [F, 4]; `keys`: numbers of the key frames.

    Points that fewer than three key frames show are left out.
    """
    cv2 = load_opencv()
    points, ids, count = np.zeros((0, 2), np.float32), np.zeros(0, int), 0
    found = []
    for number, frame in enumerate(frames):
        if len(points):
            points, good = _follow(cv2, frames[number - 1], frame, points, lenses[number - 1 : number + 1])
            points, ids = points[good], ids[good]
        if number in keys:
            new = _new_points(cv2, frame, points)
            ids = np.concatenate([ids, count + np.arange(len(new))])
            points, count = np.concatenate([points, new]), count + len(new)
            found.append((ids, points, _edge_weights(cv2, frame, points)))
    pixels, weights = np.full((len(keys), count, 2), np.nan), np.zeros((len(keys), count, 2, 2))
    for key, (seen, places, weight) in enumerate(found):
        pixels[key, seen], weights[key, seen] = places + 0.5, weight
    useful = (~np.isnan(pixels[..., 0])).sum(0) >= 3
    return Tracks(pixels[:, useful], weights[:, useful])


def retrack(
    frames: Sequence[np.ndarray], tracks: Tracks, predicted: np.ndarray, anchors: np.ndarray
) -> Tracks:
    """Find every point again near its `predicted` pixels [K, N, 2], by its profile in the key frame `anchors` [N].

    `frames`: the grey key frames. The search is across edges only, so that no point slides along one.
    """
    cv2 = load_opencv()
    pixels, weights = np.full_like(tracks.pixels, np.nan), np.zeros_like(tracks.weights)
    smooth = [cv2.GaussianBlur(frame, (0, 0), 1.0).astype(np.float32) for frame in frames]
    edge = _BORDER_PX + _SEARCH_PX
    share = tracks.weights[tracks.seen()].max(initial=0.0)
    far = np.array(frames[0].shape)[::-1] - edge
    inside = np.all((predicted > edge) & (predicted < far), axis=2)
    for anchor in range(len(frames)):
        own = anchors == anchor
        pixels[anchor, own], weights[anchor, own] = tracks.pixels[anchor, own], tracks.weights[anchor, own]
        for key in range(anchor + 1, len(frames)):
            which = np.flatnonzero(own & inside[key] & tracks.seen()[key])
            if not len(which):
                continue
            old, guess = tracks.pixels[anchor, which] - 0.5, predicted[key, which] - 0.5
            normals = _normals(tracks.weights[anchor, which])
            shift, good = _cross_shifts(cv2, smooth[anchor], smooth[key], old, guess, normals)
            there = guess + shift[:, None] * normals
            now = _normals(_edge_weights(cv2, frames[key], there))
            good &= np.abs((now * normals).sum(1)) > _MAX_TURN_COSINE
            pixels[key, which[good]] = there[good] + 0.5
            weights[key, which[good]] = share * (now[:, :, None] * now[:, None])[good]
    return Tracks(pixels, weights)


def _new_points(cv2: Any, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return corners and edge points [N, 2] away from the tracked ones."""
    mask = np.full(frame.shape, 255, np.uint8)
    for x, y in points:
        cv2.circle(mask, (round(float(x)), round(float(y))), _SPACING_PX, 0, -1)
    found = cv2.goodFeaturesToTrack(frame, _MAX_POINTS, _QUALITY, _SPACING_PX, mask=mask, blockSize=_BLOCK_PX)
    return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)


def _follow(
    cv2: Any, before: np.ndarray, after: np.ndarray, points: np.ndarray, lenses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Track points [N, 2] from one frame to the next; return them, and whether the way back leads to the start.

    The second pass begins where the camera's turn puts the points, so that few slide along an edge.
    """
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 0.003)
    options = {"winSize": _FLOW_WINDOW_PX, "criteria": criteria, "minEigThreshold": 1e-7}
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, maxLevel=_FLOW_LEVELS, **options)
    if found.sum() >= MIN_POINTS:
        pair = np.stack([points, np.where(found == 1, there, np.nan)]) + 0.5
        weights = np.stack([_edge_weights(cv2, before, points), _edge_weights(cv2, after, there)])
        bundle = Bundle(pair, weights, lenses)
        turned = bundle.predicted_pixels(bundle.turning())[1]
        there = np.where(np.isnan(turned), there, turned - 0.5).astype(np.float32)
    guided = options | {"maxLevel": 1, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, there, **guided)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, points.copy(), **guided)
    good = (found.ravel() == 1) & (returned.ravel() == 1)
    good &= np.linalg.norm(back - points, axis=1) < _MAX_RETURN_PX
    good &= ((there > _BORDER_PX) & (there < np.array(after.shape)[::-1] - _BORDER_PX)).all(1)
    return there, good


def _edge_weights(cv2: Any, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the weights [N, 2, 2] of points [N, 2], from the gradients around them."""
    gx, gy = (cv2.Sobel(frame, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    parts = [
        cv2.boxFilter(a * b, cv2.CV_32F, (_BLOCK_PX, _BLOCK_PX)) for a, b in ((gx, gx), (gx, gy), (gy, gy))
    ]
    x, y = np.round(points).astype(int).T.clip(0, np.array(frame.shape)[::-1, None] - 1)
    xx, xy, yy = (part[y, x].astype(np.float64) for part in parts)
    values, axes = np.linalg.eigh(np.stack([xx, xy, xy, yy], -1).reshape(-1, 2, 2))
    shares = np.sqrt(np.maximum(values, 0) / np.maximum(values[:, 1:], 1e-9))
    return np.einsum("nij,nj,nkj->nik", axes, shares, axes)


def _normals(weights: np.ndarray) -> np.ndarray:
    """Return the directions [N, 2] across edges from weights [N, 2, 2]."""
    return np.linalg.eigh(weights)[1][:, :, 1]


def _cross_shifts(
    cv2: Any, before: np.ndarray, after: np.ndarray, old: np.ndarray, guess: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances [N] from `guess` along `normals` at which `after` looks as `before` does at `old`.

    The second array [N] has whether the profile was found. Images are float32 [H, W], places [N, 2].
    """
    steps = np.arange(-_PROFILE_PX, _PROFILE_PX + 1.0)
    aim = _profiles(cv2, before, old, normals, steps[None])
    strip_steps = np.arange(-_PROFILE_PX - _SEARCH_PX, _PROFILE_PX + _SEARCH_PX + 1.0)
    strip = _profiles(cv2, after, guess, normals, strip_steps[None])
    tries = range(2 * _SEARCH_PX + 1)
    losses = np.stack([((strip[:, i : i + len(steps)] - aim) ** 2).mean((1, 2)) for i in tries], 1)
    shift = losses.argmin(1) - float(_SEARCH_PX)
    miss = aim
    for _ in range(_PROFILE_STEPS):
        now = _profiles(cv2, after, guess, normals, steps + shift[:, None])
        miss, slope = aim - now, np.gradient(now, axis=1)
        miss = miss - miss.mean((1, 2), keepdims=True)
        slope = slope - slope.mean((1, 2), keepdims=True)
        change = (slope * miss).sum((1, 2)) / np.maximum((slope**2).sum((1, 2)), 1e-6)
        shift = shift + change.clip(-1, 1)
    good = (miss**2).mean((1, 2)) < (_MAX_MISS * aim.std((1, 2))) ** 2
    return shift, good & (np.abs(shift) < _SEARCH_PX)


def _profiles(
    cv2: Any, image: np.ndarray, places: np.ndarray, normals: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return the brightness [N, S, 3] at `steps` [N or 1, S] pixels along normals, in three rows."""
    along = np.stack([-normals[:, 1], normals[:, 0]], -1)
    at = places[:, None, None] + steps[..., None, None] * normals[:, None, None]
    at = (at + _PROFILE_ROWS_PX[:, None] * along[:, None, None]).astype(np.float32)
    flat = at.reshape(len(at), -1, 2)
    values = cv2.remap(image, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(at.shape[:-1])
