"""Camera keys: the letters, and the motion of each during one video frame or one latent frame (model §6)."""

WALK_UNITS_PER_FRAME = 0.05  # the published walking speed
TURN_DEGREES_PER_FRAME = 2.0  # the published looking speed
DEFAULT_FPS = 16

# Steps of the realtime protocol, which moves once a latent frame.
WALK_UNITS_PER_LATENT = 0.05
YAW_DEGREES_PER_LATENT = 6.0
PITCH_DEGREES_PER_LATENT = 4.0

# One video frame of motion: forward, right, up in units; yaw, look, pitch, roll in degrees.
# `look` and `pitch` both turn the view up: a look that would leave ±85° is dropped, a pitch is cut short.
FORWARD, RIGHT, UP, YAW, LOOK, PITCH, ROLL = range(7)
AXIS_COUNT = 7

_KEYS = {
    "w": (FORWARD, 1),
    "s": (FORWARD, -1),
    "d": (RIGHT, 1),
    "a": (RIGHT, -1),
    "e": (UP, 1),
    "q": (UP, -1),
    "l": (YAW, 1),
    "j": (YAW, -1),
    "i": (LOOK, 1),
    "k": (LOOK, -1),
}
LETTERS = "".join(_KEYS)
WASD = "wasd"


def key_motion(
    keys: str, speed: float = WALK_UNITS_PER_FRAME, turn_rate: float = TURN_DEGREES_PER_FRAME
) -> tuple[float, ...]:
    """Return one video frame of the held `keys` as a step [7]; opposite keys cancel, a letter counts once."""
    step = [0.0] * AXIS_COUNT
    for letter in set(keys):
        axis, sign = _KEYS[letter]
        step[axis] += sign * (turn_rate if axis in (YAW, LOOK) else speed)
    return tuple(step)


def wasd_held(keys: str) -> tuple[bool, ...]:
    """Return whether w, a, s, d are among `keys`, in this order."""
    return tuple(letter in keys for letter in WASD)
