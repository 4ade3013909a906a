"""A service at work on a small site, and servers beside it, each on a port that the system chose."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from tocsin import log
from tocsin.config import ServerConfig
from tocsin.server.running import Server
from tocsin.server.site import Log, Site
from tocsin.system.project import Project
from tocsin.system.service import Service

CONFIG = """\
version: 1
name: small
schema:
  time: time
  entity: host
  fields:
    time: {dtype: time}
    host: {dtype: address, identity: true}
    bytes: {dtype: float, unit: bytes, minimum: 0, aliases: [octets]}
    packets: {dtype: integer, unit: packets, minimum: 0, optional: true}
source: {type: csv, path: "data/*.csv"}
labels: {column: label, normal: [normal]}
features:
  columns: [bytes, packets]
  derive: [{type: rolling, columns: [bytes], windows: [10m], statistics: [mean, max], min_count: 2}]
detector: {type: isolation_forest, trees: 20}
alerts: {budget: 1%}
sinks: [{type: jsonl, path: alerts.jsonl}]
stream: {follow: 1h}
"""
ROWS = 1_200
START = datetime(2026, 3, 2, tzinfo=UTC)
LAST = START + timedelta(minutes=ROWS)

Opened = Callable[..., "Client"]


class Client(httpx.Client):
    """Speaks to one server, and knows its site."""

    server: Server
    site: Site

    @property
    def port(self) -> int:
        return int(self.server.address.rpartition(":")[2])


def telemetry(folder: Path) -> None:
    """A row a minute of five hosts; now and then one sends far too much."""
    random = np.random.default_rng(5)
    lines = ["time,host,bytes,packets,label"]
    for row in range(ROWS):
        leaks = row > 1_000 and row % 40 == 0
        sent = 90_000.0 if leaks else random.normal(1_000, 50)
        moment = (START + timedelta(minutes=row)).isoformat()
        lines.append(f"{moment},203.0.113.{row % 5 + 1},{sent:.1f},{sent // 100:.0f},{'leak' if leaks else 'normal'}")
    (folder / "data").mkdir()
    (folder / "data" / "rows.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """At work in a thread of its own; two versions are registered, and the first one serves."""
    log.configure("error")
    folder = tmp_path_factory.mktemp("site")
    telemetry(folder)
    project = Project.load(folder / "tocsin.yaml")
    project.train(promote=True)
    (folder / "tocsin.yaml").write_text(CONFIG.replace("trees: 20", "trees: 21"), "utf-8")
    Project.load(folder / "tocsin.yaml").train()
    made: list[Service] = []
    ready = threading.Event()

    def work() -> None:
        made.append(Service(Project.load(folder / "tocsin.yaml")))
        ready.set()
        made[0].run()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(60)
    while made[0].requests.ask(lambda: made[0].stream.intake.tally.received) < ROWS:
        time.sleep(0.01)
    yield made[0]
    made[0].stop()
    thread.join()


@pytest.fixture
def opened(service: Service, tmp_path: Path) -> Iterator[Opened]:
    """Begin a server with these settings beside the service; the answer speaks to it."""
    ends: list[Any] = []

    def begin(log: Log | None = None, headers: dict[str, str] | None = None, **settings: Any) -> Client:
        site = Site.of(service, log)
        context = serving(site, tmp_path, headers, **settings)
        ends.append(context)
        return context.__enter__()

    yield begin
    for context in reversed(ends):
        context.__exit__(None, None, None)


@contextmanager
def serving(site: Site, folder: Path, headers: dict[str, str] | None, **settings: Any) -> Iterator[Client]:
    """A server on a free port, and somebody who speaks to it."""
    config = ServerConfig(listen="127.0.0.1:0", **settings)
    with (
        Server(site, config, lambda path: folder / path) as server,
        Client(base_url=f"http://{server.address}", headers=headers, timeout=20, trust_env=False) as client,
    ):
        client.server, client.site = server, site
        yield client


@pytest.fixture
def client(opened: Opened) -> Client:
    return opened()


@pytest.fixture
def row() -> dict[str, Any]:
    """A row that comes next."""
    return {"time": LAST.isoformat(), "host": "203.0.113.1", "bytes": 1_010.0, "packets": 10}


def rss() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
