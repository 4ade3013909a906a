"""A row that a part raises on becomes a dead letter, and everything else is as if it had never come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.scoring.test_stream import Got, Killed, Listed, Rows, Site, raw

from tocsin import log
from tocsin.alerts import AlertPolicy
from tocsin.alerts.rows import FlaggedRows
from tocsin.errors import ModelBroken
from tocsin.journal.stored import Stored
from tocsin.kernel.checkpoint import dump
from tocsin.kernel.run import FeatureMatrix
from tocsin.kernel.state import KernelState
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import ROW, Alert, Batch, Column, Matrix, Scores
from tocsin.scoring.isolation import MOST_IN_A_ROW
from tocsin.scoring.stream import Stream

POISON = 7.5
"""The load of rows that a part raises on."""
BEGIN = 1_700_000_000


def poisoned(rows: Batch, places: list[int]) -> Batch:
    load = rows["load"].copy()
    load[places] = POISON
    return rows.replace({"load": load})


def without(rows: Batch, places: list[int]) -> Batch:
    return rows.take(np.setdiff1d(np.arange(rows.rows), places))


def _raise_on(values: Matrix) -> None:
    if (values[:, 0] == POISON).any():
        raise FloatingPointError("this says 192.0.2.7")


def break_features(model: AnomalyModel, patch: pytest.MonkeyPatch) -> None:
    """The kernel ends in the middle of a batch, when the rows before and half of those behind have moved its state."""
    run = model.kernel.run

    def halfway(batch: Batch, state: KernelState) -> FeatureMatrix:
        bad = np.flatnonzero(batch["load"] == POISON)
        if not len(bad):
            return run(batch, state)
        run(batch.take(slice((int(bad[0]) + 1 + batch.rows) // 2)), state)
        raise OverflowError

    patch.setattr(model.kernel, "run", halfway)


def break_detector(model: AnomalyModel, patch: pytest.MonkeyPatch) -> None:
    judge = model.judge

    def judged(matrix: FeatureMatrix, entities: Column | None = None) -> Scores:
        _raise_on(matrix.values)
        return judge(matrix, entities)

    patch.setattr(model, "judge", judged)


def break_policy(_: AnomalyModel, patch: pytest.MonkeyPatch) -> None:
    """It ends when all its episodes have moved."""
    decide = AlertPolicy.decide

    def decided(policy: AlertPolicy, rows: FlaggedRows) -> tuple[Alert, ...]:
        found = decide(policy, rows)
        for values in rows.contents:
            _raise_on(np.frombuffer(values)[None, :])
        return found

    patch.setattr(AlertPolicy, "decide", decided)


PARTS = {"features": break_features, "detector": break_detector, "policy": break_policy}


def ticking() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is asked: each read is a commit."""
    ticks = count()
    return lambda: float(next(ticks))


def told(stream: Stream) -> dict[str, Any]:
    """All that must be as if the rows at fault had never come."""
    stored = stream.journal.stored
    names = ("time", "entity", "origin", "score", "p_value", "flagged", "state")
    return {
        "verdicts": sorted(tuple(row[name] for name in names) for row in stored.verdicts(limit=10_000)),
        "alerts": sorted(kept.alert.id for kept in stored.alerts(limit=1_000)),
        "state": dump(stream.serving.scorer.state),
        "policy": stream.serving.scorer.policy.state(),
    }


def refused(stream: Stream) -> list[int]:
    return sorted(letter.row for letter in stream.journal.stored.letters("not_scored", 1_000))


def scored(site: Site, rows: Batch, cuts: list[int], *, broker: bool) -> tuple[dict[str, Any], list[int]]:
    """What became of the rows, and the numbers of those that could not be scored."""
    stream = site.stream(Listed(raw(rows), cuts, broker=broker), record="all")
    with closing(stream.journal):
        stream.run()
        tally = stream.intake.tally
        assert tally.received == tally.passed_on + tally.quarantined + tally.duplicates + tally.ignored
        return told(stream), refused(stream)


