"""Live output that reconnects: frames are sent from a send queue or dropped and counted; the writer never waits."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lingbot_cli.errors import StreamLostError
from lingbot_cli.sinks.live.connections import OutputConnection
from lingbot_cli.sinks.live.send_queue import SendQueue
from lingbot_cli.ui.signals import check_stop

T = TypeVar("T")
_MIN_RETRY_DELAY_S, _MAX_RETRY_DELAY_S = 0.25, 10.0
_STABLE_CONNECTION_S = 10.0  # after which a connection no longer counts as short
_MAX_BACKOFF_STEPS = 6  # short connections after which the delay is largest
_CLOSE_TIMEOUT_S = 4.0  # for the other side to receive the rest at the end
_THREAD_EXIT_TIMEOUT_S = 1.0
_LISTEN_POLL_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Outage:
    """Time without a connection: the reason, its length in seconds (None while it lasts) and the frames lost."""

    name: str
    reason: str
    seconds: float | None = None
    frames: int = 0


@dataclass(frozen=True)
class OutputStats:
    """Statistics of one output: frames sent and lost, reconnects, and whether it is connected."""

    name: str
    sent: int
    lost: int
    reconnects: int
    connected: bool


def retry_delay(outage_s: float, short_connections: int = 0) -> float:
    """Return the seconds until the next attempt, growing with the outage and with connections that broke soon."""
    backoff = _MIN_RETRY_DELAY_S * 2 ** min(short_connections, _MAX_BACKOFF_STEPS)
    return min(max(backoff, outage_s / 10), _MAX_RETRY_DELAY_S)


class ReconnectingOutput(Generic[T]):
    """Output that sends a queue over a connection and reconnects when that is lost.

    It begins to connect at once. `on_outage` is called, in this output's thread, at the beginning and the end of
    every outage. `close_timeout_s`: time to send the rest and close, None for ever. `listening`: of an output that
    waits for its caller; set when it is to end.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], OutputConnection[T]],
        queue: SendQueue[T],
        on_outage: Callable[[Outage], None],
        *,
        close_timeout_s: float | None = _CLOSE_TIMEOUT_S,
        listening: threading.Event | None = None,
    ) -> None:
        self.name = name
        self._connect = connect
        self._queue = queue
        self._on_outage = on_outage
        self._close_timeout_s = close_timeout_s
        self._failure: Exception | None = None
        self._started = threading.Event()
        self._listens = listening is not None
        self._ending = listening or threading.Event()
        self._complete = False
        self._aborted = False
        self._abort_lock = threading.Lock()
        self._partial: str | None = None
        self._connection: OutputConnection[T] | None = None
        self._sent_before = 0  # by earlier connections
        self._reconnects = 0
        self._connected_at = time.monotonic()  # of the newest connection
        self._last_send = (
            self._connected_at,
            0,
        )  # when it last accepted something, and the frames lost until then
        self._short_connections = 0
        self._thread = threading.Thread(target=self._run, name=f"send to {name}", daemon=True)
        self._thread.start()

    def wait_started(self, timeout_s: float) -> None:
        """Wait for the first connection. Errors: StreamLostError without one, or any other failure."""
        while self._listens and not self._started.wait(_LISTEN_POLL_INTERVAL_S):
            check_stop()
        if not self._started.wait(max(0.0, timeout_s)):
            self._ending.set()
            raise StreamLostError(f"{self.name} could not be reached: no answer")
        self.check()

    def put(self, item: T) -> None:
        """Queue a frame or a tag; it is lost without a connection or when the queue is full."""
        self._queue.put(item, connected=self._connection is not None)

    def check(self) -> None:
        """Raise a failure that reconnecting cannot mend."""
        if self._failure is not None:
            raise self._failure

    @property
    def stats(self) -> OutputStats:
        connection = self._connection
        sent = self._sent_before + (connection.sent if connection is not None else 0)
        return OutputStats(self.name, sent, self._queue.lost, self._reconnects, connection is not None)

    def close(self) -> None:
        """Send what is queued and close. Errors: StreamLostError when there is no connection."""
        self._ending.set()
        self._queue.close()
        if self._connection is not None:
            self._thread.join(self._close_timeout_s)
        self.check()
        if not self._complete:
            self.abort()
            raise StreamLostError(f"{self.name} was disconnected when the stream ended")

    def abort(self) -> str | None:
        """End at once without raising; return the path of a partial file, if any."""
        self._aborted = True
        self._ending.set()
        self._queue.close()
        self._thread.join(_THREAD_EXIT_TIMEOUT_S)
        self._abort_connection()  # from this thread, when the other one hangs in the connection
        return self._partial

    def _run(self) -> None:
        """Send and reconnect until the stream ends; keep a failure for `check`."""
        try:
            connection: OutputConnection[T] | None = self._connect()
            while connection is not None:
                lost = self._send_all(connection)
                connection = self._reconnect(lost) if lost is not None else None
        except Exception as failure:
            self._failure = failure
        finally:
            self._started.set()

    def _send_all(self, connection: OutputConnection[T]) -> StreamLostError | None:
        """Send until the stream ends; return the error of a connection that ends before."""
        self._connection = connection
        self._started.set()
        self._connected_at = time.monotonic()
        self._last_send = self._connected_at, self._queue.lost
        try:
            while (item := self._queue.get()) is not None and not self._aborted:
                connection.send(item)
                self._last_send = time.monotonic(), self._queue.lost
            if not self._aborted:  # `abort` sets it before it closes the queue
                connection.close()
                self._complete = True
                self._connection = None
        except StreamLostError as lost:
            return lost
        finally:
            self._abort_connection()
            self._sent_before += connection.sent
        return None

    def _abort_connection(self) -> None:
        """Abort the current connection once; a second thread waits for the first."""
        with self._abort_lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                self._partial = connection.abort()

    def _reconnect(self, lost: StreamLostError) -> OutputConnection[T] | None:
        """Retry until connected; return None when the stream ends first."""
        since, lost_before = self._last_send  # a stall is noticed long after it began
        short = since - self._connected_at < _STABLE_CONNECTION_S
        self._short_connections = self._short_connections + 1 if short else 0
        self._queue.rewind()
        if not self._ending.is_set():
            self._on_outage(Outage(self.name, str(lost)))
        while not self._ending.wait(retry_delay(time.monotonic() - since, self._short_connections)):
            try:
                connection = self._connect()
            except StreamLostError:
                continue
            self._reconnects += 1
            seconds, frames = time.monotonic() - since, self._queue.lost - lost_before
            self._on_outage(Outage(self.name, str(lost), seconds, frames))
            return connection
        return None
