"""Ray casting in the courtyard: the surface that a ray hits, and the light on it.

Axes as in cameras: x east, y down, z north; the ground is y = 0, and a second's walk is 0.8 units.
The walls stand at ±WALL around a pool in the middle; behind them stands one landmark per
direction: a tower in the north, a gate to the sea in the east, a tree in the south, a dome in the west.
"""

import torch

from training.place.palette import SURFACES

WALL = 6.0
HEIGHT = 2.0
EYE = 1.0
REACH = 4.8  # limit of walks, from the middle
_ID = {name: i for i, name in enumerate(SURFACES)}
_SUN = (0.557, -0.658, -0.506)
_LAMP = (-0.577, -0.577, 0.577)


class Canvas:
    """Surface and light of every ray, painted from far to near.

    Both are stored in one number, surface + light, so that painting is a single pass.
    """

    def __init__(self, light: torch.Tensor) -> None:
        self.code = light.clamp(0, 0.999)  # surface 0 is the sky

    def paint(self, where: torch.Tensor, name: str, light: torch.Tensor | float) -> None:
        light = light.clamp(0, 0.999) if isinstance(light, torch.Tensor) else light
        self.code = torch.where(where, light + _ID[name], self.code)


class Rays:
    """Ray origins and directions by axis, with terms that several shapes share."""

    def __init__(self, origin: torch.Tensor, ray: torch.Tensor) -> None:
        self.ox, self.oy, self.oz = origin.unbind(0)
        self.dx, self.dy, self.dz = ray.unbind(0)
        self.flat = self.dx * self.dx + self.dz * self.dz
        self.square = self.flat + self.dy * self.dy
        self.inverse_length = self.square.rsqrt()
        self.rise = -self.dy * self.inverse_length


def _ball(r: Rays, centre: tuple[float, float, float], radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whether each ray hits the ball, and the light on its near side."""
    x, y, z = r.ox - centre[0], r.oy - centre[1], r.oz - centre[2]
    b = r.dx * x + r.dy * y + r.dz * z
    disc = b * b - r.square * (x * x + y * y + z * z - radius * radius)
    t = (-b - disc.clamp_min(0).sqrt()) / r.square
    sx, sy, sz = _SUN
    lit = (x * sx + y * sy + z * sz) + t * (r.dx * sx + r.dy * sy + r.dz * sz)
    return (disc > 0) & (t > 0), 0.5 + lit * (0.5 / radius)


def _tower(
    canvas: Canvas, r: Rays, centre: tuple[float, float], radius: float, top: float, tip: float
) -> None:
    """Paint a round tower with a pointed roof."""
    x, z = r.ox - centre[0], r.oz - centre[1]
    across = r.dx * x + r.dz * z
    sx, _, sz = _SUN

    def lit(t: torch.Tensor, reach: float) -> torch.Tensor:
        return 0.5 + (0.5 / reach) * ((x + t * r.dx) * sx + (z + t * r.dz) * sz)

    disc = across * across - r.flat * (x * x + z * z - radius * radius)
    t = (-across - disc.clamp_min(0).sqrt()) / r.flat
    canvas.paint((disc > 0) & (t > 0) & (r.oy + t * r.dy > -top), "tower", lit(t, radius))

    eaves = radius * 1.35
    slope = eaves / (tip - top)
    h = (r.oy + tip) * slope  # distance below the tip, as a radius
    v = r.dy * slope
    a, b, c = r.flat - v * v, across - h * v, x * x + z * z - h * h
    disc = b * b - a * c
    t = (-b - disc.clamp_min(0).sqrt()) / torch.where(a.abs() < 1e-6, 1e-6, a)
    y = r.oy + t * r.dy
    canvas.paint((disc > 0) & (t > 0) & (y > -tip) & (y < -top), "roof", lit(t, eaves))


def shade_rays(origin: torch.Tensor, ray: torch.Tensor) -> torch.Tensor:
    """Return surface + light (0…0.999) of rays [3, ...] from origins [3, ...] broadcast to them."""
    r = Rays(origin, ray)
    sky = (r.rise * 1.4).clamp(0, 1).sqrt()
    canvas = Canvas(sky)
    lamp = (r.dx * _LAMP[0] + r.dy * _LAMP[1] + r.dz * _LAMP[2]) * r.inverse_length
    canvas.paint(lamp > 0.9925, "lamp", 0.5)
    canvas.paint(*_named(_ball(r, (0.0, -3.0, -9.0), 2.6), "crown"))
    canvas.paint(*_named(_ball(r, (-9.5, -1.8, 0.0), 3.0), "dome"))
    _tower(canvas, r, (0.0, 8.5), 1.3, 4.6, 7.0)
    _walls(canvas, r, sky)

    t = -r.oy / torch.where(r.dy == 0, 1e-6, r.dy)
    x, z = (r.ox + t * r.dx).abs(), (r.oz + t * r.dz).abs()
    ground = r.dy > 0
    ground &= torch.maximum(x, z) < WALL
    r2 = x * x + z * z
    light = 1 - 0.55 * ((torch.maximum(x, z) - 3.2) / 2.8).clamp(0, 1) ** 2
    canvas.paint(ground, "ground", light)
    canvas.paint(ground & (torch.minimum(x, z) < 0.8), "path", light)
    canvas.paint(ground & (r2 < 2.0**2), "rim", light)
    canvas.paint(ground & (r2 < 1.6**2), "pool", r2 / 2.56)
    return canvas.code


def _named(hit: tuple[torch.Tensor, torch.Tensor], name: str) -> tuple[torch.Tensor, str, torch.Tensor]:
    return hit[0], name, hit[1]


def _walls(canvas: Canvas, r: Rays, sky: torch.Tensor) -> None:
    """Paint the four walls, each with one large feature."""
    tx = (torch.sign(r.dx) * WALL - r.ox) / torch.where(r.dx == 0, 1e-6, r.dx)
    tz = (torch.sign(r.dz) * WALL - r.oz) / torch.where(r.dz == 0, 1e-6, r.dz)
    t = torch.minimum(tx, tz)
    y = r.oy + t * r.dy
    across = tx < tz
    along = torch.where(across, r.oz + t * r.dz, r.ox + t * r.dx)
    wall = (y > -HEIGHT) & (y <= 0)
    up = (1 + y / HEIGHT).clamp(0, 1)  # 1 at the foot
    light = 1 - up * (0.3 + (0.7 / WALL**2) * along * along)
    sideways, ahead = wall & across, wall & ~across
    east, west, north, south = (
        sideways & (r.dx > 0),
        sideways & (r.dx < 0),
        ahead & (r.dz > 0),
        ahead & (r.dz < 0),
    )
    for where, name in ((east, "east"), (west, "west"), (north, "north"), (south, "south")):
        canvas.paint(where, name, light)
    canvas.paint(wall & (y < -HEIGHT + 0.25), "cap", light)
    square = along * along
    canvas.paint(north & (square + ((y + 0.7).clamp_max(0) / 0.85) ** 2 < 1), "door", light)
    arch = (y + 0.5).clamp_max(0) ** 2
    canvas.paint(east & (square / 4 + arch / 1.69 < 1), "gate", light)
    opening = east & (square / 2.56 + arch < 1)
    canvas.paint(opening, "sky", sky)
    canvas.paint(opening & (r.rise < 0), "sea", 1 + r.rise * 3)
    canvas.paint(west & (square + (y + 0.95) ** 2 < 0.62**2), "rose", light)
