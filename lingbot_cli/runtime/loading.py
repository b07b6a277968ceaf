"""Tells how far the loading of a large model is, and nothing of a small one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lingbot_cli.runtime.memory import gigabytes

if TYPE_CHECKING:
    from lingbot_cli.model.loading.tensor_io import LoadProgress

REPORT_INTERVAL_S = 5.0
MIN_REPORTED_S = 1.0


def load_progress(note: Callable[[str], None]) -> Callable[["LoadProgress"], None]:
    """A report for `load_model`: a line every five seconds, and one for a part that took more than one."""
    last: dict[str, float] = {}

    def report(progress: "LoadProgress") -> None:
        whole = progress.done == progress.total and progress.seconds >= MIN_REPORTED_S
        if whole or progress.seconds - last.get(progress.part, 0.0) >= REPORT_INTERVAL_S:
            last[progress.part] = progress.seconds
            note(
                f"loading the {progress.part}: {gigabytes(progress.done)} of {gigabytes(progress.total)}, "
                f"{progress.seconds:.0f} s"
            )

    return report
