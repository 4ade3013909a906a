"""A service that is killed anywhere goes on to the same alerts and the same bits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin import log
from tocsin.alerts import AlertPolicy
from tocsin.config import KeepConfig, StreamConfig
from tocsin.errors import IntegrityError, SourceLost
from tocsin.journal import Journal
from tocsin.journal.stored import Stored
from tocsin.kernel.checkpoint import dump
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import FILE, ROW, Alert, Batch, Position, Rejected
from tocsin.scoring import checkpoint as checkpoints
from tocsin.scoring.outbox import Outbox
from tocsin.scoring.requests import Requests
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.stream import CHECKPOINT, Stream
from tocsin.scoring.work import Clocks, Letters, Serving
from tocsin.sinks.base import Sink
from tocsin.sources.base import Intake, Source

Rows = Callable[..., Batch]
_LENGTHS = 36
"""Bytes before the header of a checkpoint."""
NAMES = ("time", "host", "load")


class Killed(BaseException):
    """What a kill looks like from within: nothing more is done."""


class Listed(Source):
    """Rows of a batch, some at a time; a broker gives again what nobody confirmed, a file is read where one likes."""

    def __init__(
        self,
        rows: Batch,
        cuts: Sequence[int],
        *,
        broker: bool,
        dies_at: int = -1,
        lost_at: int = -1,
        ends: bool = True,
    ) -> None:
        self.rows, self.cuts, self.ends = rows, cuts, ends
        self.broker, self.dies_at, self.lost_at = broker, dies_at, lost_at
        self.behind = self.given = self.confirmed = self.reads = 0

    @property
    def replayable(self) -> bool:  # type: ignore[override]  # a source of either kind
        return not self.broker

    def open(self, resume: Position | None = None) -> None:
        self.behind = self.given = self.confirmed if self.broker else resume.offsets["rows"] if resume else 0
        self.seen = resume.offsets["rows"] if resume else 0

    def read(self, timeout_s: float) -> Batch | None:
        self.reads += 1
        if self.reads == self.dies_at:
            raise Killed
        if self.reads == self.lost_at:
            raise SourceLost("listed", "no answer", "one")
        stop = min([*(cut for cut in self.cuts if cut > self.given), self.rows.rows])
        first, self.given = self.given, stop
        first = max(first, self.seen) if self.broker else first
        part = self.rows.take(slice(first, stop))
        return Batch(dict(part), _refused(first, stop)) if part.rows else None

    @property
    def ended(self) -> bool:
        return self.ends and self.given >= self.rows.rows

    def acknowledge(self, batch: Batch) -> Position:
        self.behind = self.given
        return Position("listed", {"rows": self.behind})

    def confirm(self) -> None:
        self.confirmed = self.behind


def _refused(first: int, stop: int) -> list[Rejected]:
    return [Rejected("listed", row, "not_json", "", "{") for row in range(first, stop) if row % 50 == 7]


class Got(Sink):
    """Remembers the ids that it was given."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def write(self, alerts: Sequence[Alert]) -> None:
        self.ids += [alert.id for alert in alerts]


class Site(NamedTuple):
    """What outlives a process: a model, a folder, and a sink somewhere else."""

    model: AnomalyModel
    folder: Path
    sink: Got

    def stream(self, source: Source, **changes: Any) -> Stream:
        scorer = Scorer(self.model, AlertPolicy(cooldown_s=600.0))
        letters = Letters()
        now = changes.pop("now", lambda: 1_790_000_000_000_000)
        elapsed = changes.pop("elapsed", lambda: 0.0)
        journal = Journal(self.folder, ["got"], KeepConfig(), now)
        return Stream(
            source=source,
            intake=Intake(source, self.model.design.schema, quarantine=letters),
            letters=letters,
            serving=Serving(scorer, 1, self.model.digest),
            journal=journal,
            outbox=Outbox({"got": self.sink}, str, now),
            requests=Requests(),
            settings=StreamConfig(**changes),
            folder=self.folder,
            clocks=Clocks(now, elapsed),
        )

    def run(self, source: Source, **changes: Any) -> Stream:
        stream = self.stream(source, **changes)
        try:
            stream.run()
        finally:
            stream.journal.close()
        return stream


def raw(rows: Batch) -> Batch:
    """As a source gives them."""
    return Batch({name: rows[name] for name in (*NAMES, FILE, ROW)} | {"time": rows["time"].astype("datetime64[us]")})


