"""A listener on this machine that takes what comes and throws it away: what examples of sinks are pointed at."""

from __future__ import annotations

import threading
from functools import cache
from socketserver import StreamRequestHandler, ThreadingTCPServer

HOST = "127.0.0.1"
_LONGEST_LINE = 1 << 16


@cache
def port() -> int:
    """Where it listens, from the first call to the end of the process; every HTTP request is answered with 204."""
    server = _Server((HOST, 0), _Handler)
    threading.Thread(target=server.serve_forever, name="receiver", daemon=True).start()
    return server.server_address[1]


class _Server(ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who hangs up is gone."""


class _Handler(StreamRequestHandler):
    timeout = 10

    def handle(self) -> None:
        left = 0
        while line := self.rfile.readline(_LONGEST_LINE):
            if line.lower().startswith(b"content-length:"):
                left = int(line.partition(b":")[2])
            if line == b"\r\n":
                self.rfile.read(left)
                self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")
