"""Animatic: a quick preview of the camera path in a grid space of floor, ceiling and image, without a model."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lingbot_cli.camera.plucker import scale_intrinsics
from lingbot_cli.camera.pose import invert_poses
from lingbot_cli.fonts import choose_font
from lingbot_cli.image import crop_to_aspect
from lingbot_cli.sinks.overlay import Caption, caption_layer
from lingbot_cli.timeline.compile import CompiledTimeline, iter_controls

IMAGE_DISTANCE = 4.0  # units from the first camera
_GRID_EXTENT = 24  # units to every side
_NEAR_PLANE = 0.05
_FLOOR, _CEILING, _SKY, _IMAGE_BACK = (96, 132, 150), (120, 104, 128), (22, 25, 33), (60, 64, 76)
_PAPER, _INK = (208, 200, 184), (96, 90, 80)


@dataclass(frozen=True, eq=False)
class GridSpace:
    """An image that fills the view of the camera `start` [4, 4], and a grid along its lower and upper edges."""

    image: Image.Image
    start: np.ndarray
    corners: np.ndarray  # [4, 3]: top left, top right, bottom right, bottom left
    lines: np.ndarray  # [L, 2, 3]
    colours: tuple[tuple[int, int, int], ...]


def build_space(image: np.ndarray, start: np.ndarray, intrinsics: np.ndarray) -> GridSpace:
    """Build a scene's space: `image` uint8 [H, W, 3] of the video's size, `intrinsics` [4] for 832×480; y is down."""
    height, width = image.shape[:2]
    fx, fy, cx, cy = scale_intrinsics(intrinsics, height, width)
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
    return GridSpace(Image.fromarray(image), start, corners, np.array(lines), tuple(colours))


def draw_view(space: GridSpace, pose: np.ndarray, intrinsics: np.ndarray) -> Image.Image:
    """Draw the view of a camera at `pose` [4, 4], in the size of the space's image."""
    width, height = space.image.size
    view = invert_poses(pose) @ space.start
    scaled = scale_intrinsics(intrinsics, height, width)
    image = Image.new("RGB", (width, height), _SKY)
    draw = ImageDraw.Draw(image)
    lines, visible = _project_lines(space.lines, view, scaled, (width, height))
    for index in visible:
        draw.line(lines[index], fill=space.colours[index])
    _draw_image(image, draw, space, view, scaled)
    return image


def _project_lines(
    lines: np.ndarray, view: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[list[list[float]], list[int]]:
    """Return lines [L, 2, 3] as x, y, x, y in pixels, cut at the frame, and the indices of the visible ones."""
    ends = lines @ view[:3, :3].T + view[:3, 3]
    depth = ends[..., 2]
    a, b = ends[:, 0], ends[:, 1]
    cut = a + (b - a) * ((_NEAR_PLANE - a[:, 2]) / _not_zero(b[:, 2] - a[:, 2]))[:, None]
    ends = np.where((depth > _NEAR_PLANE)[..., None], ends, cut[:, None])
    pixels = ends[..., :2] / np.maximum(ends[..., 2:], _NEAR_PLANE) * intrinsics[:2] + intrinsics[2:]
    # Cut at the frame, as Pillow would step along the rest pixel by pixel.
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
    frame: Image.Image, draw: ImageDraw.ImageDraw, space: GridSpace, view: np.ndarray, intrinsics: np.ndarray
) -> None:
    """Draw the space's image; from behind only a plain back."""
    corners = space.corners @ view[:3, :3].T + view[:3, 3]
    outline = _clip_to_near_plane(corners)
    if len(outline) < 3:
        return
    points = outline[:, :2] / outline[:, 2:] * intrinsics[:2] + intrinsics[2:]
    polygon = [(float(x), float(y)) for x, y in np.clip(points, -1e5, 1e5)]
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    if normal @ corners[0] <= 0:
        draw.polygon(polygon, fill=_IMAGE_BACK, outline=_FLOOR)
        return
    width, height = frame.size
    low = np.floor(np.clip(points.min(0), 0, [width, height])).astype(int)
    high = np.ceil(np.clip(points.max(0), 0, [width, height])).astype(int)
    if (high <= low).any():
        return
    box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    size = (box[2] - box[0], box[3] - box[1])
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).polygon([(x - box[0], y - box[1]) for x, y in polygon], fill=255)
    # Nearest: smoothing takes four times as long.
    projected = space.image.transform(
        size,
        Image.Transform.PERSPECTIVE,
        _homography(corners, intrinsics, box, frame.size),
        Image.Resampling.NEAREST,
    )
    frame.paste(projected, box[:2], mask)


