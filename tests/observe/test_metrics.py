"""What a running service measures, as Prometheus reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tocsin import log
from tocsin.observe import live, metrics


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for kept in ("_counts", "_gauges", "_histograms"):
        monkeypatch.setattr(log, kept, type(getattr(log, kept))())


def read() -> Iterator[tuple[str, str, dict[str, str], float]]:
    """Kind, name, labels and value of all that is exposed, as Prometheus's own parser reads it."""
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            yield family.type, sample.name, sample.labels, sample.value


def values(name: str) -> list[float]:
    return [value for _, found, _, value in read() if found == name]


def test_counters_gauges_and_histograms_are_told_as_what_they_are() -> None:
    live.committed(3)
    metrics.entities_held(7, 20_000)
    metrics.stage_took("score", 0.3)
    kinds = {name: kind for kind, name, _, _ in read()}
    assert kinds["tocsin_rows_committed_total"] == kinds["process_cpu_seconds_total"] == "counter"
    assert kinds["tocsin_entities"] == "gauge"
    assert kinds["tocsin_stage_seconds_bucket"] == "histogram"
    assert (values("tocsin_rows_committed_total"), values("tocsin_entities")) == ([3.0], [7.0])


def test_a_gauge_says_how_it_stands_now() -> None:
    for waiting in (5, 3):
        metrics.outbox_waiting("webhook", waiting)
    assert values("tocsin_outbox_waiting") == [3.0]


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_bucket_holds_all_up_to_its_bound(measured: list[float]) -> None:
    log._histograms.clear()
    for seconds in measured:
        metrics.stage_took("accept", seconds)
    buckets = {labels["le"]: value for _, name, labels, value in read() if name == "tocsin_stage_seconds_bucket"}
    assert buckets == {
        bound: sum(seconds <= float(bound) for seconds in measured)
        for bound in (*map(str, log.BOUNDS["seconds"]), "+Inf")
    }
    assert values("tocsin_stage_seconds_count") == [len(measured)]
    assert values("tocsin_stage_seconds_sum") == [pytest.approx(sum(measured))]


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=' \n"\\')))
def test_a_label_is_read_as_it_was_meant(text: str) -> None:
    log._counts.clear()
    log.count("tocsin_test_total", label=text)
    (labels,) = [labels for _, name, labels, _ in read() if name == "tocsin_test_total"]
    assert labels == {"label": text}


def test_series_have_a_limit_and_what_comes_beyond_it_is_counted() -> None:
    for number in range(log.MOST_SERIES + 5):
        log.gauge("tocsin_test", 1.0, label=str(number))
        log.histogram("tocsin_test_rows", 1.0, label=str(number))
    log.gauge("tocsin_test", 2.0, label="3")
    counts, gauges, histograms = log.measured()
    assert len(gauges) == len(histograms) == log.MOST_SERIES
    assert counts == {("tocsin_series_refused_total", ()): 10}
    assert gauges["tocsin_test", (("label", "3"),)] == 2.0


def test_a_commit_without_rows_moves_no_latency() -> None:
    metrics.batch_committed(0, 0.0, 5_000_000, None)
    assert values("tocsin_commit_timestamp_seconds") == [5.0]
    assert values("tocsin_read_to_commit_seconds_count") == []


def test_an_event_from_the_future_is_fresh() -> None:
    metrics.batch_committed(2, 0.01, 5_000_000, 9_000_000)
    metrics.order_stands(2, 3_000_000)
    assert values("tocsin_event_to_commit_seconds_sum") == [0.0]
    assert values("tocsin_watermark_timestamp_seconds") == [3.0]


def test_the_process_tells_its_memory_and_descriptors() -> None:
    before = values("process_open_fds")[0]
    with Path(os.devnull).open("rb"):
        assert values("process_open_fds")[0] == before + 1
    assert 2**20 < values("process_resident_memory_bytes")[0] < 2**40


def test_promtool_finds_nothing_wrong_with_the_form(need: Callable[[bool, str], None]) -> None:
    need(shutil.which("promtool") is not None, "no promtool")
    live.committed(3)
    live.source_lost("csv", "gone")
    metrics.batch_committed(3, 0.01, 5_000_000, 4_000_000)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.exposition(), capture_output=True, check=False
    )
    said = (done.stdout + done.stderr).decode().splitlines()
    assert [line for line in said if not line.endswith("no help text")] == [], "docs/observability.md is the help"
    assert said


def test_a_file_for_the_collector_is_whole_and_readable_by_it(tmp_path: Path) -> None:
    path = tmp_path / "tocsin.prom"
    live.committed(1)
    metrics.write(path)
    live.committed(1)
    metrics.write(path)
    assert b"\ntocsin_rows_committed_total 2\n" in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["tocsin.prom"]


def test_measuring_needs_no_package_beside_the_base() -> None:
    script = "import sys, tocsin.observe.metrics as m; m.exposition(); print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
