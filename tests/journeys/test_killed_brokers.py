"""Case 10 on brokers: what was published is counted once and rings once, whoever of service and broker is killed."""

from __future__ import annotations

import threading
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import orjson
import polars as pl
import pytest
import redis
from tests.connections import mosquitto
from tests.connections.mosquitto import Mosquitto
from tests.connections.servers import NatsServer, RedisServer, documented
from tests.journeys.service import Outcome, Service, Site, events
from tests.sinks.receivers import HttpReceiver

from tocsin.connections import Unreachable
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt import MqttClient
from tocsin.connections.nats import NatsClient
from tocsin.connections.redis import RedisClient
from tocsin.scoring.outbox import TOGETHER
from tocsin.sources.base_messages import PLACES

NOBODY = Credentials()
MOST_ROWS = 50
"""Of one message."""
STREAM = """\
  source: {SOURCE}
  record: all
  latency: 1ms
  checkpoint: 200ms
"""
FILE = '{type: jsonl, path: "live/*.jsonl"}'
SINK = "{type: jsonl, path: alerts.jsonl}"
WEBHOOK = '{{type: webhook, url: "{url}/", secret: "whsec_{key}", allow: [127.0.0.1/32], allow_http: true}}'
BROKEN = (
    b'{"number": %d\n',
    b"%d\n",
    b'{"time": "2026-03-02T00:00:00+00:00", "host": "h", "number": %d, "bytes": -1}\n',
)


class OnNats:
    """A stream of a server with JetStream, as docs/brokers.md has it."""

    source: ClassVar[str] = '{{type: nats, url: "{url}", stream: EVENTS, rows: 20}}'
    file: ClassVar[str] = "EVENTS"

    def __init__(self, folder: Path) -> None:
        self.server = NatsServer(folder, documented("NATS"))
        self.server.start()
        self._client = NatsClient(self.server.url, NOBODY)
        self.connect()
        self._client.make_stream("EVENTS", ["events.>"])

    def connect(self) -> None:
        self._client.connect()

    def publish(self, messages: Sequence[bytes]) -> None:
        self._client.publish("events.a", [(sha256(message).hexdigest(), message) for message in messages])

    def pending(self) -> int:
        found = self._client.consumer("EVENTS", "tocsin")
        assert found
        return found.in_flight + found.left

    def close(self) -> None:
        self._client.close()


class OnRedis:
    """A stream of a server that flushes every entry."""

    source: ClassVar[str] = '{{type: redis_stream, url: "{url}", stream: events, rows: 20}}'
    file: ClassVar[str] = "events"

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(folder, documented("Redis"))
        self.server.start()
        self._client = RedisClient(self.server.url, NOBODY)
        self.connect()

    def connect(self) -> None:
        self._client.connect()

    def publish(self, messages: Sequence[bytes]) -> None:
        self._client.add("events", [{"data": message} for message in messages], 10**7)

    def pending(self) -> int:
        with redis.Redis(port=self.server.port) as client:
            (group,) = client.xinfo_groups("events")
        return int(group["pending"]) + int(group["lag"])

    def close(self) -> None:
        self._client.close()


class OnMqtt:
    """A topic of a mosquitto that writes after every change, and a session that waits for it."""

    source: ClassVar[str] = '{{type: mqtt, url: "{url}", topics: ["events/#"], client_id: site, rows: 20}}'
    file: ClassVar[str] = "mqtt site"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.server = Mosquitto(folder, mosquitto.documented())
        self.server.start()
        assert self.pending() == 0
        self._client = MqttClient(self.server.url, "sender", NOBODY)
        self.connect()

    def connect(self) -> None:
        self._client.connect()

    def publish(self, messages: Sequence[bytes]) -> None:
        self._client.publish("events/a", messages)

    def pending(self) -> int:
        """Takes the session's place: for when no service is there."""
        session = MqttClient(self.server.url, "site", NOBODY, keep_s=86_400, in_flight=500)
        session.connect()
        waiting = session.subscribe(["events/#"])
        session.close()
        return waiting

    def close(self) -> None:
        self._client.close()


Broker = OnNats | OnRedis | OnMqtt


@dataclass(frozen=True, slots=True)
class Case:
    """What is published, and what becomes of it in a service that nobody kills."""

    trained: Site
    messages: list[bytes]
    """No two are equal: MQTT numbers none."""
    whole: Outcome
    places: list[int]
    """Of all rows: the message, and where in it."""

    def rows_in(self, messages: int) -> int:
        """Rows of the first so many messages."""
        return bisect(self.places, (messages + 1) * PLACES)

    def outcome(self, file: str) -> Outcome:
        """The same, had the rows been read from this broker."""
        letters = [(file, self.places[row - 1], reason) for _, row, reason in self.whole.letters]
        return replace(self.whole, letters=letters)


