"""One HTTP POST to a URL of a config, of whose answer the status is all that anybody gets to see.

No redirect is followed, no proxy of the environment is asked, nothing is kept for the next request. Source: RFC 9110,
RFC 9112.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv6Address
from typing import Self
from urllib.parse import urlsplit

from tocsin.connections.peer import Network, connect

MAX_ANSWER = 1 << 16
"""Bytes of an answer that are read at most, its head among them."""
MAX_URL = 2_048
_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_.])?")
_URL = re.compile(r"[!-\[\]^_`a-z{|}~]+")
"""Printable ASCII without a backslash, which some take for a slash."""


class NoAnswer(Exception):
    """Nothing came that says what became of a request; the message shows nothing that was received."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL in the parts that a request needs."""

    tls: bool
    host: str
    """Without brackets."""
    port: int
    authority: str
    """As it was written: what the header `Host` says."""
    target: str
    """Path and query."""

    @classmethod
    def parse(cls, url: str, *, allow_http: bool) -> Self:
        """Take a URL apart, or refuse whatever two readers might understand differently.

        Raises
        ------
        ValueError
            If it is anything but https (or http, if that is allowed), a host, perhaps a port, a path and a query. The
            message does not show it: many a URL is a password.
        """
        wanted = "http://host:port/path or https" if allow_http else "https://host:port/path"
        refused = ValueError(f"a url of another form, wanted {wanted}, printable ASCII, no user, no fragment")
        if len(url) > MAX_URL or not _URL.fullmatch(url):
            raise refused
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise refused from None
        if parts.scheme == "http" and not allow_http:
            raise ValueError("a url without TLS, wanted https, or `allow_http: true` for a network that you trust")
        if parts.scheme not in _PORTS or "@" in parts.netloc or "#" in url or port == 0 or not _is_host(host):
            raise refused
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme == "https", host, port or _PORTS[parts.scheme], parts.netloc, target)

    def connect(self, tls: ssl.SSLContext, *, allow: Sequence[Network], within_s: float) -> socket.socket:
        """A socket to the host, its end checked before anything is sent, and wrapped in TLS if the URL says so.

        Raises
        ------
        OSError
            If there is none; `PeerRefused` if it would end where none may.
        """
        deadline = time.monotonic() + within_s
        plain = connect(self.host, self.port, allow=allow, within_s=within_s)
        if not self.tls:
            return plain
        try:
            plain.settimeout(_left(deadline))
            return tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def post(to: Endpoint, body: bytes, headers: Mapping[str, str], peer: socket.socket, *, within_s: float) -> int:
    """Send a body on a fresh connection, and close it.

    Parameters
    ----------
    headers
        Beside `Host`, `Content-Length` and `Connection`.
    peer
        What `to.connect` returned.
    within_s
        To send it and to hear the status, together.

    Returns
    -------
    The status of the answer, whose body is not read.

    Raises
    ------
    NoAnswer
        If none came in time, or what came is no HTTP.
    """
    exchange = _Exchange(peer, time.monotonic() + within_s)
    with closing(peer):
        connection = HTTPConnection(to.host, to.port)
        connection.sock = exchange
        try:
            connection.request("POST", to.target, body, {**headers, "Host": to.authority, "Connection": "close"})
            return connection.getresponse().status
        except TimeoutError:
            raise NoAnswer(f"no answer within {within_s:g} s") from None
        except OSError as error:
            raise NoAnswer(error.strerror or type(error).__name__) from None
        except HTTPException:
            raise NoAnswer("an answer that is no HTTP, or too long") from None


class _Exchange(io.RawIOBase):
    """The socket of one request: all of it until a deadline, and of the answer as much as `MAX_ANSWER`."""

    def __init__(self, peer: socket.socket, deadline: float) -> None:
        self._peer = peer
        self._deadline = deadline
        self._room = MAX_ANSWER

    def sendall(self, data: bytes) -> None:
        self._peer.settimeout(_left(self._deadline))
        self._peer.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing: http.client closes this while its answer still looks at it, and `post` closes the socket."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader gives is one
        if not self._room:
            raise HTTPException
        self._peer.settimeout(_left(self._deadline))
        got = self._peer.recv_into(buffer[: self._room])
        self._room -= got
        return got


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _NAME.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False