@pytest.fixture(params=["model", "waiting"])
def fitted(request: pytest.FixtureRequest) -> AnomalyModel:
    model: AnomalyModel = request.getfixturevalue(request.param)
    return model


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("broker", [False, True], ids=["file", "broker"])
def test_a_row_at_fault_is_a_letter_and_all_else_is_as_if_it_had_never_come(
    fitted: AnomalyModel, make_rows: Rows, tmp_path: Path, part: str, broker: bool
) -> None:
    bad = [9 if part == "policy" else 0, 61, 62, 140, 239]  # it does not see rows that warm up
    rows = poisoned(make_rows(240, BEGIN, anomalous=range(20, 240, 45)), bad)
    wanted, _ = scored(Site(fitted, tmp_path / "clean", Got()), without(rows, bad), [], broker=broker)
    assert wanted["alerts"]
    before = log.counters().get("tocsin_rows_not_scored_total", 0)
    sink = Got()
    with pytest.MonkeyPatch.context() as patch:
        PARTS[part](fitted, patch)
        found, letters = scored(Site(fitted, tmp_path / "bad", sink), rows, [30, 100, 150], broker=broker)
    for key in wanted:
        assert found[key] == wanted[key], key
    assert letters == sorted(rows[ROW][bad].tolist())
    assert sorted(set(sink.ids)) == wanted["alerts"]
    assert log.counters()["tocsin_rows_not_scored_total"] - before >= len(bad)
    kept = Stored.beside(tmp_path / "bad").letters("not_scored")
    assert {letter.detail.split(" in ")[0] for letter in kept} <= {"FloatingPointError", "OverflowError"}
    assert "192.0.2.7" not in str(kept)
    assert all('"load":7.5' in letter.raw for letter in kept)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), broker=st.booleans())
def test_killed_anywhere_it_comes_to_the_same(
    fitted: AnomalyModel,
    make_rows: Rows,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    broker: bool,
) -> None:
    bad = sorted(data.draw(st.sets(st.integers(0, 239), min_size=1, max_size=12), label="rows at fault"))
    rows = poisoned(make_rows(240, BEGIN, anomalous=range(20, 240, 45)), bad)
    wanted, _ = scored(Site(fitted, tmp_path_factory.mktemp("clean"), Got()), without(rows, bad), [], broker=broker)
    with pytest.MonkeyPatch.context() as patch:
        break_detector(fitted, patch)
        patch.setattr("tocsin.observe.live._log.error", lambda *_, **__: None)  # the trace of each life takes its time
        site = Site(fitted, tmp_path_factory.mktemp("killed"), Got())
        source = Listed(raw(rows), data.draw(st.lists(st.integers(1, 239), max_size=12)), broker=broker)
        for kill in [*data.draw(st.lists(st.integers(1, 8), max_size=4), label="reads before each kill"), -1]:
            source.dies_at = source.reads + kill if kill > 0 else -1
            checkpoint = data.draw(st.sampled_from([1e-9, 3_600.0]), label="seconds between checkpoints")
            stream = site.stream(source, record="all", checkpoint=checkpoint, latency=0.5, elapsed=ticking())
            try:
                stream.run()
                found, letters = told(stream), refused(stream)
            except Killed:
                pass
            finally:
                stream.journal.close()
    assert found == wanted
    assert letters == sorted(rows[ROW][bad].tolist())


def test_a_model_that_can_score_nothing_ends_the_service_and_eats_no_more_than_it_may(
    model: AnomalyModel, make_rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = poisoned(make_rows(400, BEGIN), list(range(20, 400)))
    break_detector(model, monkeypatch)
    site, source = Site(model, tmp_path, Got()), Listed(raw(rows), list(range(400)), broker=False)
    for _ in range(3):  # however often it is started again
        stream = site.stream(source, record="all", latency=0.5, checkpoint=1e-9, elapsed=ticking())
        with pytest.raises(ModelBroken, match=r"FloatingPointError in .* rows in a row"):
            stream.run()
        assert len(refused(stream)) == MOST_IN_A_ROW
        assert len(told(stream)["verdicts"]) == 20
        stream.journal.close()
