"""Pacing of chunks: render each as late as possible, with the newest keys, and send it when it is due."""

SAFETY_MARGIN_S = 0.05  # a chunk is ready this long before it is due


class ChunkPacer:
    """Schedule in monotonic seconds; the frames that were sent last until `due`."""

    def __init__(self) -> None:
        self.due = 0.0
        self._render_s = 0.0

    def render_delay(self, now: float) -> float:
        """Return the seconds until the next chunk should be rendered."""
        return max(0.0, self.due - self._render_s - SAFETY_MARGIN_S - now)

    def send_delay(self, now: float) -> float:
        """Return the seconds until the next chunk should be sent."""
        return max(0.0, self.due - now)

    def chunk_sent(self, duration_s: float, render_s: float, now: float) -> None:
        """Record a chunk of `duration_s` that took `render_s` to render."""
        # Slower chunks raise the estimate at once, faster ones lower it gradually.
        self._render_s = max(render_s, 0.8 * self._render_s + 0.2 * render_s)
        self.due = max(self.due, now) + duration_s
