from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

from tocsin.cli.data import generate as generate_command
from tocsin.records import GENERATED, Batch, Column
from tocsin.sources.csv import Csv
from tocsin.sources.synthetic import Synthetic
from tocsin.synthetic.base import GENERATORS, Kind, generate, to_csv
from tocsin.synthetic.plan import Plan

FLOWS = [
    "timestamp", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "bytes_in", "bytes_out", "packets_in",
    "packets_out", "duration", "label", GENERATED,
]  # fmt: skip
SERVICES = [
    "timestamp", "service", "event_count", "error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
    "latency_std", "label", GENERATED,
]  # fmt: skip
KINDS = list(GENERATORS)
REMEMBERING = re.compile("_counter$|^load_")
"""Columns of hosts that go on from what an attack made them count; test_hosts.py says how far."""


def equal(one: Column, other: Column) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def same(one: Batch, other: Batch) -> bool:
    return list(one) == list(other) and all(equal(one[name], other[name]) for name in one)


def as_seen(batch: Batch) -> set[str]:
    """Its rows as text, since what is missing equals nothing, without what remembers."""
    columns = [batch[name].tolist() for name in batch if not REMEMBERING.search(name)]
    return {repr(row) for row in zip(*columns, strict=True)}


def test_every_kind_has_its_generator_and_is_named_where_one_is_chosen() -> None:
    assert set(get_args(Kind)) == set(KINDS)
    _, option = get_args(get_type_hints(generate_command, include_extras=True)["kind"])
    assert all(kind in option.help for kind in KINDS)
    assert all(f"`{kind}`" in (Synthetic.__doc__ or "") for kind in KINDS)


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
    assert as_seen(normal) <= as_seen(calm)


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
            assert equal(got[name].astype(float), batch[name].astype(float))
        elif batch[name].dtype.kind == "O":
            assert got[name].tolist() == batch[name].tolist()


def test_columns_beside_the_data_are_not_written(tmp_path: Path) -> None:
    to_csv(Batch({"a": np.array([1.5, np.nan]), "_row": np.array([1, 2])}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "a\n1.5\nnan\n"
