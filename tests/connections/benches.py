"""A broker with everything that a test needs of it, in one shape for NATS and Redis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from tests.connections.servers import NatsServer, RedisServer, Server, documented

from tocsin.connections.credentials import Credentials
from tocsin.connections.nats import NatsClient
from tocsin.connections.redis import RedisClient
from tocsin.errors import SourceLost
from tocsin.log import counters
from tocsin.records import Position
from tocsin.sources.base_messages import MessageSource
from tocsin.sources.nats import Nats
from tocsin.sources.redis_stream import RedisStream

NOTHING_LEFT = 3
"""Reads in a row without a row, and times as long as one may wait, after which all is read."""


class Bench(ABC):
    """One stream, `events`, of one server that runs."""

    name: ClassVar[str]

    def __init__(self, server: Server) -> None:
        self.server = server
        self.begin()

    def url(self, port: int | None = None) -> str:
        """Of the server, or of a proxy before it."""
        return self.server.url.replace(str(self.server.port), str(port or self.server.port))

    @abstractmethod
    def begin(self) -> None:
        """Connect, and make the stream where somebody has to."""

    @abstractmethod
    def publish(self, contents: Sequence[bytes]) -> None:
        """Returns when the broker has acknowledged all; raises Unreachable if it has not."""

    @abstractmethod
    def reconnect(self) -> None:
        """Connect anew; raises Unreachable if that cannot be."""

    @abstractmethod
    def source(
        self, *, url: str | None = None, name: str = "tocsin", history: bool = False, **parameters: Any
    ) -> MessageSource:
        """A source of the stream: that of the service of a name, or one of what it holds now."""

    @abstractmethod
    def close(self) -> None: ...


class NatsBench(Bench):
    name = "nats"

    def begin(self) -> None:
        self._sent = 0
        self._client = NatsClient(self.server.url, Credentials())
        self._client.connect()
        self._client.make_stream("events", ["events.>"])

    def publish(self, contents: Sequence[bytes]) -> None:
        first, self._sent = self._sent, self._sent + len(contents)
        self._client.publish("events.a", [(f"{number}", data) for number, data in enumerate(contents, first)])

    def reconnect(self) -> None:
        self._client.connect()

    def source(
        self, *, url: str | None = None, name: str = "tocsin", history: bool = False, **parameters: Any
    ) -> MessageSource:
        consumer = None if history else name
        return Nats(url=url or self.server.url, stream="events", consumer=consumer, **parameters)

    def close(self) -> None:
        self._client.close()


class RedisBench(Bench):
    name = "redis_stream"

    def begin(self) -> None:
        self._client = RedisClient(self.server.url, Credentials())
        self._client.connect()

    def publish(self, contents: Sequence[bytes]) -> None:
        self._client.add("events", [{"data": data} for data in contents], 10**7)

    def reconnect(self) -> None:
        self._client.connect()

    def source(
        self, *, url: str | None = None, name: str = "tocsin", history: bool = False, **parameters: Any
    ) -> MessageSource:
        group = None if history else name
        return RedisStream(url=url or self.server.url, stream="events", group=group, **parameters)

    def close(self) -> None:
        self._client.close()


BENCHES: dict[str, tuple[type[Bench], type[Server], str]] = {
    "nats": (NatsBench, NatsServer, "NATS"),
    "redis_stream": (RedisBench, RedisServer, "Redis"),
}


@contextmanager
def bench(name: str, folder: Path) -> Iterator[Bench]:
    """A server in the config of docs/brokers.md, to the end of the block."""
    kind, server_kind, section = BENCHES[name]
    server = server_kind(folder / name, documented(section))
    server.start()
    try:
        found = kind(server)
        yield found
        found.close()
    finally:
        server.kill()


class Reader:
    """Does what a running service does with a source: reads, commits, confirms, opens it again when it was lost."""

    def __init__(self, source: MessageSource) -> None:
        self.source = source
        self.position: Position | None = None
        self.kept: list[int] = []
        """The column `n`, in order."""
        self.refused: list[tuple[str, str]] = []
        """Reasons and texts."""
        self.losses = 0
        self._opened = False

    def read(self, timeout_s: float = 0.1, *, commit: bool = True, confirm: bool = True) -> int:
        """One batch; how many rows it has, refused ones included."""
        try:
            if not self._opened:
                self.source.open(self.position)
                self._opened = True
            batch = self.source.read(timeout_s)
            if batch is None:
                return 0
            if commit:
                self.position = self.source.acknowledge(batch)
                self.kept += [int(value) for value in batch["n"]] if "n" in batch else []
                self.refused += [(item.reason, item.raw) for item in batch.rejected]
                if confirm:
                    self.source.confirm()
        except SourceLost:
            self.losses += 1
            self.close()
            return 0
        return batch.rows + len(batch.rejected)

    def read_all(self, timeout_s: float = 0.1, **how: bool) -> None:
        """A read that leaves out what came once more has no row either, and does not wait."""
        empty, until = 0, monotonic() + NOTHING_LEFT * timeout_s
        while empty < NOTHING_LEFT or monotonic() < until:
            empty += 1
            if self.read(timeout_s, **how):
                empty, until = 0, monotonic() + NOTHING_LEFT * timeout_s

    def close(self) -> None:
        self.source.close()
        self._opened = False


def numbered(numbers: Sequence[int]) -> list[bytes]:
    """A message for each number."""
    return [b'{"n": %d}' % number for number in numbers]


def counted(counter: str, source: str) -> int:
    return counters().get(f'{counter}{{source="{source}"}}', 0)
