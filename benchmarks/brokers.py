"""What a broker's messages cost: nats-py and redis-py alone, our sources, and a whole service that commits alerts.

Servers of this machine in the settings of docs/brokers.md (JetStream in a file; Redis that flushes always), streams
that are full before anybody reads, and nobody who writes meanwhile. Single messages of one event, then envelopes of
1,000 as JSON lines. The peers read and acknowledge, 1,000 at a time, and look at nothing; a service makes 48 features,
asks a forest of 100 trees, and commits rows, position and alerts to its journal before it acknowledges.

Then what an alert waits, from the moment at which its event was due to the commit of the alert, while a second process
sends 5,000 single events a second; and what is left of the pace, with MQTT too, when one event in a thousand is poison:
clean and poisoned streams in turns, every refused row counted.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, process_time, sleep
from typing import Any, NamedTuple

import nats
import numpy as np
import orjson
import redis
from benchmarks.stream import BEGIN, COLUMNS, envelopes, fitted, made
from nats.js.api import AckPolicy, ConsumerConfig
from tests.connections.benches import BENCHES, Bench, bench
from tests.connections.mosquitto import documented, mosquitto

from tocsin.alerts import AlertPolicy
from tocsin.config import KeepConfig, StreamConfig
from tocsin.connections.credentials import Credentials
from tocsin.connections.mqtt import MqttClient
from tocsin.journal import Journal, Step
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import Alert
from tocsin.scoring.outbox import Outbox
from tocsin.scoring.requests import Requests
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.stream import Stream
from tocsin.scoring.work import Letters, Serving
from tocsin.sources.base import Intake, Source
from tocsin.sources.base_messages import MessageSource
from tocsin.sources.mqtt import Mqtt

SINGLES, ENVELOPES = 20_000, 100
AT_ONCE = 1_000
REPEATS = 2
IN_TURNS = 2_000
"""Messages that are published at once."""
ODD = 500
"""Every so many events one is out of all proportion, so that there are alerts to commit."""
PER_S, LIVE_S = 5_000, 30.0
SEEN = 20 * AT_ONCE
"""Events that are read before others are sent at that pace."""
LOUD = 250
"""Of those, every so many one rings, each of another entity."""
POISON = 1_000
"""Every so many events one is none."""
KINDS = (
    b"{",
    b"nonsense",
    b"17",
    b"null",
    b"{}",
    b'{"time": "soon", "host": "h", "bytes": 1, "packets": 1, "seconds": 1}',
)
FEW_SINGLES, FEW_ENVELOPES = 3_000, 50
"""For MQTT: mosquitto writes all that it holds with every change."""
TURNS = 3
"""Of clean and poisoned streams."""


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    model = fitted()
    events = list(made(AT_ONCE * ENVELOPES, BEGIN + 100_000))
    for event in events[::ODD]:
        event.update(dict.fromkeys(COLUMNS, 1e9))
    figures = {name: measured(name, model, events) for name in BENCHES}
    waits = {name: waited(name, model) for name in BENCHES}
    poisoned = {name: shares(name, model, events) for name in (*BENCHES, "mqtt")}
    bars = {}
    for name, found in figures.items():
        share = found["service_singles_per_s"] / found["client_singles_per_s"]
        bars[f"{name}: alerts committed at >= 50 % of the bare client's pace"] = share >= 0.5
        bars[f"{name}: >= 100,000 events/s in envelopes"] = found["service_envelopes_per_s"] >= 100_000
        bars[f"{name}: p99 from event to alert <= 100 ms at 5,000 events/s"] = waits[name]["p99_ms"] <= 100
    for name, left in poisoned.items():
        for way in ("singles", "envelopes"):
            bars[f"{name}: >= 90 % of the pace in {way} with 1 in 1,000 poisoned"] = left[f"{way}_share"] >= 0.9
    told = {"features": len(model.program.outputs), **figures, "waits": waits, "poisoned": poisoned, "bars": bars}
    text = orjson.dumps(told, option=orjson.OPT_INDENT_2)
    print(text.decode())
    out.write_bytes(text)


def measured(name: str, model: AnomalyModel, events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The best of two of every way, in turns, so that a busy minute hits all alike."""
    singles = [orjson.dumps(event) for event in events[:SINGLES]]
    found: dict[str, float] = {}
    for _ in range(REPEATS):
        with TemporaryDirectory() as folder, bench(name, Path(folder)) as broker:
            fill(broker, singles)
            taken = {
                "client_singles": PEERS[name](broker),
                "source_singles": read(broker.source(name="source", messages=SINGLES)),
                "service_singles": served(model, broker.source(), SINGLES),
            }
        with TemporaryDirectory() as folder, bench(name, Path(folder)) as broker:
            fill(broker, envelopes(events))
            many = {
                "source_envelopes": read(broker.source(name="source", messages=ENVELOPES)),
                "service_envelopes": served(model, broker.source(), len(events)),
            }
        rates = {way: Rate.of(SINGLES, *used) for way, used in taken.items()}
        rates |= {way: Rate.of(len(events), *used) for way, used in many.items()}
        for way, rate in rates.items():
            found[f"{way}_per_s"] = max(found.get(f"{way}_per_s", 0.0), rate.per_s)
            found[f"{way}_per_cpu_s"] = max(found.get(f"{way}_per_cpu_s", 0.0), rate.per_cpu_s)
    return found


