"""From answers of Prometheus to rows, with answers saved in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.component import PartSpec, build
from tocsin.errors import DataError, LimitExceeded, SourceLost
from tocsin.records import FILE, ROW, Batch
from tocsin.sources import base_samples
from tocsin.sources.base_samples import Grid, Malformed, Samples, batches, read_samples
from tocsin.sources.prometheus import Prometheus

MIDNIGHT = 1_767_571_200
"""2026-01-05T00:00:00Z."""
JobSamples = dict[tuple[str, int], float]


def save(folder: Path, **answers: list[tuple[dict[str, str], dict[int, str]]]) -> None:
    """Answers by column: labels, and values by the seconds after midnight."""
    for name, series in answers.items():
        result = [
            {"metric": labels, "values": [[MIDNIGHT + second, text] for second, text in values.items()]}
            for labels, values in series
        ]
        answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        (folder / f"{name}.json").write_text(json.dumps(answer))


def saved(folder: Path, *columns: str, **parameters: Any) -> Prometheus:
    span = {"step": "1m", "start": "2026-01-05", "end": "2026-01-05T00:02:00", "entity": "job"}
    queries = {name: f"sum by (job) ({name})" for name in columns}
    spec = PartSpec("prometheus", {"url": folder.as_uri(), "queries": queries, **span, **parameters})
    part = build("sources", spec)
    assert isinstance(part, Prometheus)
    part.open()
    return part


def one_batch(source: Prometheus) -> Batch:
    batch = source.read(10.0)
    assert batch is not None
    assert source.ended
    return batch


def test_an_absent_sample_is_missing_and_infinity_goes_on(tmp_path: Path) -> None:
    save(
        tmp_path,
        one=[({"job": "b"}, {120: "-Inf"}), ({"job": "a"}, {0: "NaN", 60: "+Inf"})],
        two=[({"job": "b"}, {0: "0"})],
    )
    rows = one_batch(saved(tmp_path, "one", "two"))
    assert rows["job"].tolist() == ["a", "b", "a", "b"]
    assert rows["timestamp"].astype(np.int64).tolist() == [MIDNIGHT + second for second in (0, 0, 60, 120)]
    np.testing.assert_equal(rows["one"], [np.nan, np.nan, np.inf, -np.inf])
    np.testing.assert_equal(rows["two"], [np.nan, 0, np.nan, np.nan])
    assert rows[ROW].tolist() == [MIDNIGHT * 10_000 + place for place in (1, 2, 600_001, 1_200_001)]
    assert set(rows[FILE].tolist()) == {tmp_path.as_uri()}


def test_series_that_a_query_should_have_aggregated_cost_only_their_rows(tmp_path: Path) -> None:
    ok, failed = {"job": "a", "code": "200"}, {"job": "a", "code": "500"}
    save(tmp_path, value=[(ok, {0: "1", 60: "1"}), (failed, {60: "2"}), ({"code": "200"}, {0: "3"})])
    batch = one_batch(saved(tmp_path, "value"))
    assert batch["value"].tolist() == [1]
    nobody, twice = batch.rejected
    assert (nobody.reason, twice.reason) == ("no_entity", "ambiguous")
    assert nobody.detail.endswith('a series without the label "job"; aggregate: sum by (job) (...)')
    assert "value at 2026-01-05T00:01:00+00:00" in twice.detail
    assert '2 series of job="a", wanted one' in twice.detail
    assert json.loads(twice.raw) == [ok, failed]


def test_without_an_entity_each_query_gives_one_series(tmp_path: Path) -> None:
    save(tmp_path, value=[({}, {0: "1", 60: "2"}), ({"job": "a"}, {60: "3"})])
    batch = one_batch(saved(tmp_path, "value", entity=None))
    assert batch["value"].tolist() == [1]
    assert [(item.reason, "job" in batch) for item in batch.rejected] == [("ambiguous", False)]
    assert batch.rejected[0].detail.endswith("aggregate: sum(...), or name an entity")


def test_a_series_that_takes_over_from_another_is_not_ambiguous(tmp_path: Path) -> None:
    before, after = {"job": "a", "pod": "1"}, {"job": "a", "pod": "2"}
    save(tmp_path, value=[(before, {0: "1", 60: "2"}), (after, {120: "3"})])
    batch = one_batch(saved(tmp_path, "value"))
    assert (batch["value"].tolist(), batch.rejected) == ([1, 2, 3], ())


def test_more_entities_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_samples, "MAX_ENTITIES", 2)
    save(tmp_path, value=[({"job": str(number)}, {0: "1"}) for number in range(3)])
    with pytest.raises(LimitExceeded, match='3 values of the label "job", wanted at most 2'):
        saved(tmp_path, "value").read(0.1)


def test_nothing_at_all_ends_without_rows(tmp_path: Path) -> None:
    save(tmp_path, value=[])
    source = saved(tmp_path, "value")
    assert (source.read(10.0), source.ended) == (None, True)


def test_a_saved_answer_that_is_not_there_or_broken_is_named(tmp_path: Path) -> None:
    source = saved(tmp_path, "value")
    with pytest.raises(DataError, match=r"value\.json"):
        source.read(10.0)
    (tmp_path / "value.json").write_text('{"status": "succ')
    with pytest.raises(SourceLost, match="query value"):
        source.read(10.0)
    save(tmp_path, value=[({}, {1: "1"})])
    with pytest.raises(SourceLost, match="samples at other instants than those asked for"):
        source.read(10.0)


keys = st.sampled_from(["resultType", "result", "metric", "values", "histograms", "x"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["matrix", "NaN", "1", "x"])
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))
results = st.builds(lambda result: {"resultType": "matrix", "result": result}, trees)


@settings(max_examples=300, deadline=None)
@given(trees | results)
def test_any_json_is_samples_or_malformed(value: Any) -> None:
    try:
        samples = read_samples(value, Grid(0, 60, 10))
    except Malformed:
        return
    assert len(samples.at) == len(samples.values) == len(samples.series)


cells = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b", "é"]), st.integers(0, 9)), st.floats(allow_infinity=True), max_size=20
)


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries({"one": cells, "two": cells}), st.integers(1, 10), st.integers(1, 5), st.integers(0, 20))
def test_every_sample_is_in_its_row_however_the_span_is_cut(
    table: dict[str, JobSamples], steps: int, limit: int, done: int
) -> None:
    def answered(name: str, grid: Grid) -> Samples:
        result = [
            {
                "metric": {"job": who},
                "values": [[60 * (n + 1), str(v)] for (w, n), v in table[name].items() if w == who],
            }
            for who in ("é", "b", "a")
        ]
        return read_samples({"resultType": "matrix", "result": result}, grid)

    def read(steps: int, behind: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for first in range(0, 10, steps):
            grid = Grid(60 * (first + 1), 60, steps if first + steps <= 10 else 10 - first)
            answers = {name: answered(name, grid) for name in table}
            for batch in batches(answers, grid, label="job", file="f", behind=behind, rows=limit):
                assert 0 < batch.rows <= limit
                found += zip(*(batch[name].tolist() for name in (ROW, "job", "one", "two")), strict=True)
        return found

    whole = read(10, 0)
    want = sorted({(n, who) for column in table.values() for who, n in column})
    assert [(row // 10_000 // 60 - 1, who) for row, who, _, _ in whole] == want
    for (n, who), (_, _, one, two) in zip(want, whole, strict=True):
        np.testing.assert_equal((one, two), tuple(table[name].get((who, n), np.nan) for name in ("one", "two")))
    assert repr(read(steps, 0)) == repr(whole)
    behind = whole[min(done, len(whole) - 1)][0] if whole else 0
    assert repr(read(steps, behind)) == repr([row for row in whole if row[0] > behind])
