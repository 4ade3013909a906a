"""What a broker's messages cost: nats-py and redis-py alone, our sources, and a whole service that commits alerts.

Servers of this machine in the settings of docs/brokers.md (JetStream in a file; Redis that flushes always), streams
that are full before anybody reads, and nobody who writes meanwhile. Single messages of one event, then envelopes of
1,000 as JSON lines. The peers read and acknowledge, 1,000 at a time, and look at nothing; a service makes 48 features,
asks a forest of 100 trees, and commits rows, position and alerts to its journal before it acknowledges.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, sleep
from typing import Any, NamedTuple

import nats
import orjson
import redis
from benchmarks.stream import BEGIN, COLUMNS, envelopes, fitted, made
from nats.js.api import AckPolicy, ConsumerConfig
from tests.connections.benches import BENCHES, Bench, bench

from tocsin.alerts import AlertPolicy
from tocsin.config import KeepConfig, StreamConfig
from tocsin.journal import Journal
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.scoring.outbox import Outbox
from tocsin.scoring.requests import Requests
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.stream import Stream
from tocsin.scoring.work import Letters, Serving
from tocsin.sources.base import Intake, Source

SINGLES, ENVELOPES = 20_000, 100
AT_ONCE = 1_000
REPEATS = 2
IN_TURNS = 2_000
"""Messages that are published at once."""
ODD = 500
"""Every so many events one is out of all proportion, so that there are alerts to commit."""


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    model = fitted()
    events = list(made(AT_ONCE * ENVELOPES, BEGIN + 100_000))
    for event in events[::ODD]:
        event.update(dict.fromkeys(COLUMNS, 1e9))
    figures = {name: measured(name, model, events) for name in BENCHES}
    bars = {}
    for name, found in figures.items():
        share = found["service_singles_per_s"] / found["client_singles_per_s"]
        bars[f"{name}: alerts committed at >= 50 % of the bare client's pace"] = share >= 0.5
        bars[f"{name}: >= 100,000 events/s in envelopes"] = found["service_envelopes_per_s"] >= 100_000
    text = orjson.dumps({"features": len(model.program.outputs), **figures, "bars": bars}, option=orjson.OPT_INDENT_2)
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


def served(model: AnomalyModel, source: Source, rows: int) -> Used:
    """Let a service commit so many rows; there must be alerts among it."""
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), [], KeepConfig(), lambda: BEGIN * 1_000_000)
        letters = Letters()
        stream = Stream(
            source=source,
            intake=Intake(source, model.design.schema, quarantine=letters),
            letters=letters,
            serving=Serving(Scorer(model, AlertPolicy(cooldown_s=120.0)), 1, model.digest),
            journal=journal,
            outbox=Outbox({}, str, lambda: BEGIN * 1_000_000),
            requests=Requests(),
            settings=StreamConfig(),
            folder=Path(folder),
        )
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
        journal.close()
    return ended[0]


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