@pytest.fixture(scope="module")
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rounds: Callable[[int, int], int]
) -> Case:
    """Rows with some leaks among them, some that repeat earlier ones, and some that are none."""
    folder, rng, rows = tmp_path_factory.mktemp("case"), np.random.default_rng(7), rounds(3_000, 60_000)
    changes = [("features:\n", "features:\n  wait: 5s\n")] if request.param == "waiting" else []
    trained = Site.made(folder / "trained", rng, *changes)
    good, broken = events(rng, rows, leaks=rows // 100), set()
    lines = good.copy()
    for number, place in enumerate(rng.integers(0, rows, rows // 100).tolist()):
        lines.insert(place, b" " * (number + 1) + good[place // 2])
        lines.insert(place // 3, BROKEN[number % len(BROKEN)] % number)
        broken.add(lines[place // 3])
    site = trained.copied(folder / "whole", STREAM.replace("{SOURCE}", FILE))
    (site.folder / "live" / "a.jsonl").write_bytes(b"".join(lines))
    with site.serve() as service:
        service.ready()
        service.until(partial(site.has, len(lines)))
        service.stop()
    whole = site.outcome()
    assert len(whole.alerts) >= rows // 150
    assert whole.tally["quarantined"] == len(whole.letters) >= rows // 100
    assert whole.tally["duplicates"] > 0
    groups = list(_grouped(rng, lines))
    places = [number * PLACES + row for number, group in enumerate(groups, 1) for row in range(1, len(group) + 1)]
    messages = [_message(rng, group, tabular=broken.isdisjoint(group)) for group in groups]
    assert len(set(messages)) == len(messages)
    return Case(trained, messages, whole, places)


@pytest.fixture(params=[OnNats, OnRedis, OnMqtt])
def broker(request: pytest.FixtureRequest, tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[Broker]:
    """Each of them in turn, in the settings that lose nothing."""
    found = {OnNats: NatsServer.found(), OnRedis: RedisServer.found(), OnMqtt: mosquitto.BINARY}
    need(found[request.param] is not None, f"no server for {request.param.__name__}")
    broker = request.param(tmp_path / "broker")
    yield broker
    broker.close()
    broker.server.kill()


@dataclass(frozen=True, slots=True)
class Live:
    """A site that reads from a broker, and the receiver of its alerts."""

    case: Case
    broker: Broker
    site: Site
    receiver: HttpReceiver

    def work_a_while(self, service: Service, messages: int, rng: np.random.Generator) -> None:
        """Let it commit some of the rows of the first so many messages, and be anywhere in the next ones."""
        sent, received = self.case.rows_in(messages), self.site.received
        rows = rng.integers(min(received, sent), sent, endpoint=True)  # some may have come twice
        service.until(partial(self.site.has, int(rows)))
        service.pause(rng.uniform(0, 0.02))

    def come_to_an_end(self, service: Service) -> Outcome:
        """Stop when all rows are passed on and all alerts sent."""
        passed_on = self.case.whole.tally["passed_on"]
        service.until(lambda: self.site.stored.progress().tally["passed_on"] >= passed_on)
        service.until(lambda: not self.site.query("SELECT 1 FROM deliveries WHERE outcome = ''"))
        service.stop()
        assert self.broker.pending() == 0
        return self.site.outcome()

    def sent_twice(self, kills: int) -> int:
        """How many alerts came once more; all that should came at all."""
        posted = [orjson.loads(each.body)["id"] for each in self.receiver.posted]
        twice = len(posted) - len(set(posted))
        assert set(posted) == set(self.site.outcome().alerts) - self.site.quiet
        assert twice <= kills * TOGETHER
        return twice


@pytest.fixture
def live(case: Case, broker: Broker, tmp_path: Path) -> Iterator[Live]:
    source = broker.source.format(url=broker.server.url)
    site = case.trained.copied(tmp_path / "killed", STREAM.replace("{SOURCE}", source))
    path = site.folder / "tocsin.yaml"
    with HttpReceiver() as receiver:
        sink = WEBHOOK.format(url=receiver.url, key="a" * 32)
        path.write_text(path.read_text("utf-8").replace(SINK, sink), "utf-8")
        yield Live(case, broker, site, receiver)


@pytest.mark.soak
@pytest.mark.parametrize("case", ["in order"], indirect=True)
def test_what_was_published_counts_once_however_often_the_service_is_killed(
    live: Live,
    rng: np.random.Generator,
    rounds: Callable[[int, int], int],
    record_property: Callable[[str, object], None],
) -> None:
    kills, recoveries, published = rounds(5, 55), [], 0
    *parts, last = _parts(rng, live.case.messages, kills + 1)
    for part in parts:
        published += len(part)
        with live.site.serve() as service:
            live.broker.publish(part)
            if rng.random() < 0.2:
                service.pause(rng.uniform(0, 1.0))  # it may be killed before it is ready
                continue
            recoveries.append(service.ready())
            live.work_a_while(service, published, rng)
    with live.site.serve() as service:
        recoveries.append(service.ready())
        live.broker.publish(last)
        found = live.come_to_an_end(service)
    record_property("seconds to be ready, from the start of the process", sorted(recoveries))
    record_property("alerts sent twice", live.sent_twice(kills))
    assert found == live.case.outcome(live.broker.file)


@pytest.mark.soak
@pytest.mark.parametrize("case", ["waiting"], indirect=True)
def test_what_was_published_counts_once_though_service_and_broker_are_killed_in_turns(
    live: Live,
    rng: np.random.Generator,
    rounds: Callable[[int, int], int],
    record_property: Callable[[str, object], None],
) -> None:
    kills, doubtful, published = rounds(2, 50), 0, 0
    *parts, last = _parts(rng, live.case.messages, kills + 1)
    for turn, part in enumerate(parts):
        with live.site.serve() as service:
            service.ready()
            for some in _parts(rng, part, 3):
                publish = _publish_to_one_that_falls if turn % 2 else _publish
                doubtful += publish(live.broker, some, rng)
                published += len(some)
                live.work_a_while(service, published, rng)
    live.broker.server.kill()
    with live.site.serve() as service:
        service.ready()  # before its broker is, as after a power cut
        live.broker.server.start()
        live.broker.connect()
        live.broker.publish(last)
        found = live.come_to_an_end(service)
    record_property("messages that were sent again", doubtful)
    record_property("alerts sent twice", live.sent_twice(kills))
    whole = live.case.outcome(live.broker.file)
    assert replace(found, tally={}, letters=[]) == replace(whole, tally={}, letters=[])
    assert found.tally["passed_on"] == whole.tally["passed_on"]
    assert whole.tally["received"] <= found.tally["received"] <= whole.tally["received"] + doubtful * MOST_ROWS
    assert _reasons(whole) <= _reasons(found)


def _publish(broker: Broker, messages: Sequence[bytes], _rng: np.random.Generator) -> int:
    broker.publish(messages)
    return 0


def _publish_to_one_that_falls(broker: Broker, messages: Sequence[bytes], rng: np.random.Generator) -> int:
    """Publish while the broker is killed, and again what it did not acknowledge; how many it may have twice."""
    fall = threading.Timer(rng.uniform(0, 0.02), broker.server.kill)
    fall.start()
    doubtful: Sequence[bytes] = ()
    try:
        broker.publish(messages)
    except Unreachable:
        doubtful = messages
    fall.join()
    broker.server.start()
    broker.connect()
    broker.publish(doubtful)
    return len(doubtful)


def _reasons(outcome: Outcome) -> Counter[str]:
    return Counter(reason for *_, reason in outcome.letters)


def _grouped(rng: np.random.Generator, lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Every other one alone, the rest in groups."""
    first = 0
    while first < len(lines):
        size = 1 if rng.random() < 0.5 else int(rng.integers(2, MOST_ROWS + 1))
        yield list(lines[first : first + size])
        first += size


def _message(rng: np.random.Generator, lines: Sequence[bytes], *, tabular: bool) -> bytes:
    """A line, or several as lines, as an array or as a table."""
    kind = rng.integers(3) if tabular and len(lines) > 1 else 0
    if kind == 0:
        return b"".join(lines)
    if kind == 1:
        return b"[" + b",".join(lines) + b"]"
    table = BytesIO()
    pl.DataFrame(list(map(orjson.loads, lines))).write_ipc_stream(table)
    return table.getvalue()


def _parts(rng: np.random.Generator, messages: Sequence[bytes], number: int) -> Iterator[Sequence[bytes]]:
    """So many parts of random size, some of them empty."""
    cuts = [0, *sorted(rng.integers(0, len(messages) + 1, number - 1).tolist()), len(messages)]
    yield from (messages[first:stop] for first, stop in pairwise(cuts))
