"""Server-sent events, listened to by a thread that hands them over one by one; every one of them has a limit.

Source: HTML Living Standard, section 9.2 (server-sent events); Firebase, "Streaming from the REST API", for redirects.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import NamedTuple

import httpx2

from tocsin.connections.http import MAX_ANSWER, MAX_SHOWN, Authorized
from tocsin.errors import TocsinError
from tocsin.storage import Meter

SILENCE_S = 75.0
"""A server sends a sign of life every 30 s; after so long it is gone."""
_QUEUED = 8
_REDIRECTS = 3
_POLL_S = 0.2
_OF_ONE_SERVICE = (".firebaseio.com", ".firebasedatabase.app")
"""Hosts under these names are one service's own, and may send on to each other."""


class Event(NamedTuple):
    """One event."""

    name: str
    data: bytes


class Broken(NamedTuple):
    """The end of a stream, or why there was none."""

    status: int
    """Of the answer; 0 where there was none, or where it broke off."""
    reason: str


class Events:
    """The events of one address, from now on; when it breaks off, that is the last one.

    Parameters
    ----------
    url, parameters
        What is asked.
    authorization
        What the header of that name holds.
    timeout_s
        To connect.
    meter
        Counts the request and its bytes.
    """

    def __init__(
        self,
        url: str,
        parameters: Mapping[str, str],
        authorization: Callable[[], str] | None,
        timeout_s: float,
        meter: Meter,
    ) -> None:
        self._url = httpx2.URL(url, params=dict(parameters))
        self._meter = meter
        self._queue: Queue[Event | Broken | TocsinError] = Queue(_QUEUED)
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._client = httpx2.Client(
            auth=Authorized(authorization) if authorization else None,
            headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(timeout_s, read=SILENCE_S),
            follow_redirects=False,
        )
        self._thread = threading.Thread(target=self._listen, name="server-sent events", daemon=True)
        self._thread.start()

    def next(self, wait_s: float) -> Event | Broken | None:
        """The next one, or None if none comes in time.

        Raises
        ------
        TocsinError
            If the meter or the authorization ended it.
        """
        try:
            item = self._queue.get(timeout=max(wait_s, 0.001))
        except Empty:
            return None
        if isinstance(item, TocsinError):
            raise item
        return item

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        if self._socket is not None:
            with suppress(OSError):  # it wakes who waits for bytes; a socket that is closed already wakes nobody
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5 * _POLL_S)
        self._client.close()

    def _listen(self) -> None:
        last: Broken | TocsinError
        try:
            last = self._follow()
        except TocsinError as error:
            last = error
        except (httpx2.HTTPError, httpx2.StreamError, OSError, RuntimeError) as error:
            last = Broken(0, f"{type(error).__name__}: {str(error)[:MAX_SHOWN]}")
        self._put(last)

    def _follow(self) -> Broken:
        url = self._url
        for _ in range(_REDIRECTS + 1):
            self._meter.begin(str(self._url.copy_with(query=None)), "get")
            with self._client.stream("GET", url) as answer:
                if answer.status_code == httpx2.codes.OK:
                    return self._hand_over(answer)
                if answer.next_request is None:
                    text = next(answer.iter_raw(MAX_SHOWN), b"")[:MAX_SHOWN].decode("utf-8", "replace")
                    return Broken(answer.status_code, text)
                if not _may_follow(url, answer.next_request.url):
                    return Broken(answer.status_code, "a redirect to another service, which is not to see the token")
                url = answer.next_request.url
        return Broken(0, f"more than {_REDIRECTS} redirects")

    def _hand_over(self, answer: httpx2.Response) -> Broken:
        self._socket = answer.extensions["network_stream"].get_extra_info("socket")
        parser = _Parser()
        for piece in answer.iter_raw():
            self._meter.receive(str(self._url.copy_with(query=None)), len(piece))
            for event in parser.feed(piece):
                self._put(event)
            if self._closed.is_set():
                break
            if parser.held > MAX_ANSWER:
                return Broken(0, f"an event of more than {MAX_ANSWER:,} bytes")
        return Broken(0, "the stream ended")

    def _put(self, item: Event | Broken | TocsinError) -> None:
        while not self._closed.is_set():
            with suppress(Full):
                self._queue.put(item, timeout=_POLL_S)
                return


class _Parser:
    """Pieces of a stream become events."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self.held = 0
        """Bytes of the event that is under way."""

    def feed(self, piece: bytes) -> Iterator[Event]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if event := self._take(line.removesuffix(b"\r")):
                yield event
        self.held = len(self._rest) + sum(map(len, self._data))

    def _take(self, line: bytes) -> Event | None:
        if not line:
            event = Event(self._name or "message", b"\n".join(self._data)) if self._name or self._data else None
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value)
        return None


def _may_follow(url: httpx2.URL, onward: httpx2.URL) -> bool:
    """Whether a redirect stays with the same server, or within the same service behind TLS."""
    if (onward.scheme, onward.host, onward.port) == (url.scheme, url.host, url.port):
        return True
    service = next((name for name in _OF_ONE_SERVICE if url.host.endswith(name)), None)
    return service is not None and onward.scheme == "https" and onward.host.endswith(service)
