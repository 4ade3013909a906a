"""Against Debian's Prometheus: a history with a known truth, and a live exporter that stops and comes back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import pytest

from tocsin.checks.source import CHECKS
from tocsin.component import PartSpec, build
from tocsin.config import parse
from tocsin.errors import DataError
from tocsin.records import ROW, Batch
from tocsin.sources.base import Intake, Source
from tocsin.sources.prometheus import Prometheus

START = 1_767_571_200
"""2026-01-05T00:00:00Z."""
HOURS = 6
SCRAPE_S = 30
BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0)
PATIENCE_S = 60.0
PROGRAMS = ("prometheus", "promtool", "prometheus-node-exporter")


class Truth(NamedTuple):
    """What a service did in each scrape interval."""

    requests: int
    errors: int
    shares: tuple[float, ...]
    """Of the requests in each bucket, from fast to slow."""


SERVICES = {
    "api": Truth(60, 3, (0.5, 0.3, 0.1, 0.06, 0.04)),
    "web": Truth(20, 0, (0.1, 0.2, 0.4, 0.2, 0.1)),
}
GAP = range(2 * 3_600, 3 * 3_600)
"""Seconds after the start in which nobody saw `web`."""


def openmetrics() -> Iterator[str]:
    """Counters and a histogram of two services, as a scrape every 30 s would have seen them."""
    scrapes = range(0, HOURS * 3_600 + 1, SCRAPE_S)
    yield "# TYPE http_requests counter"
    for service, truth in SERVICES.items():
        for code, each in (("200", truth.requests - truth.errors), ("500", truth.errors)):
            for count, second in enumerate(scrapes):
                if not (service == "web" and second in GAP):
                    labels = f'service="{service}",code="{code}"'
                    yield f"http_requests_total{{{labels}}} {count * each} {START + second}"
    yield "# TYPE http_request_duration_seconds histogram"
    for service, truth in SERVICES.items():
        for count, second in enumerate(scrapes):
            if service == "web" and second in GAP:
                continue
            below = np.cumsum(truth.shares) * truth.requests * count
            for bound, value in zip((*map(str, BOUNDS_S), "+Inf"), (*below, below[-1]), strict=True):
                labels = f'service="{service}",le="{bound}"'
                yield f"http_request_duration_seconds_bucket{{{labels}}} {value:.6f} {START + second}"
    yield "# EOF"


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server of ours, ended by its process id."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


class Site(NamedTuple):
    """A Prometheus of ours, and what it scrapes."""

    url: str
    exporter: tuple[str, ...]
    """The command that starts the exporter; it is not running yet."""


@pytest.fixture
def site(_site: Site | None, need: Callable[[bool, str], None]) -> Site:
    need(_site is not None, f"one of {', '.join(PROGRAMS)} is not there")
    assert _site is not None
    return _site


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site | None]:
    if not all(map(shutil.which, PROGRAMS)):
        yield None
        return
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history").write_text("\n".join(openmetrics()) + "\n")
    backfill = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet")
    subprocess.run([*backfill, str(folder / "history"), str(folder / "data")], check=True, capture_output=True)
    port, exporter = free_port(), free_port()
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        f'- {{job_name: self, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}\n'
        f'- {{job_name: host, static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]}}\n'
    )
    url = f"http://127.0.0.1:{port}"
    command = (
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running(*command) as process:

        def is_ours() -> bool:
            assert process.poll() is None, "prometheus ended at once"
            try:
                flags = httpx2.get(f"{url}/api/v1/status/flags").json()["data"]
            except (httpx2.HTTPError, ValueError, KeyError):
                return False
            return bool(flags["storage.tsdb.path"] == str(folder / "data"))

        until(is_ours, "the start of prometheus")
        collectors = ("--collector.disable-defaults", "--collector.loadavg", "--collector.cpu")
        yield Site(url, ("prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{exporter}", *collectors))


QUANTILE = "1000 * histogram_quantile({}, sum by (service, le) (increase(http_request_duration_seconds_bucket[5m])))"
GOLDEN = {
    "event_count": "round(sum by (service) (increase(http_requests_total[5m])))",
    "error_rate": 'sum by (service) (increase(http_requests_total{code=~"5.."}[5m]))'
    " / sum by (service) (increase(http_requests_total[5m]))",
    "p50_latency_ms": QUANTILE.format(0.5),
    "p95_latency_ms": QUANTILE.format(0.95),
    "p99_latency_ms": QUANTILE.format(0.99),
    "latency_std": f"({QUANTILE.format(0.84)} - {QUANTILE.format(0.16)}) / 2",
}


def at(second: int) -> str:
    return datetime.fromtimestamp(START + second, UTC).isoformat()


def made(site: Site, **parameters: Any) -> Prometheus:
    span = {"queries": GOLDEN, "entity": "service", "start": at(0), "end": at(HOURS * 3_600)}
    part = build("sources", PartSpec("prometheus", {"url": site.url, "timeout": 9.5, **span, **parameters}))
    assert isinstance(part, Prometheus)
    return part


def rows_of(source: Source) -> Batch:
    source.open()
    found = []
    while not source.ended:
        batch = source.read(10.0)
        if batch is not None:
            assert batch.rejected == ()
            found.append(batch)
    source.close()
    return Batch.concatenate(found)


def quantile(truth: Truth, share: float) -> float:
    """As PromQL has it: straight lines between the bounds, in milliseconds."""
    return 1_000 * float(np.interp(share, [0, *np.cumsum(truth.shares)], [0, *BOUNDS_S]))


@pytest.mark.parametrize("service", SERVICES)
def test_service_windows_are_what_happened_and_fit_the_preset(site: Site, service: str) -> None:
    schema = parse("version: 1\nname: golden\npreset: services\n").schema_
    intake = Intake(made(site), schema)
    rows = Batch.concatenate(list(intake))
    assert intake.tally.quarantined == 0, intake.tally
    seconds = rows["timestamp"] // 1_000_000 - START
    # A window is whole five minutes after the first scrape, and again after the gap.
    whole = (rows["service"] == service) & (seconds >= 600)
    if service == "web":
        whole &= (seconds < GAP.start) | (seconds >= GAP.stop + 600)
    rows, truth = rows.take(whole), SERVICES[service]
    assert rows.rows > 40
    assert set(rows["event_count"].tolist()) == {truth.requests * 300 / SCRAPE_S}
    np.testing.assert_allclose(rows["error_rate"], truth.errors / truth.requests)
    for name, share in (("p50_latency_ms", 0.5), ("p95_latency_ms", 0.95), ("p99_latency_ms", 0.99)):
        np.testing.assert_allclose(rows[name], quantile(truth, share), rtol=1e-6)


def test_a_service_that_nobody_saw_has_no_rows_instead_of_zeros(site: Site) -> None:
    rows = rows_of(made(site))
    seconds = rows["timestamp"].astype(np.int64) - START
    web = seconds[rows["service"] == "web"]
    asked = np.arange(0, HOURS * 3_600 + 1, 300)
    # The window of five minutes reaches back before the gap at its first step.
    unseen = (asked > GAP.start) & (asked < GAP.stop)
    assert set(asked[unseen]) & set(web.tolist()) == set()
    assert set(asked[~unseen][1:]) - set(web.tolist()) <= {GAP.stop}
    assert rows["event_count"].min() > 0


def test_more_steps_than_a_server_answers_at_once_come_in_pieces(site: Site) -> None:
    source = made(site, queries={"seen": "count by (service) (http_requests_total)"}, step="1s")
    rows = rows_of(source)
    api = rows.take(rows["service"] == "api")
    # five minutes of look-back are in the past of the first and behind the last
    assert api["timestamp"].astype(np.int64).tolist() == list(range(START, START + HOURS * 3_600 + 1))
    assert (np.diff(rows[ROW]) > 0).all()


def test_a_query_that_the_server_refuses_is_told_in_its_words(site: Site) -> None:
    source = made(site, queries={"event_count": "sum(rate(http_requests_total))"})
    source.open()
    with pytest.raises(DataError, match=r"query event_count\n.*expected type range vector in call to function"):
        source.read(0.1)
    source.close()


def test_a_query_without_aggregation_is_told_what_to_do(site: Site) -> None:
    source = made(site, queries={"event_count": "increase(http_requests_total[5m])"}, end=at(3_600))
    source.open()
    batch = source.read(10.0)
    source.close()
    assert batch is not None
    assert batch.rows == 0
    assert {item.reason for item in batch.rejected} == {"ambiguous"}
    assert "sum by (service)" in batch.rejected[0].detail


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_of_sources_holds_over_the_wire(
    site: Site, check: Callable[[type[Source], Path], None], tmp_path: Path
) -> None:
    def example(cls: type[Prometheus], folder: Path) -> Prometheus:
        # at the edge of the gap: one service, two, and an unaggregated one
        queries = {"event_count": GOLDEN["event_count"], "code": "increase(http_requests_total{service='api'}[5m])"}
        return made(site, queries=queries, start=at(GAP.start - 600), end=at(GAP.start + 600), rows=2)

    check(type("Prometheus", (Prometheus,), {"example": classmethod(example)}), tmp_path)


def test_a_target_that_stops_and_comes_back_leaves_a_gap_and_no_zero(site: Site) -> None:
    queries = {
        "up": 'up{job="host"}',
        "load": "node_load1",
        "cpu": "sum by (job) (increase(node_cpu_seconds_total[5s]))",
    }
    source = made(site, queries=queries, entity="job", step="1s", delay="4s", start=None, end=None)
    seen: list[Batch] = []

    def follow(wanted: Callable[[Batch], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not (seen and wanted(seen[-1])):
            assert time.monotonic() < deadline, "that did not happen"
            batch = source.read(0.2)
            if batch is not None:
                seen.append(batch)
                source.acknowledge(batch)

    source.open()
    with running(*site.exporter):
        follow(lambda batch: batch["cpu"][-1] > 0)
    follow(lambda batch: batch["up"][-1] == 0 and np.isnan(batch["load"][-1]))
    with running(*site.exporter):
        follow(lambda batch: batch["load"][-1] >= 0 and batch["up"][-1] == 1)
    assert not source.ended
    source.close()
    live = Batch.concatenate(seen)
    stopped = live["up"] == 0
    assert np.isnan(live["load"][stopped]).all()
    assert (np.diff(live[ROW]) == 10_000).all()
    first, last = (str(live["timestamp"][place]) + "Z" for place in (0, -1))
    later = rows_of(made(site, queries=queries, entity="job", step="1s", delay="4s", start=first, end=last))
    for name in live:
        np.testing.assert_equal(later[name], live[name])
