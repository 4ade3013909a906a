"""History is divided in time, and nothing is shuffled across it."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.config import SplitConfig
from tocsin.errors import ConfigError
from tocsin.records import Batch
from tocsin.schema import Field, Schema
from tocsin.training.split import in_time_order, split

CLOCKED = Schema(fields={"t": Field(dtype="time"), "host": Field(dtype="address")}, time="t", entity="host")
PLAIN = Schema(fields={"x": Field()})


def clocked(rng: np.random.Generator, rows: int = 1_000) -> Batch:
    times = np.sort(rng.integers(0, 300, rows)).astype(np.int64)
    hosts = rng.integers(0, 40, rows).astype(str).astype(object)
    return Batch({"t": times, "host": hosts, "id": np.arange(rows)})


def test_parts_follow_each_other_and_equal_times_stay_together(rng: np.random.Generator) -> None:
    parts = split(clocked(rng), CLOCKED, SplitConfig(), test_elsewhere=False)
    assert parts.train["t"].max() < parts.calibration["t"].min()
    assert parts.calibration["t"].max() < parts.test["t"].min()
    assert parts.train.rows == pytest.approx(600, abs=10)


def test_no_row_is_lost_or_used_twice(rng: np.random.Generator) -> None:
    for config in (SplitConfig(), SplitConfig(by="entity")):
        parts = split(clocked(rng), CLOCKED, config, test_elsewhere=False)
        ids = np.concatenate([parts.train["id"], parts.calibration["id"], parts.test["id"]])
        assert sorted(ids.tolist()) == list(range(1_000))


def test_with_test_rows_elsewhere_all_history_is_learnt_from(rng: np.random.Generator) -> None:
    parts = split(clocked(rng), CLOCKED, SplitConfig(), test_elsewhere=True)
    assert parts.test.rows == 0
    assert parts.train.rows == pytest.approx(750, abs=10)


def test_an_entity_is_in_one_part(rng: np.random.Generator) -> None:
    parts = split(clocked(rng), CLOCKED, SplitConfig(by="entity"), test_elsewhere=False)
    hosts = [set(part["host"].tolist()) for part in (parts.train, parts.calibration, parts.test)]
    assert not hosts[0] & hosts[1]
    assert not hosts[0] & hosts[2]
    assert all(hosts)


@pytest.mark.parametrize("hosts", [5, 6, 20])
def test_few_entities_fill_every_part(hosts: int) -> None:
    names = np.array([f"host-{number}" for number in range(hosts)], dtype=object)
    batch = Batch({"t": np.arange(hosts), "host": names})
    parts = split(batch, CLOCKED, SplitConfig(by="entity"), test_elsewhere=False)
    assert parts.train.rows == round(0.6 * hosts)
    assert parts.calibration.rows >= 1
    assert parts.test.rows >= 1
    assert parts.share == pytest.approx(parts.calibration.rows / hosts)


def test_without_a_clock_the_parts_are_spread_evenly_and_always_the_same() -> None:
    batch = Batch({"x": np.arange(1_000.0)})
    parts = split(batch, PLAIN, SplitConfig(), test_elsewhere=False)
    again = split(batch, PLAIN, SplitConfig(), test_elsewhere=False)
    assert parts.train.rows == pytest.approx(600, abs=3)
    assert parts.calibration["x"].mean() == pytest.approx(500, abs=10)
    np.testing.assert_array_equal(parts.test["x"], again.test["x"])


def test_entities_are_asked_for_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match="entity"):
        split(Batch({"x": np.arange(9.0)}), PLAIN, SplitConfig(by="entity"), test_elsewhere=False)


def test_rows_are_put_in_time_order_and_ties_keep_theirs() -> None:
    batch = Batch({"t": np.array([3, 1, 3, 1]), "host": np.array(list("abcd"), dtype=object)})
    assert in_time_order(batch, CLOCKED)["host"].tolist() == ["b", "d", "a", "c"]
