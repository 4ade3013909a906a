"""Receivers of alerts on this machine, each on a port that nobody else has, and a certificate that they show."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.serving import Serving


def certified(folder: Path, host: str = "127.0.0.1") -> tuple[ssl.SSLContext, str]:
    """What a server needs to prove that it is this address, and the file of the only authority that says so."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(public)
    (folder / "server.pem").write_bytes(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context, str(folder / "ca.pem")


@dataclass(frozen=True)
class Posted:
    path: str
    headers: dict[str, str]
    body: bytes


class HttpReceiver(Serving):
    """Takes what is posted and answers with a status each, 204 at last.

    Headers of the answer can be given; the body of an answer repeats the whole request. One that hangs says nothing
    until `over`.
    """

    def __init__(self, *statuses: int, tls: ssl.SSLContext | None = None, hang: bool = False, **headers: str) -> None:
        self.over = threading.Event()
        self.statuses = list(statuses)
        self.posted: list[Posted] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append(Posted(self.path, dict(self.headers), body))
                if hang:
                    outer.over.wait()
                status = outer.statuses.pop(0) if outer.statuses else 204
                answer = b"" if status == 204 else str(self.headers).encode() + body
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None: ...

        super().__init__(_Quiet(("127.0.0.1", 0), Handler), tls)
        self.port = int(self.url.rpartition(":")[2])


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what these tests are about."""


class Listener(ThreadingTCPServer):
    """Keeps every byte that comes over TCP, connection by connection, and answers each with the same bytes."""

    request_queue_size = 64

    def __init__(
        self, answer: bytes = b"", tls: ssl.SSLContext | None = None, at: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.connections: list[bytearray] = []
        self.answer = answer
        super().__init__(at, _Keeper)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.port = int(self.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def received(self) -> bytes:
        return b"".join(self.connections)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what these tests are about."""


class _Keeper(BaseRequestHandler):
    server: Listener
    request: socket.socket

    def handle(self) -> None:
        kept = bytearray()
        self.server.connections.append(kept)
        self.request.sendall(self.server.answer)
        while piece := self.request.recv(1 << 16):
            kept += piece
