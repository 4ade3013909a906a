"""One connection to a Redis server, for streams, from `connect` until it is lost or closed.

Nothing is sent twice by itself: an entry whose acknowledgement was lost would lie in the stream twice.

Source: Redis, "Redis Streams", "Redis persistence" and the reference of the commands that begin with X.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field
from redis.connection import Connection, SSLConnection
from redis.exceptions import RedisError, ResponseError

from tocsin.component import Risk
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials, expanded

EXAMPLE_SERVER = "TOCSIN_EXAMPLE_REDIS"
"""Environment variable with the url of a server on which the examples of parts may make a stream."""
ANSWER_WITHIN_S = 5.0
LONGEST_WAIT_S = 1.0
"""For entries, in one command; a server that says nothing for 5 s more is lost."""
MAX_ENTRIES, FIRST_ENTRIES = 1_000, 16
"""Entries of one command, and of the first one: nobody knows yet how large they are."""
READ_BYTES = 1 << 24
"""Bytes of one command's entries, if they are as large as those before."""
AT_ONCE = 1_000
"""Entries that are added or acknowledged in one go."""

Key = Annotated[str, Field(max_length=500, pattern=r"^\S+$")]
"""Of a stream, or the name of a group or a consumer."""


class EntryId(NamedTuple):
    """Milliseconds, and a number among the entries of one of them."""

    ms: int
    sequence: int

    @classmethod
    def of(cls, text: bytes) -> EntryId:
        """`1767571200000-0` as a server writes it."""
        ms, _, sequence = text.partition(b"-")
        return cls(int(ms), int(sequence))

    def __str__(self) -> str:
        return f"{self.ms}-{self.sequence}"

    @property
    def before(self) -> EntryId:
        """The greatest id that is smaller."""
        return EntryId(self.ms, self.sequence - 1) if self.sequence else EntryId(max(self.ms - 1, 0), 2**64 - 1)


class Entry(NamedTuple):
    """What lies in a stream."""

    id: bytes
    """As the server writes it."""
    fields: list[bytes] | None
    """Names and values, which come in turns; None if it was deleted or trimmed before it was read."""


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    database: int
    encrypted: bool


