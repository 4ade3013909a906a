"""Google Cloud Storage as `gcp-storage-emulator` has it, and what it leaves out: preconditions, pages, error texts.

The first line of standard output is the port, each later one a request. Ends with its standard input. Requests are
answered one at a time.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import RequestHandler, Router
from gcp_storage_emulator.storage import Storage

PAGE = 1_000


class Memory(Storage):  # type: ignore[misc]  # the emulator has no types
    """Without a copy of all that is known, written down for every object."""

    def _write_config_to_file(self) -> None: ...


class Handler(RequestHandler, BaseHTTPRequestHandler):  # type: ignore[misc]  # the emulator has no types
    def do_GET(self) -> None:
        path, asked = self._asked("GET")
        bucket, _, key = path.partition("/o/")
        if not self._exists(bucket):
            self._refuse(404, "The specified bucket does not exist.")
        elif path.endswith("/o"):
            self._page(bucket.removesuffix("/o"), asked)
        elif key and not self._met(bucket, key, asked):
            self._refuse(412, "At least one of the pre-conditions you specified did not hold.")
        elif key and self._beyond(bucket, key):
            self._refuse(416, "Requested range not satisfiable")
        else:
            Router(self).handle("GET")

    def do_POST(self) -> None:
        path, asked = self._asked("POST")
        bucket = path.removesuffix("/o")
        if path.endswith("/o"):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.rfile = io.BytesIO(body)
            key = asked.get("name") or _named(body)
            if not self._exists(bucket):
                self._refuse(404, "The specified bucket does not exist.")
                return
            if not self._met(bucket, key, asked):
                self._refuse(412, "At least one of the pre-conditions you specified did not hold.")
                return
            if not body and asked.get("uploadType") == "media":
                self._create_empty(bucket, key)
                return
        Router(self).handle("POST")

    def do_PUT(self) -> None:
        self._asked("PUT")
        Router(self).handle("PUT")

    def do_DELETE(self) -> None:
        self._asked("DELETE")
        Router(self).handle("DELETE")

    def _asked(self, method: str) -> tuple[str, dict[str, str]]:
        """What stands behind `/b/`, and the query."""
        sys.stdout.write(f"{method} {self.path}\n")
        sys.stdout.flush()
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return unquote(parts.path.partition("/b/")[2]), query

    def _exists(self, bucket: str) -> bool:
        return not bucket or bucket.partition("/")[0] in self.storage.buckets

    def _met(self, bucket: str, key: str, asked: dict[str, str]) -> bool:
        if "ifGenerationMatch" not in asked:
            return True
        try:
            generation = self.storage.get_file_obj(bucket, key)["generation"]
        except NotFound:
            generation = "0"
        return bool(generation == asked["ifGenerationMatch"])

    def _beyond(self, bucket: str, key: str) -> bool:
        try:
            size = len(self.storage.get_file(bucket, key, show_error=False))
        except NotFound:
            return False
        start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        return "Range" in self.headers and int(start) >= size

    def _create_empty(self, bucket: str, key: str) -> None:
        """An object without bytes, over which the emulator stumbles."""
        resource = objects._checksums(b"", objects._make_object_resource("", bucket, key, "", "0"))
        self.storage.create_file(bucket, key, b"", resource)
        self._send(200, resource)

    def _page(self, bucket: str, asked: dict[str, str]) -> None:
        found, _ = self.storage.get_file_list(bucket, asked.get("prefix"))
        rest = [item for item in found if item["name"] > asked.get("pageToken", "")]
        page = rest[: min(PAGE, int(asked.get("maxResults", PAGE)))]
        more = {"nextPageToken": page[-1]["name"]} if len(page) < len(rest) else {}
        self._send(200, {"kind": "storage#objects", "items": page, **more})

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, {"error": {"code": status, "message": message, "errors": []}})

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _named(body: bytes) -> str:
    """The name in the metadata that an upload begins with."""
    head = body[body.index(b"{") : body.index(b"}") + 1]
    return str(json.loads(head)["name"])


if __name__ == "__main__":
    logging.disable()
    server = HTTPServer(("127.0.0.1", 0), partial(Handler, Memory(use_memory_fs=True)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
