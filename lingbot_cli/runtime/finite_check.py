"""Check of latents for NaN and infinity, on the host, after the copy that every chunk makes anyway."""

from typing import TYPE_CHECKING

import numpy as np

from lingbot_cli.errors import SetupError

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session


def all_finite(values: np.ndarray) -> bool:
    """Return whether no value of a float32 array is NaN or infinite."""
    # One pass without a mask: a NaN or an infinity makes the sum of squares one, and finite latents do not overflow.
    flat = np.ascontiguousarray(values).reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(flat, flat)
    return bool(np.isfinite(total) or np.isfinite(flat).all())


def check_latents(latents: np.ndarray, session: "Session", index: int) -> None:
    """Raise SetupError for a generated chunk whose latents are not finite; `index` counts from 0."""
    if all_finite(latents):
        return
    model = session.model
    precision = str(model.transformer.dtype).removeprefix("torch.")
    remedies = ["`lingbot models verify` finds damaged weights"]
    if precision == "float16":
        remedies.insert(0, "use --precision bfloat16, which does not overflow")
    raise SetupError(
        f"chunk {index + 1}: {model.preset.name} computed NaN or infinite latents in {precision}",
        hint=f"{'; '.join(remedies)}; leave out speed options and --kernel to exclude them",
    )
