"""Asking SNMP agents over the network: every request, table, poll and round has a limit.

Source: RFC 3416 (GET and GETBULK), RFC 1901 (version 2c), RFC 3414 and RFC 3826 (version 3: users and keys).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Literal, NamedTuple, TypeVar

from gufo.snmp import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    DesKey,
    Md5Key,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpAuthError,
    SnmpError,
    User,
)
from gufo.snmp.aio import SnmpSession

from tocsin.sources.base_snmp_objects import MAX_VALUES, SCALARS, TABLES, Value, Values

Authentication = Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]
Privacy = Literal["des", "aes128", "aes192", "aes256"]

MAX_AT_ONCE = 128
"""Agents that are being asked at one time, each through a socket of its own."""
MAX_TEXT = 255
"""Octets of a text, RFC 2579; an agent that sends more is cut short."""
REPETITIONS = 20
"""Values asked for in one request: more would not fit a datagram."""
PORT = 161

_AUTHENTICATION = {
    "md5": Md5Key,
    "sha1": Sha1Key,
    "sha224": Sha224Key,
    "sha256": Sha256Key,
    "sha384": Sha384Key,
    "sha512": Sha512Key,
}
_PRIVACY = {"des": DesKey, "aes128": Aes128Key, "aes192": Aes192Key, "aes256": Aes256Key}
_T = TypeVar("_T")


class Unanswered(Exception):
    """A poll that gave no row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Moment(NamedTuple):
    """A time on two clocks."""

    time_us: int
    """Of the day, UTC microseconds."""
    elapsed_s: float
    """On a clock that is never set."""


class Result(NamedTuple):
    """What became of one poll."""

    agent: str
    moment: Moment
    """When the agent told its own time; or when it was to be asked, if it did not."""
    values: Values | Unanswered


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks; the secrets are in no repr."""

    community: str = field(default="", repr=False)
    user: str | None = None
    authentication: Authentication | None = None
    authentication_key: bytes = field(default=b"", repr=False)
    privacy: Privacy | None = None
    privacy_key: bytes = field(default=b"", repr=False)

    def session(self, host: str, port: int, timeout_s: float) -> SnmpSession:
        """A fresh session: an agent that restarted has other clocks, and version 3 checks them."""
        if self.user is None:
            return SnmpSession(host, port, community=self.community, timeout=timeout_s, max_repetitions=REPETITIONS)
        user = User(
            self.user,
            auth_key=_AUTHENTICATION[self.authentication](self.authentication_key) if self.authentication else None,
            priv_key=_PRIVACY[self.privacy](self.privacy_key) if self.privacy else None,
        )
        return SnmpSession(host, port, user=user, timeout=timeout_s, max_repetitions=REPETITIONS)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds."""

    request_s: float
    retries: int
    poll_s: float
    """For all requests of one poll together."""


def address(agent: str) -> tuple[str, int]:
    """`host`, `host:port`, `2001:db8::1` or `[2001:db8::1]:port` -> host and port.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    host, colon, port = agent.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = agent, str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not host.isprintable() or " " in host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"wanted agents as host or host:port, got {agent!r}")
    return host, int(port)


async def poll(agent: str, access: Access, patience: Patience, now: Callable[[], Moment]) -> Result:
    """Ask one agent for everything; whatever goes wrong becomes its result."""
    asked = now()
    try:
        return await _poll(agent, access, patience, now)
    except Unanswered as error:
        return Result(agent, asked, error)


async def _poll(agent: str, access: Access, patience: Patience, now: Callable[[], Moment]) -> Result:
    values: dict[str, Value] = {}
    try:
        async with asyncio.timeout(patience.poll_s):
            session = access.session(*await _found(*address(agent)), patience.request_s)
            await _asked(session.refresh, patience)
            answer = await _asked(lambda: session.get_many(SCALARS), patience)
            moment = now()
            values |= {name: answer.get(name) for name in SCALARS}
            for table in TABLES:
                values |= await _walk(session, table, patience)
    except TimeoutError as error:
        reason = "too_slow" if values else "no_answer"
        raise Unanswered(reason, f"not done within {patience.poll_s:g} s") from error
    except SnmpAuthError as error:
        raise Unanswered("not_authenticated", str(error)) from error
    except OSError as error:
        raise Unanswered("no_answer", str(error)) from error
    except (SnmpError, ValueError, RuntimeError) as error:
        raise Unanswered("bad_answer", str(error)) from error
    except BaseException as error:
        # How the library's core says that it met bytes it cannot decode: no Exception, and no name to import.
        if type(error).__name__ != "PanicException":
            raise
        raise Unanswered("bad_answer", "bytes that are no SNMP") from error
    return told(agent, moment, values)


def told(agent: str, moment: Moment, values: Values) -> Result:
    """What an answer is: one without a single value is none."""
    if all(value is None for value in values.values()):
        detail = "an answer without any of the objects that were asked for"
        return Result(agent, moment, Unanswered("no_values", detail))
    return Result(agent, moment, values)


async def _found(host: str, port: int) -> tuple[str, int]:
    """The numeric address of a host; a name is looked up beside all else."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return str(found[0][4][0]), port


