"""Send queue of a live output: bounded, never blocks its writer, drops and counts what does not fit."""

import threading
from typing import Generic, TypeVar

import numpy as np

from lingbot_cli.sinks.live.rtmp_protocol import FlvTag

T = TypeVar("T")
MAX_QUEUE_S = 4.0  # seconds of video that wait for a slow connection
_POLL_INTERVAL_S = 0.5


class SendQueue(Generic[T]):
    """Queue that holds up to `capacity` and never blocks its writer; `lost` counts the frames dropped.

    `_items` from `_next` on are waiting; those before it have been taken.
    """

    def __init__(self, capacity: int) -> None:
        self.lost = 0
        self._capacity = capacity
        self._items: list[T] = []
        self._next = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, *, connected: bool) -> None:
        """Add an item; drop it, or older ones, when there is no room or no connection."""
        with self._changed:
            self._add(item, connected)
            self._changed.notify_all()

    def get(self) -> T | None:
        """Wait for the next item and return it; None when the queue is closed and empty."""
        with self._changed:
            while self._next >= len(self._items):
                if self._closed:
                    return None
                self._changed.wait(_POLL_INTERVAL_S)
            self._next += 1
            return self._items[self._next - 1]

    def close(self) -> None:
        """Accept no more items; those waiting can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def rewind(self) -> None:
        """Prepare for a new connection after one was lost."""
        with self._changed:
            self._rewind()

    def _add(self, item: T, connected: bool) -> None:
        raise NotImplementedError

    def _rewind(self) -> None:
        raise NotImplementedError


class FrameQueue(SendQueue[np.ndarray]):
    """Queue of up to `capacity` frames [H, W, 3]; drops all of them without a connection."""

    def _add(self, item: np.ndarray, connected: bool) -> None:
        del self._items[: self._next]
        self._next = 0
        if not connected or len(self._items) >= self._capacity:
            self.lost += 1
        else:
            self._items.append(item)

    def _rewind(self) -> None:
        self.lost += len(self._items) - self._next
        self._items, self._next = [], 0


class TagQueue(SendQueue[FlvTag]):
    """Queue of encoded FLV tags since the last keyframe, sent ones included: a new connection begins there.

    When a keyframe arrives and there is no connection or more than `capacity` milliseconds wait, older tags are
    dropped.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._headers: dict[int, FlvTag] = {}

    def headers(self) -> list[FlvTag]:
        """Return the codec headers, which every connection must receive before its first keyframe."""
        with self._changed:
            return list(self._headers.values())

    def _add(self, item: FlvTag, connected: bool) -> None:
        if item.is_header:
            self._headers[item.kind] = item
            return
        if item.is_keyframe:
            waiting = self._items[self._next :]
            if not connected or (waiting and item.time - waiting[0].time > self._capacity):
                self._skip_to(len(self._items))
            del self._items[: self._next]
            self._next = 0
        self._items.append(item)

    def _rewind(self) -> None:
        last = max((i for i, tag in enumerate(self._items) if tag.is_keyframe), default=len(self._items))
        self._skip_to(last)

    def _skip_to(self, index: int) -> None:
        self.lost += sum(tag.is_frame for tag in self._items[self._next : index])
        self._next = index