class Rate(NamedTuple):
    """Events in a second that passed, and in one that this process computed: the latter also on a busy machine."""

    per_s: float
    per_cpu_s: float

    @classmethod
    def of(cls, events: int, seconds: float, cpu_seconds: float) -> Rate:
        return cls(events / seconds, events / cpu_seconds)


def fill(broker: Bench, contents: Sequence[bytes]) -> None:
    for first in range(0, len(contents), IN_TURNS):
        broker.publish(contents[first : first + IN_TURNS])


Used = tuple[float, float]
"""Seconds, and those of them that this process computed."""


def read(source: Source) -> Used:
    """Read, acknowledge and confirm all, batch by batch."""
    begun, computed = perf_counter(), process_time()
    source.open()
    while not source.ended:
        batch = source.read(1.0)
        if batch is not None:
            source.acknowledge(batch)
            source.confirm()
    source.close()
    return perf_counter() - begun, process_time() - computed


def served(model: AnomalyModel, source: Source, rows: int, poison: int = 0) -> Used:
    """Let a service commit so many rows; there must be alerts among it, and as many refused rows."""
    with service(model, source) as (stream, journal):
        ended: list[Used] = []

        def watch() -> None:
            while stream.rows < rows:
                sleep(0.002)
            ended.append((perf_counter() - begun, process_time() - computed))
            stream.stop()

        watcher = threading.Thread(target=watch, daemon=True)
        begun, computed = perf_counter(), process_time()
        watcher.start()
        stream.run()
        assert journal.stored.alerts(1), "no alert was committed"
        assert stream.intake.tally.quarantined == poison, f"{stream.intake.tally.reasons} for {poison} broken rows"
    return ended[0]


class TimedJournal(Journal):
    """Knows when each alert was durable."""

    rang: list[tuple[float, Alert]]

    def commit(self, step: Step) -> tuple[Alert, ...]:
        fresh = super().commit(step)
        self.rang += [(monotonic(), alert) for alert in fresh]
        return fresh


@contextmanager
def service(model: AnomalyModel, source: Source) -> Iterator[tuple[Stream, TimedJournal]]:
    with TemporaryDirectory() as folder:
        journal = TimedJournal(Path(folder), [], KeepConfig(), lambda: BEGIN * 1_000_000)
        journal.rang = []
        letters = Letters()
        yield (
            Stream(
                source=source,
                intake=Intake(source, model.design.schema, quarantine=letters),
                letters=letters,
                serving=Serving(Scorer(model, AlertPolicy(cooldown_s=120.0)), 1, model.digest),
                journal=journal,
                outbox=Outbox({}, str, lambda: BEGIN * 1_000_000),
                requests=Requests(),
                settings=StreamConfig(),
                folder=Path(folder),
            ),
            journal,
        )
        journal.close()


