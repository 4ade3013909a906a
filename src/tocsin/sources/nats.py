"""NATS JetStream: messages of a stream become rows.

Source: NATS, "JetStream" (Streams, Consumers); see `base_messages` for what a message holds.
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
from tocsin.connections.nats import EXAMPLE_SERVER, NatsClient
from tocsin.connections.nats_facts import ConsumerFacts, Filter, Name, check_url
from tocsin.errors import DataError, SourceLost
from tocsin.observe import live
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_messages import WHOLE, Message, MessageSource, MessagesToRead

_CREATED = "created"
"""In a position: when the stream was made, UTC microseconds."""


class Nats(MessageSource):
    """Follow a JetStream stream through a durable consumer, or read what it holds now.

    The server is told that messages are done with after their rows are committed. What it delivers once more is told
    by its sequence number, left out and counted. Deliveries are numbered, too: should one be missing, or the server be
    silent for 12 s, the source is lost and opened again. One service reads through a consumer: a second one needs
    another name.

    The sequence of a message is in `_row`: 1,700,042 is the 42nd row of message 17. What a server needs to lose nothing
    of its own is in `docs/brokers.md`, and `tocsin doctor` says whether it has it.

    Parameters
    ----------
    url
        `nats://host:4222`; `tls://host:4222` insists on TLS.
    stream
        Its name. It is made by whoever writes to it.
    subject
        Only messages of these subjects, with `*` and `>`.
    consumer
        Name of the durable consumer, which is made if it is not there. Null reads what the stream holds when it is
        opened, and ends: nothing is acknowledged, so that a training takes nothing from a service.
    start
        Where a consumer begins that is not there yet: `first` message of the stream, or the next `new` one.
    user, password_file
        If the server asks who we are; a password without a user is a token.
    credentials_file
        In their place, an NKey: the seed of a user, or the `.creds` of nsc.
    ca_file, certificate_file, key_file
        PEM files: who signed the server's certificate if this machine does not know, and our own with its key.
    in_flight
        Messages that the server may deliver before the first of them is committed.
    messages
        Ends after so many; without it, never.
    rows
        Rows per batch at most.

    Raises
    ------
    DataError
        On open, if the consumer is one of another kind.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str = "nats://127.0.0.1:4222",
        stream: Name,
        subject: Filter | None = None,
        consumer: Name | None = "tocsin",
        start: Literal["first", "new"] = "first",
        user: str | None = None,
        password_file: str | None = None,
        credentials_file: str | None = None,
        ca_file: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
        in_flight: Annotated[int, Field(ge=1, le=100_000)] = 20_000,
        messages: MessagesToRead = None,
        rows: RowsPerBatch = 10_000,
    ) -> None:
        check_url(url)
        super().__init__(file=stream, rows=rows, messages=messages)
        self.url = url
        self.stream = stream
        self.subject = subject
        self.consumer = consumer
        self.start: Literal["first", "new"] = start
        self.user = user
        self.password_file = password_file
        self.credentials_file = credentials_file
        self.ca_file = ca_file
        self.certificate_file = certificate_file
        self.key_file = key_file
        self.in_flight = in_flight
        self._client = NatsClient(url, self.credentials, credentials_file)
        self._unconfirmed: deque[tuple[int, str]] = deque()
        """Sequence, and where it is acknowledged."""
        self._created = 0
        self._sequence = 0
        """Of the last message."""
        self._delivery = 0
        """Its number among all deliveries."""
        self._left = 0
        """Messages that have not come."""
        self._end = 0
        """The newest message that was there."""

    @property
    def credentials(self) -> Credentials:
        """Who we are to the server."""
        return Credentials(self.user, self.password_file, self.ca_file, self.certificate_file, self.key_file)

    def risks(self) -> tuple[Risk, ...]:
        try:
            self._client.connect()
            return self._client.stream(self.stream).risks
        except Unreachable as error:
            raise self._lost(error) from error
        finally:
            self._client.close()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Five messages in a stream of their own, the second broken, the last one with two rows."""
        url, name = os.environ.get(EXAMPLE_SERVER, "nats://127.0.0.1:4222"), f"example-{uuid4().hex[:12]}"
        contents = [
            b'{"host": "a", "bytes": 10}',
            b'{"host": "a", "by',
            *(b'{"host": "b", "bytes": %d}' % n for n in (2, 3)),
        ]
        client = NatsClient(url, Credentials())
        try:
            client.connect()
            client.make_stream(name, [name])
            lines = b"\n".join(contents[2:])
            client.publish(name, [(str(number), data) for number, data in enumerate([*contents, lines])])
        except Unreachable as error:
            hint = f"{EXAMPLE_SERVER} names another"
            raise SourceLost("example of sources.nats", error.got, f"a server with JetStream at {url}", hint) from error
        finally:
            client.close()
        return cls(url=url, stream=name, messages=5, rows=2)

    @property
    def endless(self) -> bool:
        return super().endless and self.consumer is not None

    @property
    def _all_taken(self) -> bool:
        return super()._all_taken or (self.consumer is None and (not self._left or self._sequence >= self._end))

    def _connect(self, offsets: Mapping[str, int]) -> int:
        try:
            self._client.connect()
            facts = self._client.stream(self.stream)
            whole = min(offsets.get(WHOLE, 0), facts.last)
            if offsets.get(_CREATED, facts.created) != facts.created:
                whole = 0
            known = whole if offsets else None
            found = self._begun(whole) if self.consumer is None else self._gone_on(self.consumer, known)
            self._client.consume(self.stream, found.name)
        except Unreachable as error:
            raise self._lost(error) from error
        self._unconfirmed.clear()
        self._created, self._end, self._sequence = facts.created, facts.last, 0
        self._delivery, self._left = found.delivery, found.left
        return whole

    def _gone_on(self, name: str, done: int | None) -> ConsumerFacts:
        """The consumer as it stands, or begun anew where it would not deliver next what comes next."""
        found = self._client.consumer(self.stream, name)
        if found is None:
            return self._begun(done if done is not None or self.start == "new" else 0)
        if (found.acknowledges, found.subject, found.pushes) != ("all", self.subject, False):
            how = "pushing" if found.pushes else f"acknowledging {found.acknowledges}"
            got = f"the consumer {name}, {how}, of {found.subject or 'all subjects'}"
            wanted = f"one to pull from, acknowledging all, of {self.subject or 'all subjects'}"
            raise DataError(self._where, got, wanted, "delete it, or give this source another `consumer`")
        behind = found.acknowledged if done is None else min(found.acknowledged, done)
        return found if not found.in_flight and behind == found.acknowledged else self._begun(behind)

    def _begun(self, behind: int | None) -> ConsumerFacts:
        return self._client.make_consumer(
            self.stream, self.consumer, self.subject, behind=behind, in_flight=self.in_flight
        )

    def _take(self, most: int, timeout_s: float) -> Sequence[Message]:
        try:
            came = self._client.take(most, timeout_s)
        except Unreachable as error:
            raise self._lost(error) from error
        fresh = []
        for item in came:
            self._delivery += 1
            if item.delivery != self._delivery:
                got = f"delivery {item.delivery} behind {self._delivery - 1}"
                raise SourceLost(self._where, got, "every delivery", "does another service read through this consumer?")
            if item.sequence > self._sequence:
                fresh.append(item)
                self._sequence, self._left = item.sequence, item.left
        if len(fresh) < len(came):
            live.messages_redelivered("nats", len(came) - len(fresh))
        if self.consumer is None:
            return [Message(item.sequence, item.data) for item in fresh if item.sequence <= self._end]
        self._unconfirmed.extend((item.sequence, item.reply) for item in fresh)
        return [Message(item.sequence, item.data) for item in fresh]

    def _forget(self, number: int) -> None:
        reply = ""
        while self._unconfirmed and self._unconfirmed[0][0] <= number:
            reply = self._unconfirmed.popleft()[1]
        try:
            if reply:
                self._client.acknowledge(reply)
        except Unreachable as error:
            raise self._lost(error) from error

    def _marks(self, number: int) -> Mapping[str, int]:
        return {_CREATED: self._created}

    def _disconnect(self) -> None:
        self._client.close()

    @property
    def _where(self) -> str:
        return f"source nats {self.url}, stream {self.stream}"

    def _lost(self, error: Unreachable) -> SourceLost:
        return SourceLost(self._where, error.got, "an answer", error.hint)
