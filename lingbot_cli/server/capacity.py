"""Capacity of the server: players that its measured speed allows at a frame rate."""

from collections import deque

MEASURED_CHUNKS = 32  # the newest, of all sessions


class Capacity:
    """At most `max_players`, and with `min_fps` as many as get that frame rate each, but at least one.

    Sessions are rendered in turn, so a player gets the rendered frames a second divided by the players.
    """

    def __init__(self, max_players: int, min_fps: float | None = None) -> None:
        self._max_players = max_players
        self._min_fps = min_fps
        self._measured: deque[tuple[int, float]] = deque(maxlen=MEASURED_CHUNKS)

    def chunk_rendered(self, frames: int, render_s: float) -> None:
        """Record a chunk that continued a session; a first one, which encodes its image, is left out."""
        self._measured.append((frames, render_s))

    @property
    def fps(self) -> float:
        """Frames a second that are rendered for all players together; 0 before any is measured."""
        if not self._measured:
            return 0.0
        return sum(frames for frames, _ in self._measured) / sum(seconds for _, seconds in self._measured)

    @property
    def players(self) -> int:
        """Number of players at a time."""
        if self._min_fps is None:
            return self._max_players
        return max(1, min(self._max_players, int(self.fps / self._min_fps)))

    def __str__(self) -> str:
        players = self.players
        limit = f"this server holds {players} player{'s' * (players > 1)}"
        if self._min_fps is None:
            return limit
        if not self._measured:
            return f"{limit} until its speed is measured"
        return f"{limit} at {min(self._min_fps, self.fps):.3g} fps"
