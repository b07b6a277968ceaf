"""Plot of a camera check: errors of rotation and heading and the share of the speed, second by second."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from lingbot_cli.diagnostics.camera_check import CameraCheck
from lingbot_cli.fonts import choose_font

_WIDTH_PX, _ROW_PX, _LEFT_PX, _RIGHT_PX, _TOP_PX = 900, 150, 70, 20, 34
_PAPER, _INK, _PALE, _LINE, _BAD = (
    (255, 255, 255),
    (40, 40, 40),
    (205, 205, 205),
    (30, 100, 200),
    (210, 50, 40),
)


def draw_camera_check(check: CameraCheck) -> Image.Image:
    """Draw three charts over the time in seconds; a dashed line is the limit, red what is beyond it."""
    limits, seconds, fps = check.limits, check.seconds, check.recorded.fps
    lengths = [(each.end - each.start) / fps for each in seconds]
    rotation = [
        None if each.rotation_error is None else each.rotation_error / length
        for each, length in zip(seconds, lengths, strict=True)
    ]
    charts = (
        ("rotation error, degrees a second", rotation, (limits.rotation,)),
        ("heading error, degrees", [each.heading_error for each in seconds], (limits.heading,)),
        (
            "speed, share of the recorded",
            [each.speed for each in seconds],
            (1 - limits.speed, 1 + limits.speed),
        ),
    )
    image = Image.new("RGB", (_WIDTH_PX, len(charts) * _ROW_PX + 10), _PAPER)
    pen = ImageDraw.Draw(image)
    spans = [(each.start / fps, each.end / fps) for each in seconds]
    for row, (title, values, bounds) in enumerate(charts):
        _draw_chart(pen, row * _ROW_PX, title, spans, values, bounds)
    return image


def _draw_chart(
    pen: ImageDraw.ImageDraw,
    top: int,
    title: str,
    spans: Sequence[tuple[float, float]],
    values: Sequence[float | None],
    bounds: Sequence[float],
) -> None:
    end = max((span[1] for span in spans), default=1.0)
    largest = 1.25 * max([*bounds, *(value for value in values if value is not None)]) or 1.0
    foot, height = top + _ROW_PX - 22, _ROW_PX - 22 - _TOP_PX

    def place(time: float, value: float) -> tuple[float, float]:
        across = _WIDTH_PX - _LEFT_PX - _RIGHT_PX
        return _LEFT_PX + time / end * across, foot - value / largest * height

    label, font = choose_font(title, 13)
    pen.text((_LEFT_PX, top + 10), label, _INK, font)
    pen.line([place(0, 0), place(end, 0)], _INK)
    for time in range(int(end) + 1):
        pen.text(place(time, 0), f"{time} s", _INK, font, anchor="ma")
    for bound in bounds:
        y = place(0, bound)[1]
        pen.text((_LEFT_PX - 6, y), f"{bound:g}", _INK, font, anchor="rm")
        for x in range(_LEFT_PX, _WIDTH_PX - _RIGHT_PX, 10):
            pen.line([(x, y), (x + 5, y)], _PALE, 1)
    low, high = (bounds[0], bounds[1]) if len(bounds) > 1 else (0.0, bounds[0])
    for (begin, stop), value in zip(spans, values, strict=True):
        if value is None:
            pen.text(place((begin + stop) / 2, largest / 2), "unknown", _PALE, font, anchor="mm")
            continue
        colour = _LINE if low <= value <= high else _BAD
        pen.line([place(begin, value), place(stop, value)], colour, 3)