def _clip_to_near_plane(corners: np.ndarray) -> np.ndarray:
    """Return the part of a polygon [N, 3] in front of the near plane (Sutherland–Hodgman)."""
    clipped = []
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        if a[2] > _NEAR_PLANE:
            clipped.append(a)
        if (a[2] > _NEAR_PLANE) != (b[2] > _NEAR_PLANE):
            clipped.append(a + (b - a) * (_NEAR_PLANE - a[2]) / (b[2] - a[2]))
    return np.array(clipped)


def _homography(
    corners: np.ndarray, intrinsics: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[float, ...]:
    """Return the coefficients of Pillow's perspective transform from the box to the image."""
    fx, fy, cx, cy = intrinsics
    across, down = (corners[1] - corners[0]) / size[0], (corners[3] - corners[0]) / size[1]
    camera = np.array([[fx, 0, cx - box[0]], [0, fy, cy - box[1]], [0, 0, 1]])
    back = np.linalg.inv(camera @ np.stack([across, down, corners[0]], 1))
    return tuple((back / back[2, 2]).reshape(-1)[:8].tolist())


def animatic_frames(
    compiled: CompiledTimeline, images: Mapping[Path | None, np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield the video's frames, uint8 RGB [1, H, W, 3] each.

    `images` [H, W, 3] of the video's size: the first scene's under None, each cut's under its path.
    """
    for chunk, control in zip(compiled.chunks, iter_controls(compiled), strict=True):
        if chunk.start == chunk.scene_start:
            first = chunk.start
            space = build_space(images[control.cut], compiled.poses[first], compiled.intrinsics[first])
        for frame in range(chunk.start, chunk.start + control.frames):
            image = draw_view(space, compiled.poses[frame], compiled.intrinsics[frame])
            caption = Caption(compiled.keys[frame], control.prompt)
            for colour, cover, where in _caption_parts(caption, image.height, image.width):
                image.paste(colour, where, cover)
            _draw_time_code(image, frame, compiled.grid.fps)
            yield np.asarray(image)[None]


def placeholder_image(height: int, width: int, title: str) -> np.ndarray:
    """Return a plain image [H, W, 3] with a title, for a video without a first image."""
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    for share in (1 / 3, 2 / 3):
        draw.line((width * share, 0, width * share, height), fill=_INK)
        draw.line((0, height * share, width, height * share), fill=_INK)
    draw.rectangle((0, 0, width - 1, height - 1), outline=_INK, width=max(1, height // 80))
    title, font = choose_font(title, max(10, height // 12))
    draw.text((width / 2, height / 2), title, fill=_INK, anchor="mm", font=font)
    return np.asarray(image)


def fit_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Crop and resize an image [H, W, 3] to the video's size."""
    part = Image.fromarray(crop_to_aspect(image, height, width))
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC))


@lru_cache(64)
def _caption_parts(
    caption: Caption, height: int, width: int
) -> list[tuple[Image.Image, Image.Image, tuple[int, int]]]:
    """Return the caption's parts at the top and the bottom: colour, mask and position."""
    colour, cover = caption_layer(caption, height, width)
    colours, covers = (
        Image.fromarray(colour.astype(np.uint8)),
        Image.fromarray(cover[..., 0].astype(np.uint8)),
    )
    parts = []
    for top, bottom in ((0, height // 2), (height // 2, height)):
        if box := covers.crop((0, top, width, bottom)).getbbox():
            left, upper, right, lower = box[0], box[1] + top, box[2], box[3] + top
            area = (left, upper, right, lower)
            parts.append((colours.crop(area), covers.crop(area), (left, upper)))
    return parts


@lru_cache(1)
def _time_code_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _draw_time_code(image: Image.Image, frame: int, fps: float) -> None:
    seconds = int(frame / fps)
    rest = frame - math.ceil(seconds * fps)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"
    size = max(10, image.height // 24)
    where = (image.width / 2, image.height - size)
    ImageDraw.Draw(image).text(where, text, fill=(255, 255, 255), anchor="mm", font=_time_code_font(size))