def waited(name: str, model: AnomalyModel) -> dict[str, float]:
    """What alerts wait while events are sent by the clock, however fast they are read."""
    events = list(made(SEEN + int(PER_S * LIVE_S), BEGIN + 100_000))
    seen, live = events[:SEEN], events[SEEN:]
    loud = {f"host-{place:04}": LOUD * place for place in range(len(live) // LOUD)}
    for host, place in loud.items():
        live[place].update(dict.fromkeys(COLUMNS, 1e9), host=host)
    with (
        TemporaryDirectory() as folder,
        bench(name, Path(folder)) as broker,
        service(model, broker.source()) as (stream, journal),
    ):
        fill(broker, envelopes(seen))
        file, begin = Path(folder) / "events", monotonic() + 6.0
        file.write_bytes(b"\n".join(map(orjson.dumps, live)))
        run = [sys.executable, "-m", "benchmarks._broker_sender", name, broker.url(), str(file), str(begin), str(PER_S)]

        def watch() -> None:
            with subprocess.Popen(run) as sender:
                while stream.rows < len(events) and sender.poll() in (None, 0):
                    sleep(0.01)
            stream.stop()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        stream.run()
        watcher.join()
        assert stream.rows == len(events), f"{stream.rows:,} of {len(events):,} events came"
    waits: dict[str, float] = {}
    for at, alert in journal.rang:
        due = loud.get(alert.entity)
        if due is None or alert.start is None or alert.end is None:
            continue
        if alert.start <= live[due]["time"] * 1_000 <= alert.end:
            waits.setdefault(alert.entity, at - begin - due / PER_S)
    assert len(waits) > len(loud) // 2, f"{len(waits)} of {len(loud)} loud events rang"
    p50, p99 = np.quantile(list(waits.values()), (0.5, 0.99)).tolist()
    return {"alerts": len(waits), "p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3, "most_ms": max(waits.values()) * 1e3}


def shares(name: str, model: AnomalyModel, events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The pace of a service with clean and with poisoned streams, the best of each, and what is left of it."""
    few, many = (SINGLES, ENVELOPES) if name in BENCHES else (FEW_SINGLES, FEW_ENVELOPES)
    lines = [orjson.dumps(event) for event in events[: AT_ONCE * many]]
    mixed = list(lines)
    for place in range(POISON // 2, len(mixed), POISON):
        mixed[place] = KINDS[place // POISON % len(KINDS)]
    found: dict[str, float] = {}
    for _ in range(TURNS):
        for kind, sent in (("clean", lines), ("poisoned", mixed)):
            for way, at_once in (("singles", 1), ("envelopes", AT_ONCE)):
                rows = sent[:few] if at_once == 1 else sent
                contents = [b"\n".join(rows[first : first + at_once]) for first in range(0, len(rows), at_once)]
                poison = len(rows) // POISON if kind == "poisoned" else 0
                with TemporaryDirectory() as folder, opened(name, Path(folder)) as broker:
                    fill(broker, contents)
                    rate = Rate.of(len(rows), *served(model, broker.source(), len(rows), poison))
                for unit, pace in (("per_s", rate.per_s), ("per_cpu_s", rate.per_cpu_s)):
                    key = f"{way}_{kind}_{unit}"
                    found[key] = max(found.get(key, 0.0), pace)
    return found | {
        f"{way}_share": found[f"{way}_poisoned_per_s"] / found[f"{way}_clean_per_s"] for way in ("singles", "envelopes")
    }


class MqttBench(Bench):
    """Of MQTT, with the session of a service that is known to the broker already."""

    name = "mqtt"

    def begin(self) -> None:
        self._sender = MqttClient(self.server.url, "sender", Credentials())
        self._sender.connect()
        source = self.source()
        source.open()
        source.close()

    def publish(self, contents: Sequence[bytes]) -> None:
        self._sender.publish("events/a", contents)

    def reconnect(self) -> None:
        self._sender.connect()

    def source(
        self, *, url: str | None = None, name: str = "tocsin", history: bool = False, **parameters: Any
    ) -> MessageSource:
        return Mqtt(url=url or self.server.url, client_id=name, topics=("events/#",), **parameters)

    def close(self) -> None:
        self._sender.close()


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Bench]:
    if name in BENCHES:
        with bench(name, folder) as broker:
            yield broker
        return
    with mosquitto(folder, documented()) as server:
        broker = MqttBench(server)
        yield broker
        broker.close()


def nats_alone(broker: Bench) -> Used:
    async def consume() -> Used:
        client = await nats.connect(broker.url())
        stream = client.jetstream()
        config = ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=10 * AT_ONCE)
        begun, computed, got = perf_counter(), process_time(), 0
        waiting = await stream.pull_subscribe("events.>", "alone", stream="events", config=config)
        while got < SINGLES:
            messages = await waiting.fetch(AT_ONCE, timeout=5)
            await messages[-1].ack()
            got += len(messages)
        await client.flush()
        used = perf_counter() - begun, process_time() - computed
        await client.close()
        return used

    return asyncio.run(consume())


def redis_alone(broker: Bench) -> Used:
    client: Any = redis.Redis.from_url(broker.url())
    begun, computed, got = perf_counter(), process_time(), 0
    client.xgroup_create("events", "alone", id="0")
    while got < SINGLES:
        told = client.xreadgroup("alone", "me", {"events": ">"}, count=AT_ONCE)
        ids = [id for id, _ in chain.from_iterable(entries for _, entries in told)]
        client.xack("events", "alone", *ids)
        got += len(ids)
    used = perf_counter() - begun, process_time() - computed
    client.close()
    return used


PEERS: dict[str, Callable[[Bench], Used]] = {"nats": nats_alone, "redis_stream": redis_alone}