def address(url: str) -> _Address:
    """`redis://host:6379/0`, or `rediss://host:6379/0` for TLS.

    Raises
    ------
    ValueError
        If it has another form. The message does not show it: what is wrong with it may be its password.
    """
    wanted = "wanted redis://host:port/number or rediss://host:port/number"
    try:
        parts = urlsplit(url)
        port, database = parts.port or 6379, int(parts.path.strip("/") or 0)
    except ValueError:
        raise ValueError(f"a url that cannot be read, {wanted}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("a url with a password, wanted it in a `password_file`")
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.query:
        raise ValueError(f"a url of another form, {wanted}")
    return _Address(parts.hostname, port, database, parts.scheme == "rediss")


class RedisClient:
    """A client of one server.

    Parameters
    ----------
    url
        `redis://host:6379/0`, or `rediss://host:6379/0` for TLS.
    credentials
        Who we are; a password without a user is that of the user `default`.
    """

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._address = address(url)
        self._credentials = credentials
        self._connection: Any = None  # redis-py gives its methods no types
        self._entries = FIRST_ENTRIES
        self._held = 0
        """Entries that the group was given over this connection and has not acknowledged."""
        self._held_then = 0
        """The same, when entries were asked for."""
        self._ahead = 0
        """Answers that have not been received, to what was asked before it was wanted."""
        self._received: list[Any] = []
        """Those that have."""

    def connect(self) -> None:
        """Connect, and be let in.

        Raises
        ------
        Unreachable
            If there is no such server, or it refuses.
        ConfigError
            If a file of the credentials cannot be used.
        """
        self.close()
        where, who = self._address, self._credentials
        options: dict[str, Any] = {}
        if where.encrypted:
            who.context()  # says best what is wrong with a file
            options = {
                "ssl_ca_certs": expanded(who.ca_file),
                "ssl_certfile": expanded(who.certificate_file),
                "ssl_keyfile": expanded(who.key_file),
                "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            }
        self._entries, self._held, self._ahead, self._received = FIRST_ENTRIES, 0, 0, []
        kind: type[Any] = SSLConnection if where.encrypted else Connection
        self._connection = kind(
            host=where.host,
            port=where.port,
            db=where.database,
            password=who.password(),
            username=who.user,
            protocol=2,
            socket_connect_timeout=ANSWER_WITHIN_S,
            socket_timeout=LONGEST_WAIT_S + ANSWER_WITHIN_S,
            client_name="tocsin",
            **options,
        )
        self._told("PING")

    @property
    def alive(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    def last(self, stream: str) -> EntryId:
        """The id of the newest entry that a stream ever had; the smallest of all if there is no stream."""
        with suppress(_NoKey):
            return EntryId.of(_pairs(self._told("XINFO STREAM", stream))[b"last-generated-id"])
        return EntryId(0, 0)

    def make_group(self, stream: str, group: str, behind: EntryId | None) -> None:
        """Begin a group behind an entry, or with what comes from now on, unless there is one; and so a stream."""
        with suppress(_Exists):
            self._told("XGROUP CREATE", stream, group, "$" if behind is None else str(behind), "MKSTREAM")

    def claim(self, stream: str, group: str, consumer: str) -> int:
        """Let all that the group was given and did not acknowledge belong to one consumer; returns how many are gone.

        Those were deleted or trimmed meanwhile.
        """
        start, gone = b"", 0
        while start != b"0-0":
            words = (stream, group, consumer, 0, start or "0-0", "COUNT", AT_ONCE, "JUSTID")
            start, _, *lost = self._told("XAUTOCLAIM", *words)
            gone += sum(map(len, lost))
        return gone

    def unacknowledged(self, stream: str, group: str, consumer: str, behind: EntryId, most: int) -> list[Entry]:
        """What a consumer was given once and did not acknowledge, behind an entry."""
        found = self._read(("XREADGROUP", "GROUP", group, consumer), most, stream, behind)
        self._held += len(found)
        return found

    def take(self, stream: str, group: str, consumer: str, most: int, timeout_s: float) -> tuple[list[Entry], int]:
        """Entries that the group was not given yet, and how many it has given to somebody else.

        The first of them is awaited for so long, up to a second. While there are more than were asked for, the next
        ones are asked for at once: the server works while these are looked at.
        """

        def ask(count: int, wait_s: float) -> None:
            words = self._reading(("XREADGROUP", "GROUP", group, consumer), count, wait_s, stream, ">")
            self._send([words, ("XPENDING", stream, group)])
            self._held_then, self._ahead = self._held, 2

        asked = min(most, self._entries)
        if not self._ahead and not self._received:
            ask(most, timeout_s)
        self._receive()
        (told, pending), self._received = self._received, []
        found = self._found(told)
        self._held += len(found)
        strangers = pending[0] - self._held_then - len(found)
        if len(found) >= asked and most > len(found):
            ask(most - len(found), 0.0)
        return found, strangers

    def entries(self, stream: str, behind: EntryId, most: int) -> list[Entry]:
        """Entries behind another, whoever was given them."""
        return self._read(("XREAD",), most, stream, behind)

    def acknowledge(self, stream: str, group: str, ids: Sequence[bytes]) -> None:
        """Tell a group that these are done with."""
        for first in range(0, len(ids), AT_ONCE):
            self._told("XACK", stream, group, *ids[first : first + AT_ONCE])
        self._held -= len(ids)

    def add(self, stream: str, entries: Sequence[Mapping[str, bytes]], keep: int) -> None:
        """Add entries, in order, and trim the stream to about so many; returns when the server has all of them.

        Raises
        ------
        Unreachable
            If it does not say so of each of them: some may lie there.
        """
        for first in range(0, len(entries), AT_ONCE):
            commands = []
            for fields in entries[first : first + AT_ONCE]:
                pairs = [part for pair in fields.items() for part in pair]
                commands.append(("XADD", stream, "MAXLEN", "~", keep, "*", *pairs))
            self._all_told(commands)

    def risks(self) -> tuple[Risk, ...]:
        """Settings with which the server loses what it acknowledged, as far as it tells them to us."""
        lines = self._told("INFO", "persistence").decode().splitlines()
        if "aof_enabled:1" not in lines:
            return (_NO_FILE,)
        settings: dict[bytes, bytes] = {}
        with suppress(Unreachable):  # the right to ask for settings is often taken away
            for name in ("appendfsync", "maxmemory-policy"):
                settings |= _pairs(self._told("CONFIG GET", name))
        found = []
        if settings.get(b"maxmemory-policy", b"").startswith(b"allkeys"):
            found.append(_EVICTS)
        flushes = settings.get(b"appendfsync", b"").decode()
        if flushes != "always":
            found.append(replace(_FLUSHES_LATER, found=_FLUSHES_LATER.found.format(flushes or "not told")))
        return tuple(found)

    def close(self) -> None:
        """End the connection; may be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _read(self, how: tuple[str, ...], most: int, stream: str, behind: EntryId) -> list[Entry]:
        return self._found(self._told(*self._reading(how, most, 0.0, stream, str(behind))))

    def _reading(self, how: tuple[str, ...], most: int, timeout_s: float, stream: str, behind: str) -> tuple[Any, ...]:
        """The words of a command that reads entries."""
        wait_ms = ceil(1_000 * min(timeout_s, LONGEST_WAIT_S))
        wait = ("BLOCK", wait_ms) if wait_ms else ()
        return *how, "COUNT", min(most, self._entries), *wait, "STREAMS", stream, behind

    def _found(self, told: Any) -> list[Entry]:
        found = [Entry(*item) for _, items in told or () for item in items]
        if found:
            size = sum(sum(map(len, entry.fields)) for entry in found if entry.fields)
            self._entries = max(1, min(MAX_ENTRIES, READ_BYTES * len(found) // max(size, 1)))
        return found

    def _told(self, *words: Any) -> Any:
        return self._all_told([words])[0]

    def _all_told(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._receive()
        self._send(commands)
        return self._answers(len(commands))

    def _receive(self) -> None:
        """Take the answers to what was asked before it was wanted."""
        if self._ahead:
            number, self._ahead = self._ahead, 0
            self._received = self._answers(number)

    def _send(self, commands: Sequence[tuple[Any, ...]]) -> None:
        connection = self._open
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        except RedisError as error:
            raise self._refused(error) from error

    def _answers(self, number: int) -> list[Any]:
        """That many, all of them received before the first that is a refusal is raised."""
        connection, found = self._open, []
        try:
            for _ in range(number):
                try:
                    found.append(connection.read_response())
                except ResponseError as error:
                    found.append(error)
        except RedisError as error:
            raise self._refused(error) from error
        for answer in found:
            if isinstance(answer, ResponseError):
                raise self._refused(answer) from answer
        return found

    @property
    def _open(self) -> Any:
        if self._connection is None:
            raise Unreachable("no connection")
        return self._connection

    def _refused(self, error: RedisError) -> Unreachable:
        said = str(error) or type(error).__name__
        kind = next((kind for word, kind in _KINDS.items() if word in said), Unreachable)
        hint = next((hint for word, hint in _HINTS.items() if word in said), "is the broker up, and its url right?")
        if not isinstance(error, ResponseError):
            self.close()
        return kind(said, hint)


def _pairs(flat: Sequence[Any]) -> dict[bytes, Any]:
    """Names and values, which come in turns."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


class _Exists(Unreachable):
    """There is one of that name."""


class _NoKey(Unreachable):
    """There is none of that name."""


_NO_FILE = Risk("appendonly", "no: killed, it loses what it acknowledged since its last snapshot", "appendonly yes")
_EVICTS = Risk(
    "maxmemory-policy", "allkeys: when memory is full, whole streams are deleted", "maxmemory-policy noeviction"
)
_FLUSHES_LATER = Risk(
    "appendfsync",
    "{}: a power cut may lose what it acknowledged last",
    "appendfsync always, if that matters",
    loses=False,
)
_KINDS = {"BUSYGROUP": _Exists, "no such key": _NoKey}
_HINTS = {
    "Authentication required": "set `password_file`, and `user` if it is another than default",
    "username-password pair": "check `user` and what the `password_file` holds",
    "no permissions": "docs/brokers.md has the rights that the user needs",
    "MISCONF": "the server cannot write to its disk",
    "maxmemory": "the server's memory is full: trim streams, or raise maxmemory",
    "WRONGTYPE": "the key holds something else than a stream",
    "read only replica": "this server is a replica: name the primary",
    "unknown command": "a Redis before 6.2: streams need XAUTOCLAIM",
}
"""By words of the server: which refusal it is, and what helps."""
