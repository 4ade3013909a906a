"""What a swap costs a stream: how long rows wait for their commit while the next model is made ready and takes over.

Rows of 1,000 hosts come at 2,000 a second in batches of 100. Half of the time nothing else happens; then models follow
each other, each verified, replayed in a child process, warmed and watched while the stream goes on. A batch counts as
met by a swap from the promotion of a version until a second after it serves.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory

import numpy as np

from tocsin import log
from tocsin.config import KeepConfig, parse
from tocsin.journal import Journal
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import FILE, ROW, SECOND, Batch, Judgement, Position, Verdict
from tocsin.scoring.outbox import Outbox
from tocsin.scoring.requests import Requests
from tocsin.scoring.stream import Stream
from tocsin.scoring.work import Clocks, Letters
from tocsin.sources.base import Intake, Source
from tocsin.system import Project
from tocsin.system.following import Follower
from tocsin.system.serving import serving_of

HOSTS, ROWS, PER_S = 1_000, 100, 2_000
QUIET_S, SWAPS, AFTER_S = 30.0, 8, 1.0
BAR = 2.0
BEGIN = 1_790_000_000 * SECOND
CONFIG = """\
version: 1
name: swapped
schema:
  time: time
  entity: host
  fields: {time: {dtype: time}, host: {dtype: category}, load: {dtype: float}, sent: {dtype: float}}
features:
  columns: [load, sent]
  derive: [{type: rolling, columns: [load, sent], windows: [1m, 5m], statistics: [mean, std, max]}]
detector: {type: isolation_forest}
alerts: {budget: 0.1%}
stream: {follow: 100ms}
registry: {path: registry, keep: 100}
"""
PASSED = Verdict(passed=True, judgements=(Judgement("recall", ">= 0.9", 0.95, passed=True, reason=""),))
REPORT = {"figures": {}, "rows": {"all": 10, "unlabelled": 0}}


def rows(rng: np.random.Generator, count: int, first: int = 0) -> Batch:
    """One row each half millisecond, of the hosts in turn."""
    numbers = first + np.arange(count)
    return Batch(
        {
            "time": BEGIN + numbers * (SECOND // PER_S),
            "host": np.array([f"host-{number % HOSTS}" for number in numbers.tolist()], dtype=object),
            "load": rng.normal(0.5, 0.1, count),
            "sent": rng.normal(10.0, 2.0, count),
            FILE: np.full(count, "rows", dtype=object),
            ROW: numbers + 1,
        }
    )


class Paced(Source):
    """Gives what it is given, and keeps how long each batch waited for its commit."""

    replayable = False

    def __init__(self) -> None:
        self.queue: Queue[tuple[float, Batch]] = Queue()
        self.waited: list[tuple[float, float]] = []
        """When a batch came, and how long it waited, in seconds."""
        self.over = False
        self._taken: list[float] = []
        self._given = 0

    def open(self, resume: Position | None = None) -> None:
        """There is nothing to be opened."""

    def read(self, timeout_s: float) -> Batch | None:
        try:
            came, batch = self.queue.get(timeout=timeout_s) if timeout_s else self.queue.get_nowait()
        except Empty:
            return None
        self._taken.append(came)
        return batch

    @property
    def ended(self) -> bool:
        return self.over and self.queue.empty()

    def acknowledge(self, batch: Batch) -> Position:
        self._given += batch.rows
        return Position("paced", {"rows": self._given})

    def confirm(self) -> None:
        now = time.monotonic()
        self.waited += [(came, now - came) for came in self._taken]
        self._taken = []


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        path = Path(folder, "tocsin.yaml")
        path.write_text(CONFIG, encoding="utf-8")
        project = Project.load(path)
        versions = [project.registry.add("swapped", fitted(rng).bundle({}), REPORT, PASSED) for _ in range(SWAPS + 1)]
        project.promote(versions[0].version)
        source, met, streams = Paced(), list[tuple[float, float]](), list[Stream]()
        began = threading.Event()
        worker = threading.Thread(target=serve, args=(path, source, streams, began))
        worker.start()
        began.wait()
        feeder = threading.Thread(target=feed, args=(source, rng))
        feeder.start()
        time.sleep(QUIET_S)
        for version in versions[1:]:
            since = time.monotonic()
            project.promote(version.version)
            while streams[0].serving.version != version.version:
                time.sleep(0.05)
            met.append((since, time.monotonic()))
            time.sleep(2 * AFTER_S)
        source.over = True
        feeder.join()
        worker.join()
    quiet, swapping = told(source.waited, met)
    ratio = round(swapping["p99_ms"] / quiet["p99_ms"], 2)
    for name, waits in (("quiet", quiet), ("swapping", swapping)):
        print(f"{name:9} {json.dumps(waits)}")
    print(f"p99 while swapping over p99: {ratio} (bar {BAR})")
    figures = {"quiet": quiet, "swapping": swapping, "ratio_p99": ratio, "swaps": SWAPS, "rows_per_s": PER_S}
    bars = {f"p99 during a swap <= {BAR:g}x": ratio <= BAR}
    out.write_text(json.dumps({**figures, "bars": bars}), encoding="utf-8")


def fitted(rng: np.random.Generator) -> AnomalyModel:
    """A model of twenty seconds of rows."""
    train, calibration = rows(rng, 20_000), rows(rng, 20_000, 20_000)
    return AnomalyModel(Design.of(parse(CONFIG))).fit(train, calibration)


def serve(path: Path, source: Paced, streams: list[Stream], began: threading.Event) -> None:
    """The stream's own thread."""
    project, letters, clocks = Project.load(path), Letters(), Clocks()
    folder = path.parent / "stream"
    with Journal(folder, [], KeepConfig(), clocks.now) as journal:
        stream = Stream(
            source=source,
            intake=Intake(source, project.config.schema_, quarantine=letters),
            letters=letters,
            serving=serving_of(project, "champion"),
            journal=journal,
            outbox=Outbox({}, str, clocks.now),
            requests=Requests(),
            settings=project.config.stream,
            folder=folder,
        )
        streams.append(stream)
        follower = Follower(Project.load(path), stream, folder, clocks)
        follower.start()
        began.set()
        stream.run()
        follower.close()


def feed(source: Paced, rng: np.random.Generator) -> None:
    """A batch whenever its time has come, however busy the machine is."""
    began, number = time.monotonic(), 0
    while not source.over:
        batch = rows(rng, ROWS, number * ROWS)
        raw = batch.replace({"time": batch["time"].astype("datetime64[us]")})
        due = began + number * ROWS / PER_S
        time.sleep(max(0.0, due - time.monotonic()))
        source.queue.put((due, raw))
        number += 1


def told(
    waited: list[tuple[float, float]], met: list[tuple[float, float]]
) -> tuple[dict[str, float], dict[str, float]]:
    """How long batches waited while nothing else happened, and while models followed each other."""
    first = met[0][0]
    quiet = [wait for came, wait in waited if first - QUIET_S + 2.0 < came < first]
    swapping = [wait for came, wait in waited if any(begin <= came <= end + AFTER_S for begin, end in met)]
    return summary(quiet), summary(swapping)


def summary(waits: list[float]) -> dict[str, float]:
    """In milliseconds."""
    p50, p99, most = (np.quantile(waits, [0.5, 0.99, 1.0]) * 1e3).round(2).tolist()
    return {"batches": len(waits), "p50_ms": p50, "p99_ms": p99, "most_ms": most}
