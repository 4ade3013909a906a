"""Amazon S3 as `moto` has it, one request at a time as its conditional writes have to be; ends with its standard input.

The first line of standard output is the port, each later one a request.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


class OneAtATime:
    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._lock:
            sys.stdout.write("{REQUEST_METHOD} {PATH_INFO}?{QUERY_STRING}\n".format_map(environment))
            sys.stdout.flush()
            answer: Iterable[bytes] = self._app(environment, start)
            return answer


class Quiet(MotoRequestHandler):
    def log(self, *_: Any) -> None: ...


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, OneAtATime(), threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