async def _walk(session: SnmpSession, table: str, patience: Patience) -> dict[str, Value]:
    rows = session.getbulk(table)
    values: dict[str, Value] = {}
    last: tuple[int, ...] = ()
    while True:
        try:
            name, value = await _asked(rows.__anext__, patience)
        except StopAsyncIteration:
            return values
        place = tuple(int(step) for step in name.split("."))
        if place <= last:
            raise Unanswered("not_increasing", f"{name} again or too late, in {table}")
        if len(values) >= MAX_VALUES:
            raise Unanswered("too_large", f"more than {MAX_VALUES:,} values in {table}")
        values[name], last = value[:MAX_TEXT] if isinstance(value, bytes) else value, place


async def _asked(request: Callable[[], Awaitable[_T]], patience: Patience) -> _T:
    """The answer to a request that is sent again if none comes in time; answers to other requests are no answers."""
    detail = ""
    for _ in range(1 + patience.retries):
        try:
            async with asyncio.timeout(patience.request_s):
                return await request()
        except TimeoutError as error:
            # The library says in the cause what was wrong, such as a port that nobody listens on.
            detail = str(error) or str(error.__cause__ or "") or f"none within {patience.request_s:g} s"
    raise Unanswered("no_answer", f"{detail}, asked {1 + patience.retries} times" if patience.retries else detail)


class Round:
    """One poll of every agent, in a thread of its own.

    An agent that is silent keeps none of the others waiting, as long as at most 128 are asked at one time: beyond that
    an agent waits for a place until some other one has answered or is given up.

    Parameters
    ----------
    agents
        Each is polled once, in this order as far as they cannot all be asked at one time.
    ask
        Polls one agent.
    """

    def __init__(self, agents: Sequence[str], ask: Callable[[str], Awaitable[Result]]) -> None:
        self.left = len(agents)
        """Agents of which no result was taken yet."""
        self._ask = ask
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._all = self._loop.create_task(self._ask_all(agents))
        self._thread = Thread(target=self._run, name="tocsin-snmp", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> Result | None:
        """The next agent that is done with; None if none is in time."""
        try:
            result = self._results.get(timeout=timeout_s)
        except Empty:
            if self._all.done():
                self._all.result()  # raises what ended the round before its end
            return None
        self.left -= 1
        return result

    def close(self) -> None:
        """Ask no more."""
        with suppress(RuntimeError):  # the loop is closed once all are done
            self._loop.call_soon_threadsafe(self._all.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._all)
        finally:
            self._loop.close()

    async def _ask_all(self, agents: Sequence[str]) -> None:
        places = asyncio.Semaphore(MAX_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for agent in agents:
                group.create_task(self._ask_one(agent, places))

    async def _ask_one(self, agent: str, places: asyncio.Semaphore) -> None:
        async with places:
            self._results.put(await self._ask(agent))
