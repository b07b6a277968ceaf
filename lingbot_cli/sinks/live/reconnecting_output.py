"""A live output that outlives its connections: what it is given is sent, or lost and counted, never waited for."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lingbot_cli.errors import StreamLostError
from lingbot_cli.sinks.live.connections import OutputConnection
from lingbot_cli.sinks.live.send_queue import SendQueue

T = TypeVar("T")
_MIN_RETRY_DELAY_S, _MAX_RETRY_DELAY_S = 0.25, 10.0  # seconds between two tries
_STABLE_CONNECTION_S = 10.0  # seconds a connection stands to be one that holds
_MAX_BACKOFF_STEPS = 6  # connections that did not: by then a try is as late as it gets
_CLOSE_TIMEOUT_S = 4.0  # seconds another side gets to take the rest at the end
_THREAD_EXIT_TIMEOUT_S = 1.0  # seconds the thread gets to see that all is given up


@dataclass(frozen=True)
class Outage:
    """A time without a connection: why, how many seconds (None while it lasts) and frames."""

    name: str
    reason: str
    seconds: float | None = None
    frames: int = 0


@dataclass(frozen=True)
class OutputStats:
    """The figures of one output: frames sent and lost, connections made again, and whether one stands."""

    name: str
    sent: int
    lost: int
    reconnects: int
    connected: bool


def retry_delay(away: float, flaps: int = 0) -> float:
    """How long to wait before the next try after so many seconds, and connections that broke soon."""
    return min(max(_MIN_RETRY_DELAY_S * 2 ** min(flaps, _MAX_BACKOFF_STEPS), away / 10), _MAX_RETRY_DELAY_S)


class ReconnectingOutput(Generic[T]):
    """Sends what is put into `backlog` to wherever `connect` leads, and connects again when that is lost.

    It begins to connect at once. `tell` hears, in this output's thread, of every gap's beginning and end.
    `closing`: seconds to send what waits and end well, None for as long as it takes.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], OutputConnection[T]],
        backlog: SendQueue[T],
        tell: Callable[[Outage], None],
        *,
        closing: float | None = _CLOSE_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._connect = connect
        self._backlog = backlog
        self._tell = tell
        self._closing = closing
        self._failure: Exception | None = None
        self._started = threading.Event()
        self._ending = threading.Event()
        self._whole = False
        self._abandoned = False
        self._parting = threading.Lock()
        self._kept: str | None = None
        self._link: OutputConnection[T] | None = None
        self._sent = 0  # by connections that are over
        self._reconnects = 0
        self._since = time.monotonic()  # of the connection that stands, or stood last
        self._worked = self._since, 0  # when it last took something, and the frames lost until then
        self._flaps = 0
        self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
        self._thread.start()

    def wait_started(self, seconds: float) -> None:
        """Wait for the first connection; StreamLostError, or what else it failed with, when there is none."""
        if not self._started.wait(max(0.0, seconds)):
            self._ending.set()
            raise StreamLostError(f"{self.name} could not be reached: no answer")
        self.check()

    def put(self, item: T) -> None:
        """Hand over a frame or a tag; it is lost when there is no connection or too much waits for it."""
        self._backlog.put(item, connected=self._link is not None)

    def check(self) -> None:
        """Raise what connecting again cannot mend."""
        if self._failure is not None:
            raise self._failure

    @property
    def stats(self) -> OutputStats:
        link = self._link
        sent = self._sent + (link.sent if link is not None else 0)
        return OutputStats(self.name, sent, self._backlog.lost, self._reconnects, link is not None)

    def close(self) -> None:
        """Send what waits and end; StreamLostError when there is no connection that could end well."""
        self._ending.set()
        self._backlog.end()
        if self._link is not None:
            self._thread.join(self._closing)
        self.check()
        if not self._whole:
            self.abandon()
            raise StreamLostError(f"{self.name} was away when the stream ended")

    def abandon(self) -> str | None:
        """End at once and never raise; what is kept."""
        self._abandoned = True
        self._ending.set()
        self._backlog.end()
        self._thread.join(_THREAD_EXIT_TIMEOUT_S)
        self._part()  # from here, when the thread hangs in the connection
        return self._kept

    def _run(self) -> None:
        """Send, and connect again; whatever ends that, `check` raises it where somebody hears."""
        try:
            link: OutputConnection[T] | None = self._connect()
            while link is not None:
                broken = self._pump(link)
                link = self._again(broken) if broken is not None else None
        except Exception as failure:
            self._failure = failure
        finally:
            self._started.set()

    def _pump(self, link: OutputConnection[T]) -> StreamLostError | None:
        """Send until the stream ends, None, or the connection does, why."""
        self._link = link
        self._started.set()
        self._since = time.monotonic()
        self._worked = self._since, self._backlog.lost
        try:
            while (item := self._backlog.get()) is not None and not self._abandoned:
                link.send(item)
                self._worked = time.monotonic(), self._backlog.lost
            if not self._abandoned:  # said before the backlog's end is, so what ended well is whole
                link.close()
                self._whole = True
                self._link = None
        except StreamLostError as broken:
            return broken
        finally:
            self._part()
            self._sent += link.sent
        return None

    def _part(self) -> None:
        """Give up the connection that stands: once, and while one thread does, the other waits."""
        with self._parting:
            link, self._link = self._link, None
            if link is not None:
                self._kept = link.abandon()

    def _again(self, broken: StreamLostError) -> OutputConnection[T] | None:
        """Connect again, however long it takes; None when the stream ends meanwhile."""
        since, before = self._worked  # what hangs is noticed long after it broke
        self._flaps = self._flaps + 1 if since - self._since < _STABLE_CONNECTION_S else 0
        self._backlog.rewind()
        if not self._ending.is_set():
            self._tell(Outage(self.name, str(broken)))
        while not self._ending.wait(retry_delay(time.monotonic() - since, self._flaps)):
            try:
                link = self._connect()
            except StreamLostError:
                continue
            self._reconnects += 1
            self._tell(Outage(self.name, str(broken), time.monotonic() - since, self._backlog.lost - before))
            return link
        return None
