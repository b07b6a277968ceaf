"""Relays on the loopback interface that simulate a broken or a slow connection."""

import socket
import threading
import time


class Relay:
    """Forward bytes both ways between `port` and a server's port."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            # Small buffers, so that backpressure reaches the server.
            for each in (near, far):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            self._sockets += [near, far]
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source, sink, from_server):
        try:
            while (data := source.recv(4096)) and self.lets(len(data), from_server):
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def lets(self, count, from_server):
        """Return whether `count` bytes may pass; may block."""
        raise NotImplementedError


class Flaky(Relay):
    """Cut one connection, once, after `cut_after` bytes from the server."""

    def __init__(self, port, cut_after):
        super().__init__(port)
        self._left = cut_after
        self._cut = False

    def lets(self, count, from_server):
        if from_server and not self._cut:
            self._left -= count
            self._cut = self._left < 0
            return not self._cut
        return True


class Narrow(Relay):
    """Limit the bytes a second from the server."""

    def __init__(self, port, bytes_a_second):
        super().__init__(port)
        self._rate = bytes_a_second

    def lets(self, count, from_server):
        if from_server:
            time.sleep(count / self._rate)
        return True