def told(stream: Stream) -> dict[str, Any]:
    """All that a stream leaves behind and that must not depend on where it was killed."""
    alerts = stream.journal.stored.alerts(limit=1_000)
    return {
        "alerts": sorted(kept.alert.id for kept in alerts),
        "outcomes": {outcome for kept in alerts for outcome in kept.outcomes.values()},
        "state": dump(stream.serving.scorer.state),
        "tally": stream.intake.tally.to_json(),
        "letters": sorted(item.row for item in stream.journal.stored.letters(limit=1_000)),
        "flagged": sorted(row["origin"] for row in stream.journal.stored.verdicts()),
    }


@pytest.fixture(params=["in order", "waiting"])
def fitted(request: pytest.FixtureRequest) -> AnomalyModel:
    name = {"in order": "model", "waiting": "waiting"}[request.param]
    model: AnomalyModel = request.getfixturevalue(name)
    return model


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), broker=st.booleans())
def test_killed_anywhere_a_stream_goes_on_to_the_same_alerts_and_bits(
    fitted: AnomalyModel,
    make_rows: Rows,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    broker: bool,
) -> None:
    rows = raw(make_rows(240, 1_700_000_000, anomalous=range(20, 240, 45)))
    whole = Site(fitted, tmp_path_factory.mktemp("whole"), Got())
    stream = whole.stream(Listed(rows, [240], broker=broker))
    stream.run()
    wanted = told(stream)
    stream.journal.close()
    assert wanted["alerts"]
    assert wanted["tally"]["quarantined"] == len(wanted["letters"]) == 5

    site = Site(fitted, tmp_path_factory.mktemp("killed"), Got())
    source = Listed(rows, data.draw(st.lists(st.integers(1, 239), max_size=12)), broker=broker)
    for _ in range(data.draw(st.integers(1, 4), label="kills")):
        source.dies_at = source.reads + data.draw(st.integers(1, 8), label="reads before the kill")
        checkpoint = data.draw(st.sampled_from([1e-9, 3_600.0]), label="seconds between checkpoints")
        ticks = iter(range(10**9))
        stream = site.stream(source, checkpoint=checkpoint, latency=0.5, elapsed=lambda ticks=ticks: float(next(ticks)))
        try:
            stream.run()
        except Killed:
            pass
        finally:
            stream.journal.close()
    source.dies_at = -1
    stream = site.stream(source)
    stream.run()
    found = told(stream)
    stream.journal.close()
    assert found == wanted
    assert sorted(set(site.sink.ids)) == wanted["alerts"]


