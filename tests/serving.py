"""An HTTP server in a thread of this process, from the beginning of a block to its end."""

from __future__ import annotations

import ssl
import threading
from http.server import ThreadingHTTPServer
from typing import Self


class Serving:
    """Serves on the port that the server has bound, which nobody else can have."""

    def __init__(self, server: ThreadingHTTPServer, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
