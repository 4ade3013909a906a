"""The door of the server: who comes in, how much they bring, how long they may take.

Everything is asked here before FastAPI or the kernel sees a byte: the address, the host, the key, the rate, the type
and the size of the body. What is served most takes no way through FastAPI at all.

Sources: RFC 9110 (HTTP semantics), OWASP API Security Top 10 2023, Fetch standard (the header Origin).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from tocsin.errors import TocsinError
from tocsin.observe import rest
from tocsin.server.faults import Fault, Header
from tocsin.server.keys import ApiKeys
from tocsin.server.policy import ADMIN, Role, Rule, rule_of
from tocsin.server.rates import Rates

BODY_S, REQUEST_S = 10.0, 30.0
"""For a body to arrive, and for what FastAPI does then."""
MOST_ACTIVE = 512
"""Requests at work at once."""
MOST_HELD = 1 << 24
"""Bytes of bodies in memory at once, beyond the one that may always be."""
BURST_S = 1.0
REFUSALS_PER_SECOND, REFUSALS = 1.0, 20.0
"""Wrong keys that an address may try, and how many at once."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SINGLE = frozenset({b"host", b"authorization", b"content-type", b"content-encoding", b"origin"})
_ALWAYS: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_HANG_UP: Header = (b"connection", b"close")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """What comes through the door."""

    rule: Rule
    role: Role
    type: str
    """Of the body."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    type: bytes = b"application/json"


Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server is told to bear.

    Parameters
    ----------
    body
        Bytes of one request.
    per_second
        Requests of one key, or of one address without a key.
    body_s, request_s
        Seconds for a body to arrive (and be scored), and for everything that takes longer.
    active
        Requests at work at once.
    """

    body: int
    per_second: float
    body_s: float = BODY_S
    request_s: float = REQUEST_S
    active: int = MOST_ACTIVE