def test_a_replay_takes_back_nothing_and_makes_ready_at_its_end(
    model: AnomalyModel, make_rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, ready = raw(make_rows(240, 1_700_000_000)), []
    site, source = Site(model, tmp_path, Got()), Listed(rows, range(20, 240, 20), broker=False)
    received = []
    for reads in (8, 3, 0):  # far behind the checkpoint, then within the replay, then to the end
        source.dies_at = source.reads + reads if reads else -1
        ticks = iter(range(10**9))
        stream = site.stream(source, checkpoint=3_600.0, latency=0.5, elapsed=lambda ticks=ticks: float(next(ticks)))
        monkeypatch.setattr(
            "tocsin.observe.systemd.ready", lambda stream=stream: ready.append(stream.intake.tally.received)
        )
        with closing(stream.journal), suppress(Killed):
            stream.run()
        received.append(Stored.beside(tmp_path).progress().tally["received"])
        assert stream.ready is (reads != 3)
    assert received[0] == received[1] < received[2]
    first, behind_the_replay = ready
    assert first < behind_the_replay == received[0]


def test_a_file_that_was_cut_meanwhile_keeps_nobody_waiting(
    model: AnomalyModel, make_rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, ready = raw(make_rows(240, 1_700_000_000)), []
    site, source = Site(model, tmp_path, Got()), Listed(rows, range(20, 240, 20), broker=False)
    source.dies_at, ticks = 8, iter(range(10**9))
    stream = site.stream(source, checkpoint=3_600.0, latency=0.5, elapsed=lambda: float(next(ticks)))
    with closing(stream.journal), suppress(Killed):
        stream.run()
    cut = Listed(rows.take(slice(0, 60)), [60], broker=False, ends=False)
    stream = site.stream(cut, idle=300.0, elapsed=lambda: float(next(ticks)))
    replaying = []

    def look() -> None:
        replaying.append(stream.replaying)
        if not stream.replaying or len(replaying) == 1_000:
            stream.stop()

    monkeypatch.setattr("tocsin.observe.systemd.ready", lambda: ready.append(len(replaying)))
    monkeypatch.setattr("tocsin.observe.systemd.alive", look)
    with closing(stream.journal):
        stream.run()
    assert len(ready) == 1
    assert replaying[ready[0]], "ready before it is sure that nothing more is given again"
    assert not replaying[-1]


def test_a_source_that_is_lost_is_opened_again_and_nothing_is_missing(
    model: AnomalyModel, make_rows: Rows, tmp_path: Path
) -> None:
    rows = raw(make_rows(90, 1_700_000_000))
    ticks = iter(range(10**9))
    source = Listed(rows, range(10, 90, 10), broker=True, lost_at=4)
    stream = Site(model, tmp_path, Got()).run(source, latency=0.5, elapsed=lambda: float(next(ticks)))
    assert stream.intake.tally.passed_on == 90
    assert source.confirmed == 90


def test_a_broker_is_told_only_what_is_committed(model: AnomalyModel, make_rows: Rows, tmp_path: Path) -> None:
    site, rows = Site(model, tmp_path, Got()), raw(make_rows(60, 1_700_000_000))
    source = Listed(rows, range(10, 60, 10), broker=True)
    stream = site.stream(source)
    committed: list[int] = []
    confirm = source.confirm

    def watched() -> None:
        confirm()
        position = stream.journal.stored.progress().position
        committed.append(position.offsets["rows"] if position else 0)
        assert source.confirmed <= committed[-1]

    source.confirm = watched  # type: ignore[method-assign]  # the moment of the call is what is looked at
    stream.run()
    stream.journal.close()
    assert committed[-1] == 60


def test_a_damaged_checkpoint_is_said_and_the_stream_goes_on_behind_what_was_committed(
    model: AnomalyModel, make_rows: Rows, tmp_path: Path
) -> None:
    site, rows = Site(model, tmp_path, Got()), raw(make_rows(60, 1_700_000_000))
    site.run(Listed(rows.take(slice(30)), [30], broker=False))
    path = tmp_path / CHECKPOINT
    data = bytearray(path.read_bytes())
    data[_LENGTHS + 5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        checkpoints.read(path)
    before = log.counters().get("tocsin_checkpoints_refused_total", 0)
    stream = site.run(Listed(rows, [60], broker=False))
    assert log.counters()["tocsin_checkpoints_refused_total"] == before + 1
    assert (stream.intake.tally.passed_on, stream.intake.tally.quarantined) == (60, 2)


def test_a_checkpoint_that_is_gone_is_said(model: AnomalyModel, make_rows: Rows, tmp_path: Path) -> None:
    site, rows = Site(model, tmp_path, Got()), raw(make_rows(60, 1_700_000_000))
    before = log.counters().get("tocsin_checkpoints_refused_total", 0)
    site.run(Listed(rows.take(slice(30)), [30], broker=False))
    assert log.counters().get("tocsin_checkpoints_refused_total", 0) == before
    (tmp_path / CHECKPOINT).unlink()
    site.run(Listed(rows, [60], broker=False))
    assert log.counters()["tocsin_checkpoints_refused_total"] == before + 1


def test_another_source_than_before_is_said(model: AnomalyModel, make_rows: Rows, tmp_path: Path) -> None:
    class Other(Listed):
        """Reads elsewhere."""

    site, rows = Site(model, tmp_path, Got()), raw(make_rows(30, 1_700_000_000))
    for source in (Listed(rows, [30], broker=False), Other(rows, [30], broker=False)):
        site.run(source)
    changed = {name: number for name, number in log.counters().items() if "sources_changed" in name and number}
    assert changed == {'tocsin_sources_changed_total{source="other"}': 1}


def test_rows_that_wait_for_older_ones_are_released_when_nothing_comes_for_long(
    waiting: AnomalyModel, make_rows: Rows, tmp_path: Path
) -> None:
    rows = raw(make_rows(30, 1_700_000_000))
    clock = iter(range(0, 10**9, 5))

    class Silent(Listed):
        """Never ends; stops the stream once nothing is held back any more."""

        @property
        def ended(self) -> bool:
            return False

    source = Silent(rows, [30], broker=False)
    stream = Site(waiting, tmp_path, Got()).stream(source, idle=60.0, elapsed=lambda: float(next(clock)))
    read = source.read

    def until_released(timeout_s: float) -> Batch | None:
        order = stream.serving.scorer.order
        if source.given and order is not None and not order.held.rows:
            stream.stop()
        return read(timeout_s)

    source.read = until_released  # type: ignore[method-assign]  # it looks at the stream between two reads
    stream.run()
    assert stream.serving.scorer.state.entities.names
    stream.journal.close()


@pytest.mark.parametrize(("record", "kept"), [("all", 400), ("flagged", 1), ("sample", 5)])
def test_as_many_verdicts_stay_as_the_config_wants(
    model: AnomalyModel, make_rows: Rows, tmp_path: Path, record: str, kept: int
) -> None:
    rows = make_rows(400, 1_700_000_000, anomalous=range(50, 51))
    calm = Batch({**dict(rows), "load": np.where(np.arange(400) == 50, 9.0, 0.5)})
    stream = Site(model, tmp_path, Got()).stream(Listed(raw(calm), [400], broker=False), record=record)
    stream.run()
    verdicts = stream.journal.stored.verdicts()
    stream.journal.close()
    flagged = sum(bool(row["flagged"]) for row in verdicts)
    assert len(verdicts) == (kept if record == "all" else flagged + (kept - 1 if record == "sample" else 0))
    assert {row["model"] for row in verdicts} == {model.digest}


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))


@pytest.mark.parametrize("broker", [False, True])
def test_a_full_disk_holds_a_stream_up_and_loses_nothing(
    model: AnomalyModel, make_rows: Rows, disk: Path, tmp_path: Path, broker: bool
) -> None:
    rows = raw(make_rows(240, 1_700_000_000, anomalous=range(20, 240, 45)))
    whole = Site(model, tmp_path, Got()).stream(Listed(rows, [240], broker=broker))
    whole.run()
    wanted = told(whole)
    whole.journal.close()

    source = Listed(rows, range(20, 240, 20), broker=broker)
    ticks = iter(range(10**9))
    site = Site(model, disk, Got())
    stream = site.stream(source, checkpoint=1e-9, latency=0.5, elapsed=lambda: float(next(ticks)))
    filler = disk / "filler"
    read, full = source.read, log.counters().get("tocsin_journal_full_total", 0)

    def filling(timeout_s: float) -> Batch | None:
        """From the fourth read on there is no room, until somebody has noticed."""
        if source.reads == 3:
            fill(filler)
            threading.Thread(target=make_room, daemon=True).start()
        return read(timeout_s)

    def make_room() -> None:
        while log.counters().get("tocsin_journal_full_total", 0) == full:
            time.sleep(0.01)
        filler.unlink()

    source.read = filling  # type: ignore[method-assign]  # the disk fills up between two reads
    try:
        stream.run()
        found = told(stream)
    finally:
        stream.journal.close()
    assert found == wanted
    assert log.counters()["tocsin_journal_full_total"] > full


@pytest.mark.parametrize("broker", [False, True])
def test_a_journal_that_is_gone_is_said_and_later_rows_survive_a_kill_all_the_same(
    model: AnomalyModel, make_rows: Rows, tmp_path: Path, broker: bool
) -> None:
    rows = raw(make_rows(120, 1_700_000_000))
    site, source = Site(model, tmp_path, Got()), Listed(rows, range(10, 120, 10), broker=broker)
    source.dies_at = 5
    with suppress(Killed):
        site.run(source, latency=1e-9, checkpoint=1e-9, elapsed=map(float, count()).__next__)
    for path in tmp_path.glob("journal.db*"):
        path.unlink()
    before = log.counters().get("tocsin_journals_lost_total", 0)
    source.dies_at = source.reads + 4
    with suppress(Killed):
        site.run(source, latency=1e-9, elapsed=map(float, count(step=1e-6)).__next__)
    assert log.counters()["tocsin_journals_lost_total"] == before + 1
    source.dies_at = -1
    stream = site.run(source)
    whole = Site(model, tmp_path / "whole", Got()).run(Listed(rows, [120], broker=broker))
    assert dump(stream.serving.scorer.state) == dump(whole.serving.scorer.state)


@pytest.mark.parametrize("broker", [False, True])
def test_features_that_begin_anew_lose_no_row_and_take_none_twice(
    waiting: AnomalyModel, make_rows: Rows, tmp_path: Path, broker: bool
) -> None:
    """As after an upgrade that computes otherwise: the state is refused, the rest of the checkpoint counts."""
    rows = raw(make_rows(120, 1_700_000_000))
    site, source = Site(waiting, tmp_path, Got()), Listed(rows, range(10, 120, 10), broker=broker)
    source.dies_at = 7
    with suppress(Killed):
        site.run(source, latency=1e-9, checkpoint=1e-9, elapsed=map(float, count()).__next__)
    path = tmp_path / CHECKPOINT
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    known = checkpoints.read(path)
    assert known is not None
    held = {f"{file}:{row}" for file, row in zip(known.held[FILE].tolist(), known.held[ROW].tolist(), strict=True)}
    assert held
    source.dies_at = -1
    stream = site.stream(source, record="all")
    stream.run()
    judged = {row["origin"] for row in stream.journal.stored.verdicts()}
    stream.journal.close()
    assert stream.intake.tally.passed_on == 120
    assert held <= judged
