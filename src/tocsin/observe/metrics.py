"""How a running service stands, as Prometheus reads it: gauges, histograms, and everything that was counted.

Moments are told as seconds since 1970, as Prometheus wants them; `time() - tocsin_commit_timestamp_seconds` is an age.
Source: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Literal

from tocsin.log import Histogram, Series, count, gauge, histogram, measured, shown
from tocsin.observe import live

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECOND = 1_000_000
_BEGAN = time.time()


def began(source: str, sinks: Sequence[str]) -> None:
    """What alerts are made of begins at 0: Prometheus does not see the first move of a counter that it never saw."""
    count("tocsin_rows_received_total", 0, source=source)
    count("tocsin_rows_committed_total", 0)
    count("tocsin_commits_total", 0)
    count("tocsin_checkpoints_refused_total", 0)
    count("tocsin_threads_died_total", 0)
    count("tocsin_channels_left_total", 0)
    count("tocsin_models_swapped_back_total", 0)
    count("tocsin_sources_lost_total", 0, source=source)
    count("tocsin_entities_evicted_total", 0, reason="limit")
    for sink in sinks:
        count("tocsin_deliveries_put_off_total", 0, sink=sink)
        count("tocsin_deliveries_given_up_total", 0, sink=sink)


def stage_took(stage: Literal["accept", "score", "commit"], seconds: float) -> None:
    """How long the scoring thread spent on one stage of some rows."""
    histogram("tocsin_stage_seconds", seconds, stage=stage)


def batch_committed(rows: int, waited_s: float, now: int, newest: int | None) -> None:
    """A batch is kept for good, so long after it was read; moments are UTC microseconds, None without a clock."""
    gauge("tocsin_commit_timestamp_seconds", now / _SECOND)
    if not rows:
        return
    histogram("tocsin_batch_rows", rows)
    histogram("tocsin_read_to_commit_seconds", waited_s)
    if newest is not None:
        gauge("tocsin_newest_event_timestamp_seconds", newest / _SECOND)
        histogram("tocsin_event_to_commit_seconds", max(now - newest, 0) / _SECOND)


def entities_held(entities: int, limit: int) -> None:
    """How many entities have state, and how many may have it."""
    gauge("tocsin_entities", entities)
    gauge("tocsin_entities_limit", limit)


def order_stands(held: int, watermark: int | None) -> None:
    """Rows that are held back until nothing older is waited for, and up to when nothing is (UTC microseconds)."""
    gauge("tocsin_waiting_rows", held)
    if watermark is not None:
        gauge("tocsin_watermark_timestamp_seconds", watermark / _SECOND)


def queue_length(queue: Literal["requests"], waiting: int, limit: int) -> None:
    """How full a bounded queue between two threads is."""
    gauge("tocsin_queue_length", waiting, queue=queue)
    gauge("tocsin_queue_limit", limit, queue=queue)


def outbox_waiting(sink: str, alerts: int) -> None:
    """Alerts that a sink has not taken yet."""
    gauge("tocsin_outbox_waiting", alerts, sink=sink)


def checkpoint_kept(moment: int, size_bytes: int) -> None:
    """When the last checkpoint was written, and how large it is."""
    gauge("tocsin_checkpoint_timestamp_seconds", moment / _SECOND)
    gauge("tocsin_checkpoint_bytes", size_bytes)


def journal_size(size_bytes: int) -> None:
    """Bytes of the journal, with what its write-ahead log holds."""
    gauge("tocsin_journal_bytes", size_bytes)


def model_serves(version: int, created: str) -> None:
    """Which version of the model scores, and when it was registered: ISO 8601, empty if nobody knows."""
    gauge("tocsin_model_version", version)
    if created:
        gauge("tocsin_model_registered_timestamp_seconds", datetime.fromisoformat(created).timestamp())


def exposition() -> bytes:
    """All that is counted and measured, in the text format of Prometheus."""
    _process()
    counts, gauges, histograms = measured()
    lines = [*_plain({**counts, **gauges}), *_buckets(histograms)]
    return "".join(f"{line}\n" for line in lines).encode()


@contextmanager
def kept_in(path: Path | None, every_s: float = 15.0) -> Iterator[None]:
    """Meanwhile a thread writes the exposition to a file, and once more at the end; without a path nothing."""
    if path is None:
        yield
        return
    ended = threading.Event()

    def write_on() -> None:
        while not ended.wait(every_s):
            _try_to_write(path)

    thread = threading.Thread(target=write_on, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _try_to_write(path)


def _try_to_write(path: Path) -> None:
    """A service goes on without this file."""
    try:
        write(path)
    except OSError as error:
        live.metrics_not_written(error.strerror or type(error).__name__)


def write(path: Path) -> None:
    """The exposition as a file for the textfile collector of node_exporter, which never sees half of it."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # the collector is another user
            file.write(exposition())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _plain(values: Mapping[Series, float]) -> Iterator[str]:
    for name, group in groupby(sorted(values.items()), key=_name):
        yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
        for series, value in group:
            yield f"{shown(*series)} {value}"


def _buckets(histograms: Mapping[Series, Histogram]) -> Iterator[str]:
    for name, group in groupby(sorted(histograms.items(), key=lambda item: item[0]), key=_name):
        yield f"# TYPE {name} histogram"
        for (_, labels), held in group:
            bounds = (*map(str, held.bounds), "+Inf")
            for bound, below in zip(bounds, accumulate(held.buckets), strict=True):
                yield f"{shown(name + '_bucket', (*labels, ('le', bound)))} {below}"
            yield f"{shown(name + '_sum', labels)} {held.total}"
            yield f"{shown(name + '_count', labels)} {sum(held.buckets)}"


def _name(item: tuple[Series, Any]) -> str:
    return item[0][0]


def _process() -> None:
    """This process, under the names that every Prometheus client gives them; without /proc only what is known."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    gauge("process_cpu_seconds_total", used.ru_utime + used.ru_stime)
    gauge("process_start_time_seconds", _BEGAN)
    gauge("process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        gauge("process_resident_memory_bytes", pages * resource.getpagesize())
        gauge("process_open_fds", sum(1 for _ in Path("/proc/self/fd").iterdir()))
