"""When a chunk is due, and how late it may be begun, so that it hears the newest keys."""

SAFETY_MARGIN_S = 0.05  # seconds a chunk is ready before it must be


class ChunkPacer:
    """Counts in monotonic seconds; what has been sent lasts until `due`."""

    def __init__(self) -> None:
        self.due = 0.0
        self._making = 0.0

    def until_begin(self, now: float) -> float:
        """Seconds until the next chunk should be begun."""
        return max(0.0, self.due - self._making - SAFETY_MARGIN_S - now)

    def until_due(self, now: float) -> float:
        """Seconds until the next chunk should go out."""
        return max(0.0, self.due - now)

    def sent(self, lasts: float, making: float, now: float) -> None:
        """A chunk that is watched for `lasts` seconds and took `making` has gone out."""
        # Quick to believe that chunks take longer, slow to believe that they take less.
        self._making = max(making, 0.8 * self._making + 0.2 * making)
        self.due = max(self.due, now) + lasts
