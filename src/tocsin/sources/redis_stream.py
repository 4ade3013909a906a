"""Redis Streams: entries of a stream become rows.

Source: Redis, "Redis Streams" (consumer groups); see `base_messages` for what an entry holds.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from uuid import uuid4

from pydantic import Field

from tocsin.component import Risk
from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.redis import EXAMPLE_SERVER, Entry, EntryId, Key, RedisClient, address
from tocsin.errors import SourceLost
from tocsin.observe import live
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_files import legible
from tocsin.sources.base_json import Object
from tocsin.sources.base_messages import PLACES, WHOLE, Message, MessageSource, MessagesToRead
from tocsin.sources.base_text_files import Problem

_MS, _SEQUENCE = "ms", "sequence"
"""In a position: the id of the entry that the last row comes from."""
_FIRST = EntryId(0, 0)


class RedisStream(MessageSource):
    """Follow a Redis stream as a consumer group, or read what it holds now.

    The group is told that entries are done with after their rows are committed. After a restart it gives first what it
    was not told of, whichever consumer had it; what was committed before is told by its id, left out and counted. A
    server that is silent for 6 s is lost, and the source is then opened again. One service reads as a group: a second
    one needs another name.

    Entries are numbered as they are read, in `_row`: 1,700,042 is the 42nd row of the 17th entry. What a server needs
    to lose nothing of its own is in `docs/brokers.md`; the defaults of Redis do not suffice, and `tocsin doctor` says
    so.

    Parameters
    ----------
    url
        `redis://host:6379/0`, or `rediss://host:6379/0` for TLS; the number is that of the database.
    stream
        Its key. It is made if it is not there.
    group
        Name of the consumer group, which is made if it is not there. Null reads what the stream holds when it is
        opened, and ends: nothing is acknowledged, so that a training takes nothing from a service.
    field
        The field of an entry that holds JSON or Arrow. Null: the fields of an entry are the columns of one row.
    start
        Where a group begins that is not there yet: `first` entry of the stream, or the next `new` one.
    user, password_file
        If the server asks who we are; a password without a user is that of the user `default`.
    ca_file, certificate_file, key_file
        PEM files: who signed the server's certificate if this machine does not know, and our own with its key.
    messages
        Ends after so many entries; without it, never.
    rows
        Rows per batch at most.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str = "redis://127.0.0.1:6379/0",
        stream: Key,
        group: Key | None = "tocsin",
        field: Annotated[str, Field(min_length=1, max_length=200)] | None = "data",
        start: Literal["first", "new"] = "first",
        user: str | None = None,
        password_file: str | None = None,
        ca_file: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
        messages: MessagesToRead = None,
        rows: RowsPerBatch = 10_000,
    ) -> None:
        address(url)
        super().__init__(file=stream, rows=rows, messages=messages)
        self.url = url
        self.stream = stream
        self.group = group
        self.field = field
        self._field = (field or "").encode()
        self.start: Literal["first", "new"] = start
        self.user = user
        self.password_file = password_file
        self.ca_file = ca_file
        self.certificate_file = certificate_file
        self.key_file = key_file
        self._client = RedisClient(url, self.credentials)
        self._unconfirmed: deque[tuple[int, bytes]] = deque()
        """Number and id of entries that the group was not told of."""
        self._mark = _FIRST
        """The entry that the position's last row comes from."""
        self._passed = False
        """Whether what comes lies behind it."""
        self._number = 0
        """Of the last entry."""
        self._id = _FIRST
        """Of the entry behind which they are read, if not as a group."""
        self._pending = False
        """Whether entries are read that the group was given before."""
        self._end = _FIRST
        """The newest entry that was there."""

    @property
    def credentials(self) -> Credentials:
        """Who we are to the server."""
        return Credentials(self.user, self.password_file, self.ca_file, self.certificate_file, self.key_file)

    def risks(self) -> tuple[Risk, ...]:
        try:
            self._client.connect()
            return self._client.risks()
        except Unreachable as error:
            raise self._lost(error) from error
        finally:
            self._client.close()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Five entries in a stream of their own, the second broken, the last one with two rows."""
        url, name = os.environ.get(EXAMPLE_SERVER, "redis://127.0.0.1:6379/0"), f"example-{uuid4().hex[:12]}"
        contents = [
            b'{"host": "a", "bytes": 10}',
            b'{"host": "a", "by',
            *(b'{"host": "b", "bytes": %d}' % n for n in (2, 3)),
        ]
        client = RedisClient(url, Credentials())
        try:
            client.connect()
            client.add(name, [{"data": data} for data in [*contents, b"\n".join(contents[2:])]], len(contents) + 1)
        except Unreachable as error:
            hint = f"{EXAMPLE_SERVER} names another"
            raise SourceLost("example of sources.redis_stream", error.got, f"a server at {url}", hint) from error
        finally:
            client.close()
        return cls(url=url, stream=name, messages=5, rows=2)

    @property
    def endless(self) -> bool:
        return super().endless and self.group is not None

    @property
    def _all_taken(self) -> bool:
        return super()._all_taken or (self.group is None and self._id >= self._end)

    def _connect(self, offsets: Mapping[str, int]) -> int:
        whole = offsets.get(WHOLE, 0)
        mark = EntryId(offsets.get(_MS, 0), offsets.get(_SEQUENCE, 0))
        try:
            self._client.connect()
            self._end = self._client.last(self.stream)
            if mark > self._end:
                live.session_forgotten("redis_stream")
                mark = self._end
            self._id = mark.before if mark > _FIRST else _FIRST
            if self.group is not None:
                behind = None if not offsets and self.start == "new" else self._id
                self._client.make_group(self.stream, self.group, behind)
                gone = self._client.claim(self.stream, self.group, self.group)
                if gone:
                    live.messages_trimmed("redis_stream", gone)
                self._id = _FIRST
        except Unreachable as error:
            raise self._lost(error) from error
        self._unconfirmed.clear()
        self._mark, self._number = mark, offsets.get(self._file, 0) // PLACES
        self._passed, self._pending = mark == _FIRST, True
        return whole

    def _take(self, most: int, timeout_s: float) -> Sequence[Message]:
        try:
            return [self._numbered(entry) for entry in self._entries(most, timeout_s)]
        except Unreachable as error:
            raise self._lost(error) from error

    def _entries(self, most: int, timeout_s: float) -> Sequence[Entry]:
        """The next entries: all that there were, or those of the group, first the ones that it was given before."""
        if self.group is None:
            found = self._client.entries(self.stream, self._id, most)
            found = [entry for entry in found if EntryId.of(entry.id) <= self._end]
            self._id = EntryId.of(found[-1].id) if found else self._end
            self._unconfirmed.clear()
            return found
        reader = self.stream, self.group, self.group
        if self._pending:
            found = self._client.unacknowledged(*reader, self._id, most)
            if found:
                self._id = EntryId.of(found[-1].id)
                return found
            self._pending = False
        found, strangers = self._client.take(*reader, most, timeout_s)
        if strangers > 0:
            # A command of a lost connection can reach the server late. Were it not noticed now, what it took would
            # lie before the position when it comes, and pass for committed.
            got = f"{strangers:,} entries given to somebody else"
            raise SourceLost(self._where, got, "all of the group", "does another service read as this group?")
        return found

    def _numbered(self, entry: Entry) -> Message:
        """The entry of the position has its number, those before it that of the last one that is done with."""
        number = self._number + 1
        if not self._passed:
            id = EntryId.of(entry.id)
            self._passed = id > self._mark
            number = (
                number if self._passed else self._number if id == self._mark else min(self._committed, self._number)
            )
        if self._passed:
            self._number = number
        self._unconfirmed.append((number, entry.id))
        return Message(number, self._content(entry))

    def _content(self, entry: Entry) -> bytes | Object | Problem:
        fields = entry.fields
        if fields is None:
            return Problem("trimmed", f"entry {entry.id!r} was trimmed or deleted before it was read")
        if self.field is None:
            pairs = zip(fields[::2], fields[1::2], strict=True)
            return {_text(name): _text(value) for name, value in pairs}
        if fields[0] == self._field:
            return fields[1]
        names = fields[::2]
        if self._field not in names:
            return Problem("no_field", f"entry {entry.id!r} without a field {self.field}")
        return fields[2 * names.index(self._field) + 1]

    def _forget(self, number: int) -> None:
        done = []
        while self._unconfirmed and self._unconfirmed[0][0] <= number:
            done.append(self._unconfirmed.popleft()[1])
        if self.group is None:
            return
        try:
            self._client.acknowledge(self.stream, self.group, done)
        except Unreachable as error:
            raise self._lost(error) from error

    def _marks(self, number: int) -> Mapping[str, int]:
        found = next((id for known, id in reversed(self._unconfirmed) if known == number), None)
        id = EntryId.of(found) if found else self._mark
        return {_MS: id.ms, _SEQUENCE: id.sequence}

    def _disconnect(self) -> None:
        self._client.close()

    @property
    def _where(self) -> str:
        return f"source redis_stream {self.url}, stream {self.stream}"

    def _lost(self, error: Unreachable) -> SourceLost:
        return SourceLost(self._where, error.got, "an answer", error.hint)


def _text(value: bytes) -> str:
    return legible(value.decode("utf-8", "surrogateescape"))
