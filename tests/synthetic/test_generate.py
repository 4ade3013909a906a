from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tocsin.records import GENERATED, Batch
from tocsin.sources.csv import Csv
from tocsin.synthetic.base import Kind, generate, to_csv
from tocsin.synthetic.plan import Plan

FLOWS = [
    "timestamp", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "bytes_in", "bytes_out", "packets_in",
    "packets_out", "duration", "label", GENERATED,
]  # fmt: skip
SERVICES = [
    "timestamp", "service", "event_count", "error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
    "latency_std", "label", GENERATED,
]  # fmt: skip
KINDS: list[Kind] = ["flows", "services"]


def same(one: Batch, other: Batch) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("kind", "columns"), [("flows", FLOWS), ("services", SERVICES)])
def test_columns_are_those_of_the_preset(kind: Kind, columns: list[str]) -> None:
    batch = generate(kind, Plan(days=0.5))
    assert list(batch) == columns
    assert batch[GENERATED].all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_plan_gives_the_same_rows_and_another_seed_others(kind: Kind, seed: int) -> None:
    plan = Plan(days=2, seed=seed)
    assert same(generate(kind, plan), generate(kind, plan))
    assert not same(generate(kind, plan), generate(kind, Plan(days=2, seed=seed + 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_anomalies_are_added_to_a_world_that_stays_as_it_is(kind: Kind, seed: int) -> None:
    calm = generate(kind, Plan(days=2, seed=seed, anomaly_rate=0.0))
    stormy = generate(kind, Plan(days=2, seed=seed, anomaly_rate=0.1))
    normal = stormy.take(stormy["label"] == "normal")
    assert (calm["label"] == "normal").all()
    known = set(zip(*(calm[name].tolist() for name in calm), strict=True))
    assert set(zip(*(normal[name].tolist() for name in normal), strict=True)) <= known


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_file_holds_the_same_rows_and_says_that_they_are_generated(kind: Kind, tmp_path: Path) -> None:
    batch = generate(kind, Plan(days=0.3))
    path = tmp_path / "generated.csv"
    assert to_csv(batch, path) == batch.rows
    source = Csv(path=str(path))
    source.open()
    got = source.read(0.1)
    assert got is not None
    assert got.rejected == ()
    assert set(got[GENERATED].tolist()) == {"true"}
    assert got["timestamp"][0].endswith("Z")
    for name in batch:
        if batch[name].dtype.kind in "fi":
            assert np.array_equal(got[name].astype(float), batch[name].astype(float))
        elif batch[name].dtype.kind == "O":
            assert got[name].tolist() == batch[name].tolist()


def test_columns_beside_the_data_are_not_written(tmp_path: Path) -> None:
    to_csv(Batch({"a": np.array([1.5, np.nan]), "_row": np.array([1, 2])}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "a\n1.5\nnan\n"
