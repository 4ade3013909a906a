"""A TCP proxy of the test's own that can be slow, deaf, or gone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PIECE = 1 << 16


class Proxy:
    """Passes bytes on between a client and a server on this machine, as far as `mood` allows.

    `passing` forwards, `deaf` takes and accepts and forwards nothing (a half-open connection), `slow` forwards
    `slow_bytes` every 10 ms.
    """

    def __init__(self, port: int) -> None:
        self.mood = "passing"
        self.slow_bytes = 200
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._closing = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        """Where clients connect."""
        found: int = self._listener.getsockname()[1]
        return found

    def reset(self) -> None:
        """Break all connections off."""
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Break all off and listen no more."""
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        for thread in self._threads:
            thread.join(10)
        for end in self._sockets:
            end.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port), 1.0)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._sockets += [client, server]
            for ends in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pass_on, args=ends)
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(self.slow_bytes if self.mood == "slow" else _PIECE):
                while self.mood == "deaf" and not self._closing:
                    time.sleep(0.01)
                if self.mood == "slow":
                    time.sleep(0.01)
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """A proxy before a server, until the end of the block."""
    between = Proxy(port)
    try:
        yield between
    finally:
        between.close()