class Door:
    """An ASGI application before all others.

    Parameters
    ----------
    hot
        Answers by path, where one is there.
    app
        Answers all others that have a rule.
    keys
        None: whoever reaches the server may do all.
    hosts
        Names, with or without a port, under which it is reached; others are refused, so that no name of a stranger's
        leads a browser here (DNS rebinding).
    limits
        Of the config.
    elapsed
        Seconds that only grow.
    """

    def __init__(  # noqa: PLR0913  # what is behind the door, and what it asks
        self,
        hot: Mapping[str, Handler],
        app: App,
        *,
        keys: ApiKeys | None,
        hosts: frozenset[str],
        limits: Limits,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hot = hot
        self._app = app
        self._keys = keys
        self._hosts = hosts
        self._limits = limits
        self._rates = Rates(limits.per_second, max(1.0, limits.per_second * BURST_S), elapsed)
        self._refusals = Rates(REFUSALS_PER_SECOND, REFUSALS, elapsed)
        self._active = 0
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answering = _Answering(send)
        visit = _Visit()
        self._active += 1
        try:
            async with asyncio.timeout(self._limits.body_s) as deadline:
                await self._serve(scope, receive, answering, visit, deadline)
        except Fault as fault:
            await answering.refuse(fault, hang_up=not visit.arrived)
        except TocsinError as error:
            await answering.refuse(Fault.of(error), hang_up=not visit.arrived)
        except TimeoutError:
            late = Fault(503, "no answer in time") if visit.arrived else Fault(408, "no whole body in time")
            await answering.refuse(late, hang_up=True)
        except _Gone:
            pass
        except Exception as error:  # noqa: BLE001  # whatever breaks breaks one request
            rest.failed(visit.route, error)
            await answering.refuse(Fault(500, "a defect of Tocsin", hint="see its log"), hang_up=True)
        finally:
            self._active -= 1
            self._held -= visit.held
            rest.answered(visit.route, answering.status)

    async def _serve(
        self, scope: Scope, receive: Receive, answering: _Answering, visit: _Visit, deadline: asyncio.Timeout
    ) -> None:
        headers = _headers(scope)
        rule = _rule(scope)
        visit.route = rule.path
        if self._active > self._limits.active:
            raise Fault(503, f"{self._limits.active} requests at work", headers=((b"retry-after", b"1"),))
        self._expect_host(headers)
        role = self._role(rule, headers, scope)
        type = _body_type(rule, headers)
        request = Request(rule, role, type, await self._body(rule, headers, receive, visit))
        if handler := self._hot.get(rule.path):
            await answering.answer(await handler(request))
            return
        deadline.reschedule(asyncio.get_running_loop().time() + self._limits.request_s)
        scope["state"] = {"role": role}
        await self._app(scope, _replayed(request.body), answering.pass_on)

    def _expect_host(self, headers: Mapping[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self._hosts and _without_port(host) not in self._hosts:
            raise Fault(421, "a host that this server is not", "one of those it is reached by")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host:
            raise Fault(403, "a page of another origin", "a page of this server", code="foreign_origin")

    def _role(self, rule: Rule, headers: Mapping[bytes, bytes], scope: Scope) -> Role:
        """What the caller may do, once it is known that this is among it."""
        address = str((scope.get("client") or ("",))[0])
        asker, role = address, ADMIN
        if self._keys is not None and rule.roles is not None:
            scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            key = self._keys.find(secret.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                raise self._unknown(address)
            asker, role = key.prefix, key.role
            if role not in rule.roles:
                raise Fault(403, f"the role {role}", f"one of: {', '.join(sorted(rule.roles))}")
        if wait_s := self._rates.wait(asker):
            raise _later(wait_s, "more requests than one may make")
        return role

    def _unknown(self, address: str) -> Fault:
        if wait_s := self._refusals.wait(address):
            return _later(wait_s, "many wrong keys")
        rest.key_refused(address)
        challenge = (b"www-authenticate", b'Bearer realm="tocsin"')
        return Fault(
            401, "no key, or none that holds", "Authorization: Bearer KEY", "tocsin keys api", headers=(challenge,)
        )

    async def _body(self, rule: Rule, headers: Mapping[bytes, bytes], receive: Receive, visit: _Visit) -> bytes:
        most = self._limits.body if rule.types else 0
        if int(headers.get(b"content-length", b"0")) > most:
            raise _too_large(most)
        pieces = []
        while not visit.arrived:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            piece = message.get("body", b"")
            visit.held += len(piece)
            self._held += len(piece)
            if visit.held > most:
                raise _too_large(most)
            if self._held > MOST_HELD + self._limits.body:
                raise Fault(503, "many large requests at once", headers=((b"retry-after", b"1"),))
            pieces.append(piece)
            visit.arrived = not message.get("more_body", False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Gone(Exception):
    """The client hung up."""


@dataclass(slots=True)
class _Visit:
    """How far a request has come."""

    route: str = "none"
    arrived: bool = False
    """Whether all of its body is here."""
    held: int = 0
    """Bytes of it."""


class _Answering:
    """Sends one answer, with the headers that all have."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        """0 until the answer has begun."""

    async def answer(self, answer: Answer, *more: Header) -> None:
        """Send a whole answer."""
        self.status = answer.status
        length = str(len(answer.body)).encode()
        headers = [(b"content-type", answer.type), (b"content-length", length), *_ALWAYS, *more]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    async def refuse(self, fault: Fault, *, hang_up: bool) -> None:
        """Send a fault; where an answer has begun, nothing can be said any more."""
        if not self.status:
            more = (*fault.headers, *((_HANG_UP,) if hang_up else ()))
            await self.answer(Answer(fault.body, fault.status), *more)

    async def pass_on(self, message: Message) -> None:
        """What another application sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *_ALWAYS]
        await self._send(message)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and name in _SINGLE:
            raise Fault(400, f"{name.decode('latin-1')} twice", "once")
        headers[name] = value
    return headers


def _rule(scope: Scope) -> Rule:
    found = rule_of(scope["method"], scope["path"])
    if isinstance(found, Rule):
        return found
    if not found:
        raise Fault(404, "an address that is not served", hint="see /openapi.json")
    allowed = ", ".join(found)
    raise Fault(405, f"the method {scope['method']}", allowed, headers=((b"allow", allowed.encode()),))


def _body_type(rule: Rule, headers: Mapping[bytes, bytes]) -> str:
    if not rule.types:
        return ""
    if headers.get(b"content-encoding", b"identity").strip().lower() not in {b"identity", b""}:
        raise Fault(415, "a compressed body", "a plain one")
    type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if type not in rule.types:
        raise Fault(415, f'the type "{type}"', f"one of: {', '.join(rule.types)}")
    return type


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _too_large(most: int) -> Fault:
    return Fault(413, f"more than {most:,} bytes", "fewer" if most else "no body")


def _later(wait_s: float, got: str) -> Fault:
    return Fault(429, got, f"the next in {wait_s:.1f} s", headers=((b"retry-after", b"%d" % max(1, round(wait_s))),))


def _replayed(body: bytes) -> Receive:
    """What was read already, for an application that reads."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if left:
            return left.pop()
        return {"type": "http.disconnect"}

    return receive
