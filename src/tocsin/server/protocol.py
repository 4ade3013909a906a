"""Uvicorn's protocol for one connection, with limits on what comes before a request is one.

Whoever sends a head slowly, or one without end, costs a connection and a few kilobytes, and soon neither.

Source: RFC 6585 section 5 (431), RFC 9110 section 15.5.9 (408).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tocsin.observe import rest
from tocsin.server.faults import Fault

HEAD_S = 10.0
"""For the request line and all headers."""
MAX_HEADERS, MAX_HEAD = 64, 16_384
"""Headers, and bytes of them and of the address together."""
MOST_CONNECTIONS = 1_000
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_LARGE = Fault(431, "a larger head", f"{MAX_HEADERS} headers and {MAX_HEAD:,} bytes at most")


class OneWrite:
    """The transport of one answer: its head waits for the beginning of its body, and both go in one packet."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        """Send, unless it is the head."""
        if not self._begun and data != CONTINUE:
            self._begun, self._head = True, data
            return
        head, self._head = self._head or b"", None
        self._transport.write(head + data)

    def close(self) -> None:
        """Send what waits, and hang up."""
        if self._head is not None:
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()


class GuardedProtocol(HttpToolsProtocol):
    """Refuses heads that are too large or come too slowly, and connections beyond the most."""

    head_s = HEAD_S

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._deadline: asyncio.TimerHandle | None = None
        self._unfinished = 0
        self._fault = Fault(400, "no request of HTTP/1.1")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it so
        """Take one connection more, or hang up."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            rest.connection_refused("connections")
            transport.abort()
            return
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        super().data_received(data)
        if self._deadline is None or self.transport.is_closing():
            return
        # The parser keeps a header to itself until its end, which may never come.
        self._unfinished += len(data)
        if self._unfinished > MAX_HEAD:
            self._fault = TOO_LARGE
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._unfinished = 0
        if self._deadline is None:
            self._begin_head()

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._end_head()
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            self._fault = TOO_LARGE
            raise ValueError(TOO_LARGE.code)
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = OneWrite(self.transport)  # type: ignore[assignment]  # all that a cycle asks of its transport
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Say what was wrong with the head, in the form of every answer, and hang up."""
        self._end_head()
        if self.transport.is_closing():
            return
        fault, answering = self._fault, self.cycle is not None and not self.cycle.response_complete
        rest.connection_refused(fault.code)
        if not answering:
            body = fault.body
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[fault.status] + head + body)
        self.transport.close()

    def _begin_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_s, self._too_slow)

    def _end_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._fault = Fault(408, "no whole head", f"one within {self.head_s:g} s")
        self.send_400_response("")
