"""A gridded space with a picture standing in it, drawn as a camera sees it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lingbot_cli.camera.plucker import scale_intrinsics
from lingbot_cli.camera.relative_pose import invert_poses

IMAGE_DISTANCE = 4.0  # units from the first camera to the picture
_GRID_EXTENT = 24  # units of grid to every side
_NEAR_PLANE = 0.05
_FLOOR, _CEILING, _SKY, _IMAGE_BACK = (96, 132, 150), (120, 104, 128), (22, 25, 33), (60, 64, 76)


@dataclass(frozen=True, eq=False)
class GridSpace:
    """A picture that fills the view of the camera `start` [4, 4] with `lens` [4], and a grid around it.

    Its floor is where the picture stands, its ceiling where the picture ends; y is down.
    """

    image: Image.Image
    start: np.ndarray
    corners: np.ndarray  # [4, 3]: top left, top right, bottom right, bottom left
    lines: np.ndarray  # [L, 2, 3]
    colours: tuple[tuple[int, int, int], ...]


def build_space(picture: np.ndarray, start: np.ndarray, lens: np.ndarray) -> GridSpace:
    """The space of a scene: `picture` uint8 [H, W, 3] of the film's size, `lens` for 832×480."""
    height, width = picture.shape[:2]
    fx, fy, cx, cy = scale_intrinsics(lens, height, width)
    left, right, top, bottom = -cx / fx, (width - cx) / fx, -cy / fy, (height - cy) / fy
    corners = (
        np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]) * IMAGE_DISTANCE
    )
    at = np.arange(-_GRID_EXTENT, _GRID_EXTENT + 1, 2.0)
    lines, colours = [], []
    for level, colour in ((bottom * IMAGE_DISTANCE, _FLOOR), (top * IMAGE_DISTANCE, _CEILING)):
        for a in at:
            lines.append([[a, level, -_GRID_EXTENT], [a, level, _GRID_EXTENT]])
            lines.append([[-_GRID_EXTENT, level, a], [_GRID_EXTENT, level, a]])
            colours += [colour, colour]
    return GridSpace(Image.fromarray(picture), start, corners, np.array(lines), tuple(colours))


def draw_view(here: GridSpace, pose: np.ndarray, lens: np.ndarray) -> Image.Image:
    """What a camera at `pose` [4, 4] with `lens` [4] sees, as large as the space's picture."""
    width, height = here.image.size
    seen = invert_poses(pose) @ here.start
    focus = scale_intrinsics(lens, height, width)
    image = Image.new("RGB", (width, height), _SKY)
    draw = ImageDraw.Draw(image)
    lines, shown = _segments(here.lines, seen, focus, (width, height))
    for which in shown:
        draw.line(lines[which], fill=here.colours[which])
    _draw_image(image, draw, here, seen, focus)
    return image


def _segments(
    lines: np.ndarray, seen: np.ndarray, focus: np.ndarray, size: tuple[int, int]
) -> tuple[list[list[float]], list[int]]:
    """Lines [L, 2, 3] as x, y, x, y in pixels inside the picture, and the numbers of those that are seen."""
    ends = lines @ seen[:3, :3].T + seen[:3, 3]
    depth = ends[..., 2]
    a, b = ends[:, 0], ends[:, 1]
    cut = a + (b - a) * ((_NEAR_PLANE - a[:, 2]) / _not_zero(b[:, 2] - a[:, 2]))[:, None]
    ends = np.where((depth > _NEAR_PLANE)[..., None], ends, cut[:, None])
    pixels = ends[..., :2] / np.maximum(ends[..., 2:], _NEAR_PLANE) * focus[:2] + focus[2:]
    # What lies outside is cut off here: the drawing would walk along it pixel by pixel.
    start, way = pixels[:, 0], _not_zero(pixels[:, 1] - pixels[:, 0])
    sides = np.stack([-start / way, (np.array(size) - start) / way])
    enter = np.maximum(sides.min(0).max(1), 0)
    leave = np.minimum(sides.max(0).min(1), 1)
    inside = np.stack([start + way * enter[:, None], start + way * leave[:, None]], 1)
    shown = (depth > _NEAR_PLANE).any(1) & (enter < leave)
    return inside.reshape(-1, 4).tolist(), np.flatnonzero(shown).tolist()


def _not_zero(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < 1e-9, 1e-9, values)


def _draw_image(
    image: Image.Image, draw: ImageDraw.ImageDraw, here: GridSpace, seen: np.ndarray, focus: np.ndarray
) -> None:
    """Draw the picture where it stands; from behind only its back."""
    corners = here.corners @ seen[:3, :3].T + seen[:3, 3]
    outline = _clip_to_near_plane(corners)
    if len(outline) < 3:
        return
    points = outline[:, :2] / outline[:, 2:] * focus[:2] + focus[2:]
    polygon = [(float(x), float(y)) for x, y in np.clip(points, -1e5, 1e5)]
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    if normal @ corners[0] <= 0:
        draw.polygon(polygon, fill=_IMAGE_BACK, outline=_FLOOR)
        return
    width, height = image.size
    low = np.floor(np.clip(points.min(0), 0, [width, height])).astype(int)
    high = np.ceil(np.clip(points.max(0), 0, [width, height])).astype(int)
    if (high <= low).any():
        return
    box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    size = (box[2] - box[0], box[3] - box[1])
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).polygon([(x - box[0], y - box[1]) for x, y in polygon], fill=255)
    # Nearest, since smoothing takes four times as long and a sketch should come at once.
    flat = here.image.transform(
        size,
        Image.Transform.PERSPECTIVE,
        _homography(corners, focus, box, image.size),
        Image.Resampling.NEAREST,
    )
    image.paste(flat, box[:2], mask)


def _clip_to_near_plane(corners: np.ndarray) -> np.ndarray:
    """The part of a polygon [N, 3] in front of the near plane (Sutherland–Hodgman)."""
    kept = []
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        if a[2] > _NEAR_PLANE:
            kept.append(a)
        if (a[2] > _NEAR_PLANE) != (b[2] > _NEAR_PLANE):
            kept.append(a + (b - a) * (_NEAR_PLANE - a[2]) / (b[2] - a[2]))
    return np.array(kept)


def _homography(
    corners: np.ndarray, focus: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[float, ...]:
    """The eight numbers by which a pixel of the box finds its pixel of the picture."""
    across, down = (corners[1] - corners[0]) / size[0], (corners[3] - corners[0]) / size[1]
    camera = np.array([[focus[0], 0, focus[2] - box[0]], [0, focus[1], focus[3] - box[1]], [0, 0, 1]])
    back = np.linalg.inv(camera @ np.stack([across, down, corners[0]], 1))
    return tuple((back / back[2, 2]).reshape(-1)[:8].tolist())
