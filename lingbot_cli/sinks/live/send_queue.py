"""What waits to be sent: bounded, and when it is too much, lost and counted."""

import threading
from typing import Generic, TypeVar

import numpy as np

from lingbot_cli.sinks.live.rtmp_protocol import FlvTag

T = TypeVar("T")
_POLL_INTERVAL_S = 0.5  # seconds; a reader looks up now and then, should nobody wake it


class SendQueue(Generic[T]):
    """A queue that never makes its writer wait and holds `most`; `lost` counts the frames that did not fit.

    `_items` from `_next` on wait; those before it were taken.
    """

    def __init__(self, most: int) -> None:
        self.lost = 0
        self._most = most
        self._items: list[T] = []
        self._next = 0
        self._over = False
        self._news = threading.Condition()

    def put(self, item: T, *, connected: bool) -> None:
        """Add an item, or lose it, or what waited before it."""
        with self._news:
            self._add(item, connected)
            self._news.notify_all()

    def get(self) -> T | None:
        """The next item, waiting for it; None once `end` was said and nothing waits."""
        with self._news:
            while self._next >= len(self._items):
                if self._over:
                    return None
                self._news.wait(_POLL_INTERVAL_S)
            self._next += 1
            return self._items[self._next - 1]

    def end(self) -> None:
        """Nothing more will come."""
        with self._news:
            self._over = True
            self._news.notify_all()

    def rewind(self) -> None:
        """The connection is lost: make ready for another."""
        with self._news:
            self._rewind()

    def _add(self, item: T, connected: bool) -> None:
        raise NotImplementedError

    def _rewind(self) -> None:
        raise NotImplementedError


class FrameQueue(SendQueue[np.ndarray]):
    """Frames [H, W, 3], at most `most` of them; without a connection none."""

    def _add(self, item: np.ndarray, connected: bool) -> None:
        del self._items[: self._next]
        self._next = 0
        if not connected or len(self._items) >= self._most:
            self.lost += 1
        else:
            self._items.append(item)

    def _rewind(self) -> None:
        self.lost += len(self._items) - self._next
        self._items, self._next = [], 0


class TagQueue(SendQueue[FlvTag]):
    """Encoded tags from a keyframe on, also those sent since the last one: a new connection begins there.

    `settings` are the codecs' own words, which every connection hears first. When a keyframe comes and
    nobody is connected or more than `most` milliseconds wait, those are lost.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._settings: dict[int, FlvTag] = {}

    def settings(self) -> list[FlvTag]:
        """What a connection must hear before its first keyframe."""
        with self._news:
            return list(self._settings.values())

    def _add(self, item: FlvTag, connected: bool) -> None:
        if item.is_settings:
            self._settings[item.kind] = item
            return
        if item.is_keyframe:
            waiting = self._items[self._next :]
            if not connected or (waiting and item.time - waiting[0].time > self._most):
                self._skip_to(len(self._items))
            del self._items[: self._next]
            self._next = 0
        self._items.append(item)

    def _rewind(self) -> None:
        last = max((i for i, tag in enumerate(self._items) if tag.is_keyframe), default=len(self._items))
        self._skip_to(last)

    def _skip_to(self, index: int) -> None:
        self.lost += sum(tag.is_picture for tag in self._items[self._next : index])
        self._next = index
