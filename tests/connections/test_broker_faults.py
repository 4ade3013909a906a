"""A broker that is killed, deaf, slow or rude: nothing that it acknowledged is lost, and the source comes back."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.connections.benches import BENCHES, Bench, Reader, bench, numbered
from tests.connections.proxy import proxy

from tocsin.connections import Unreachable, nats, redis

PATIENCE_S = 60.0
AT_ONCE = 20
MEMORY_KB = 50 * 1024
"""By which the process may grow."""


@pytest.fixture(params=BENCHES)
def broker(request: pytest.FixtureRequest, tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[Bench]:
    """Each of the two in turn, in the settings of docs/brokers.md."""
    need(BENCHES[request.param][1].found() is not None, f"no server for {request.param}")
    with bench(request.param, tmp_path) as found:
        yield found


class Writer(threading.Thread):
    """Publishes numbers, a few at a time, until told to stop; those of a failed attempt are never tried again."""

    def __init__(self, broker: Bench) -> None:
        super().__init__(name="writer")
        self.acknowledged: list[int] = []
        self._broker = broker
        self._stopping = threading.Event()

    def run(self) -> None:
        first = 0
        while not self._stopping.wait(0.002):
            numbers = range(first, first + AT_ONCE)
            first += AT_ONCE
            try:
                self._broker.publish(numbered(numbers))
                self.acknowledged += numbers
            except Unreachable:
                self._come_back()

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _come_back(self) -> None:
        while not self._stopping.wait(0.05):
            try:
                self._broker.reconnect()
            except Unreachable:
                continue
            return


@contextmanager
def writing(writer: Writer) -> Iterator[None]:
    writer.start()
    try:
        yield
    finally:
        writer.stop()


def read_more(reader: Reader, rows: int) -> None:
    wanted = len(reader.kept) + rows
    read_until(reader, lambda: len(reader.kept) >= wanted)


def read_until(reader: Reader, true: Callable[[], bool]) -> None:
    """Read on; the broker has come back well before patience ends."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"{len(reader.kept)} rows, {reader.losses} losses"
        reader.read(0.05)


@pytest.mark.soak
def test_no_acknowledged_message_is_lost_when_the_broker_is_killed(
    broker: Bench, rounds: Callable[[int, int], int]
) -> None:
    reader, writer = Reader(broker.source(rows=500)), Writer(broker)
    before = memory_kb()
    with writing(writer):
        for _ in range(rounds(2, 60)):
            read_more(reader, 300)
            broker.server.kill()
            broker.server.start()
            read_more(reader, 300)
    read_until(reader, lambda: set(writer.acknowledged) <= set(reader.kept))
    reader.read_all()
    reader.close()
    assert len(reader.kept) == len(set(reader.kept)), "rows that count twice"
    assert memory_kb() - before < MEMORY_KB


@pytest.mark.soak
@pytest.mark.parametrize("mood", ["deaf", "reset", "slow"])
def test_a_bad_line_is_noticed_and_costs_nothing(
    broker: Bench, mood: str, monkeypatch: pytest.MonkeyPatch, rounds: Callable[[int, int], int]
) -> None:
    monkeypatch.setattr(nats, "PING_S", rounds(0, 4) or 0.3)
    monkeypatch.setattr(redis, "ANSWER_WITHIN_S", rounds(0, 5) or 0.5)
    broker.publish(numbered(range(100)))
    with proxy(broker.server.port) as between:
        reader = Reader(broker.source(url=broker.url(between.port), rows=50))
        read_until(reader, lambda: len(reader.kept) == 100)
        for _ in range(rounds(1, 20)):
            have, losses = len(reader.kept), reader.losses
            between.mood, between.slow_bytes = mood, 2_000
            if mood == "reset":
                between.mood = "passing"
                between.reset()
            broker.publish(numbered(range(have, have + 200)))
            if mood == "deaf":
                read_until(reader, lambda losses=losses: reader.losses > losses)  # type: ignore[misc]  # as it is now
                between.mood = "passing"
            read_more(reader, 200)
            between.mood = "passing"
        reader.close()
    assert reader.kept == list(range(len(reader.kept)))


def test_a_server_that_stands_still_is_noticed(broker: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "PING_S", 0.3)
    monkeypatch.setattr(redis, "ANSWER_WITHIN_S", 0.5)
    broker.publish(numbered(range(10)))
    reader = Reader(broker.source())
    read_until(reader, lambda: len(reader.kept) == 10)
    broker.server.freeze()
    read_until(reader, lambda: reader.losses > 0)
    broker.server.thaw()
    broker.reconnect()
    broker.publish(numbered([10]))
    read_until(reader, lambda: len(reader.kept) == 11)
    reader.close()
    assert reader.kept == list(range(11))


def test_what_waits_unread_is_bounded(broker: Bench) -> None:
    for _ in range(120):
        broker.publish([b'{"n": 1, "text": "' + b"x" * 900_000 + b'"}'])
    before = memory_kb()
    reader = Reader(broker.source())
    grown = []
    while len(reader.kept) < 120:
        reader.read(0.5)
        grown.append(memory_kb() - before)
    reader.close()
    # 32 MiB of one request, as bytes and as text, and what the allocator does not give back: not all 108 MB.
    assert max(grown) < 100_000


def memory_kb() -> int:
    """Resident memory of this process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert found
    return int(found[1])
