"""Anomalies are put into real rows where the labels say, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import DataError
from tocsin.records import CLASS, DAY, GENERATED, LABEL, SECOND, Batch, Mask
from tocsin.schema import Field, Schema
from tocsin.synthetic.injection import KINDS, Attack, Disturbances, Injected, Kind, inject, stage

FIELDS = {
    "time": Field(dtype="time"),
    "host": Field(dtype="address"),
    "load": Field(minimum=0.0, maximum=100.0),
    "users": Field(dtype="integer", minimum=0),
    "bytes": Field(dtype="integer", kind="counter"),
    "up": Field(dtype="boolean"),
    "gap": Field(optional=True),
}
SCHEMA = Schema(fields=FIELDS, time="time", entity="host")
GAUGES = ("load", "users", "up", "gap")
PLAIN = Schema(fields={"x": Field(), "y": Field()})


def telemetry(rows: int = 1_200, hosts: int = 4, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    names = np.array([f"host-{row % hosts}" for row in range(rows)], dtype=object)
    total = np.zeros(rows)
    for host in range(hosts):
        own = np.arange(rows) % hosts == host
        total[own] = np.cumsum(rng.integers(1, 500, own.sum()))
    return Batch(
        {
            "time": 20_000 * DAY + np.arange(rows, dtype=np.int64) * SECOND,
            "host": names,
            "load": rng.uniform(20, 60, rows),
            "users": rng.poisson(30, rows).astype(np.float64),
            "bytes": total,
            "up": rng.integers(0, 2, rows).astype(np.float64),
            "gap": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
        }
    )


def changed(before: Batch, after: Batch, names: tuple[str, ...]) -> Mask:
    other = [~((before[name] == after[name]) | (np.isnan(before[name]) & np.isnan(after[name]))) for name in names]
    return np.asarray(np.logical_or.reduce(other))


def of_kind(kind: Kind) -> tuple[Batch, Injected]:
    rows = telemetry()
    return rows, inject(rows, SCHEMA, Disturbances(windows=12, kinds=(kind,)))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    windows=st.integers(1, 60),
    hosts=st.integers(1, 7),
    kinds=st.lists(st.sampled_from(KINDS), unique=True),
)
def test_labelled_rows_and_no_others_are_disturbed(seed: int, windows: int, hosts: int, kinds: list[Kind]) -> None:
    before = telemetry(hosts=hosts, seed=seed)
    found = inject(before, SCHEMA, Disturbances(windows, kinds=tuple(kinds), seed=seed))
    after, touched = found.batch, found.windows >= 0
    assert not (changed(before, after, GAUGES) & ~touched).any()
    assert np.array_equal(after[LABEL] == 1, touched)
    assert np.array_equal(after[GENERATED], touched)
    assert set(found.windows[touched].tolist()) == set(range(len(found.kinds)))
    assert set(after[CLASS][touched].tolist()) == {f"injected {kind}" for kind in found.kinds}
    for window in range(len(found.kinds)):
        assert len(set(before["host"][found.windows == window].tolist())) == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS))
def test_what_comes_of_it_still_fits_the_schema(seed: int, kind: Kind) -> None:
    after = inject(telemetry(seed=seed), SCHEMA, Disturbances(windows=20, kinds=(kind,), seed=seed)).batch
    typed, refused = SCHEMA.split(after)
    assert refused == ()
    assert typed.rows == after.rows
    for host in range(4):
        assert (np.diff(after["bytes"][host::4]) >= 0).all(), "a counter never falls"


def test_the_rows_given_stay_as_they_are_and_a_seed_gives_the_same_again() -> None:
    rows = telemetry()
    copy = {name: np.array(column) for name, column in rows.items()}
    first, second = (inject(rows, SCHEMA, Disturbances(windows=10, seed=3)) for _ in range(2))
    other = inject(rows, SCHEMA, Disturbances(windows=10, seed=4))
    assert all(np.array_equal(rows[name], copy[name], equal_nan=name != "host") for name in copy)
    assert np.array_equal(first.batch["load"], second.batch["load"])
    assert not np.array_equal(first.windows, other.windows)


def test_a_spike_is_one_row_and_stands_out_by_its_strength() -> None:
    rows = telemetry(hosts=1).replace({"load": np.random.default_rng(1).normal(50, 1, 1_200)})
    only = Schema(fields={"time": FIELDS["time"], "load": FIELDS["load"]}, time="time")
    found = inject(rows, only, Disturbances(windows=10, strength=(6.0, 6.1), kinds=("spike",)))
    moved = np.abs(found.batch["load"] - rows["load"])[found.windows >= 0]
    assert (np.bincount(found.windows[found.windows >= 0]) == 1).all()
    assert moved == pytest.approx(np.full(10, 6.0), abs=0.6)


def test_a_ramp_grows_and_a_shift_does_not() -> None:
    only = Schema(fields={"time": FIELDS["time"], "load": Field()}, time="time")
    rows = telemetry(hosts=1)
    ways: dict[Kind, bool] = {"ramp": True, "shift": False}
    for kind, grows in ways.items():
        found = inject(rows, only, Disturbances(windows=1, length=(20, 20), kinds=(kind,)))
        moved = np.abs(found.batch["load"] - rows["load"])[found.windows == 0]
        assert (np.diff(moved) > 1e-9).all() == grows
        assert len(moved) == 20


def test_a_drop_is_zero_and_a_counter_stands_still() -> None:
    rows, found = of_kind("drop")
    touched = found.windows >= 0
    for name in ("load", "users"):
        moved = changed(rows, found.batch, (name,))
        assert (found.batch[name][moved] == 0).all()
    growth = np.array([np.diff(found.batch["bytes"][host::4], prepend=np.nan) for host in range(4)]).T.ravel()
    before = np.array([np.diff(rows["bytes"][host::4], prepend=np.nan) for host in range(4)]).T.ravel()
    stopped = touched & (growth == 0)
    assert stopped.any()
    assert np.array_equal(growth[~stopped], before[~stopped], equal_nan=True)


def test_what_is_swapped_or_mixed_was_seen_elsewhere() -> None:
    ways: tuple[Kind, ...] = ("swap", "mix")
    for kind in ways:
        rows, found = of_kind(kind)
        for name in ("load", "users"):
            moved = changed(rows, found.batch, (name,))
            assert np.isin(found.batch[name][moved], rows[name]).all()


def test_values_of_another_entity_are_swapped_in() -> None:
    rows = telemetry(hosts=2)
    apart = rows.replace({"load": np.where(rows["host"] == "host-0", 10.0, 90.0) + np.arange(1_200) * 1e-6})
    only = Schema(fields={"time": FIELDS["time"], "host": FIELDS["host"], "load": Field()}, time="time", entity="host")
    found = inject(apart, only, Disturbances(windows=8, kinds=("swap",)))
    touched = found.windows >= 0
    assert (np.abs(found.batch["load"] - apart["load"])[touched] > 70).all()


def test_known_anomalies_are_left_alone() -> None:
    labels = np.zeros(1_200, dtype=np.int8)
    labels[:600] = 1
    rows = telemetry().replace({LABEL: labels, CLASS: np.full(1_200, "flood", dtype=object)})
    found = inject(rows, SCHEMA, Disturbances(windows=20))
    assert not (found.windows[:600] >= 0).any()
    assert (found.windows >= 0).any()
    assert (found.batch[CLASS][:600] == "flood").all()


def test_without_a_clock_a_window_is_a_row(rng: np.random.Generator) -> None:
    rows = Batch({"x": rng.normal(size=400), "y": rng.normal(size=400)})
    found = inject(rows, PLAIN, Disturbances(windows=50))
    assert np.bincount(found.windows[found.windows >= 0]).max() == 1
    assert not {"shift", "ramp"} & set(found.kinds)


@pytest.mark.parametrize("value", [np.nan, 4.0])
def test_rows_in_which_nothing_varies_are_refused(value: float) -> None:
    rows = Batch({"x": np.full(50, value), "y": np.full(50, value)})
    with pytest.raises(DataError, match="no numeric field that varies"):
        inject(rows, PLAIN, Disturbances(windows=3))


def test_staged_attacks_stand_where_they_are_put_and_touch_their_fields_alone(rng: np.random.Generator) -> None:
    schema = Schema(fields={"at": Field(dtype="time"), "a": Field(), "b": Field()}, time="at")
    batch = Batch({"at": np.arange(400) * 1_000_000, "a": rng.normal(size=400), "b": rng.normal(size=400)})
    attacks = [Attack("shift", ("a",), 8.0), Attack("spike", ("b",), 8.0), Attack("ramp", ("a", "b"), 8.0)]
    staged = stage(batch, schema, attacks, 5, seed=1)
    changed = {name: staged.batch[name] != batch[name] for name in ("a", "b")}
    for number, (rows, fields) in enumerate(((5, "a"), (1, "b"), (5, "ab"))):
        there = staged.windows == number
        assert there.sum() == rows
        assert all(changed[name][there].all() == (name in fields) for name in "ab")
    assert not (changed["a"] | changed["b"])[staged.windows < 0].any()
    assert np.array_equal(stage(batch, schema, attacks, 5, seed=1).batch["a"], staged.batch["a"])
