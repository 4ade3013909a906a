"""Windows held against programs that know nothing of ours, and against exact arithmetic.

The others give every row of one time the same value, and so they are asked where no two rows share one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Matrix, Times, Vector

WINDOW_S = 60
PANES = 12
EPSILON = 2.0**-52
START = 1_767_225_600 * SECOND
STATISTICS = ("mean", "std", "min", "max", "count", "sum")
MEAN, STD, MIN, MAX, COUNT, SUM = range(6)
RECENT = Operation(
    "recent", ("x",), STATISTICS,
    {"window_us": WINDOW_S * SECOND, "limit": 512, "statistics": STATISTICS, "min_count": 1},
)  # fmt: skip
IN_PANES = Operation(
    "panes", ("x",), STATISTICS,
    {"pane_us": WINDOW_S * SECOND // PANES, "panes": PANES, "statistics": STATISTICS, "min_count": 1},
)  # fmt: skip

Oracle = Callable[[Batch], Matrix]
Members = Callable[[list[int], list[float], int], list[float]]
"""From times, values and a row to the values of its window."""


def told(operation: Operation, batch: Batch) -> Matrix:
    kernel = Kernel(Program((operation,), STATISTICS, time="time", entity="host"))
    return kernel.run(batch, kernel.start()).values


def rows_of(times: Times, x: Vector, hosts: list[str] | None = None) -> Batch:
    return Batch({"host": np.array(hosts or ["a"] * len(x), dtype=object), "time": START + times, "x": x})


@pytest.fixture
def unique_times(rng: np.random.Generator) -> Batch:
    """Three entities, gaps, missing values, levels from 1e-3 to 1e9; no two rows share a time."""
    rows = 3_000
    times = np.sort(rng.choice(rows * SECOND // 2, rows, replace=False)) + (np.arange(rows) // 500) * 90 * SECOND
    x = rng.normal(50, 9, rows) * 10.0 ** rng.integers(-3, 8, rows)
    return rows_of(times, np.where(rng.random(rows) < 0.05, np.nan, x), rng.choice(list("abc"), rows).tolist())


def by_polars(batch: Batch) -> Matrix:
    import polars as pl

    columns = {"row": np.arange(batch.rows), "host": batch["host"].tolist(), "at": batch["time"], "x": batch["x"]}
    frame = pl.DataFrame(columns).with_columns(pl.from_epoch("at", "us"), pl.col("x").fill_nan(None))
    window: Mapping[str, Any] = {"by": "at", "window_size": f"{WINDOW_S}s", "closed": "right", "min_samples": 1}
    x, present = pl.col("x"), pl.col("x").is_not_null().cast(pl.Int64)
    statistics = {
        "mean": x.rolling_mean_by(**window), "std": x.rolling_std_by(**window), "min": x.rolling_min_by(**window),
        "max": x.rolling_max_by(**window), "count": present.rolling_sum_by(**window), "sum": x.rolling_sum_by(**window),
    }  # fmt: skip
    matrix: Matrix = frame.select(**{name: one.over("host") for name, one in statistics.items()}).to_numpy()
    return matrix.astype(np.float64)


def by_duckdb(batch: Batch) -> Matrix:
    import duckdb

    with duckdb.connect() as database:
        lists = [batch["host"].tolist(), batch["time"].tolist(), [None if x != x else x for x in batch["x"].tolist()]]  # noqa: PLR0124
        database.execute(
            "create table rows as select unnest(?::varchar[]) host, unnest(?::bigint[]) moment, unnest(?::double[]) x",
            lists,
        )
        answer = database.execute(
            """
            select avg(x) over w, stddev_samp(x) over w, min(x) over w, max(x) over w, count(x) over w, sum(x) over w
            from rows
            window w as (partition by host order by moment range between ?::bigint preceding and current row)
            order by moment
            """,
            [WINDOW_S * SECOND - 1],
        ).fetchall()
    return np.array(answer, dtype=np.float64)


@pytest.mark.parametrize("oracle", [by_polars, by_duckdb])
def test_exact_windows_are_those_of(oracle: Oracle, unique_times: Batch) -> None:
    got, wanted = told(RECENT, unique_times), oracle(unique_times)
    # A sum of levels that far apart is only as good as its largest part.
    size = np.nanmax(np.abs(wanted[:, [MIN, MAX]]), axis=1, initial=0.0)
    for column in range(len(STATISTICS)):
        np.testing.assert_array_equal(np.isnan(got[:, column]), np.isnan(wanted[:, column]), STATISTICS[column])
        far = np.abs(got[:, column] - wanted[:, column])
        assert not (far > 1e-9 * np.maximum(np.abs(wanted[:, column]), size)).any(), STATISTICS[column]


@pytest.mark.parametrize("oracle", [by_polars, by_duckdb])
def test_a_pane_per_second_over_whole_seconds_is_the_window_of(oracle: Oracle, rng: np.random.Generator) -> None:
    times = np.sort(rng.choice(4_000, 800, replace=False)) * SECOND
    batch = rows_of(times, rng.normal(50, 9, 800))
    seconds = Operation("panes", ("x",), STATISTICS, {**IN_PANES.constants, "pane_us": SECOND, "panes": WINDOW_S})
    np.testing.assert_allclose(told(seconds, batch), oracle(batch), rtol=1e-9)


def exactly(values: list[float]) -> list[float]:
    """The statistics in rational arithmetic, rounded once."""
    if not values:
        return [np.nan, np.nan, np.nan, np.nan, 0, np.nan]
    rational = [Fraction(value) for value in values]
    mean = sum(rational, Fraction(0)) / len(values)
    variance = sum(((x - mean) ** 2 for x in rational), Fraction(0)) / max(len(values) - 1, 1)
    # As many bits behind the point as a float64 has in front of it, and more.
    root = Fraction(isqrt(int(variance * 2**2_400)), 2**1_200)
    std = float(root) if len(values) > 1 else np.nan
    return [float(mean), std, min(values), max(values), len(values), float(sum(rational, Fraction(0)))]


def in_panes(times: list[int], x: list[float], row: int) -> list[float]:
    pane = WINDOW_S * SECOND // PANES
    last = (START + times[row]) // pane
    return [x[place] for place in range(row + 1) if last - PANES < (START + times[place]) // pane <= last]


def in_the_window(times: list[int], x: list[float], row: int) -> list[float]:
    return [x[place] for place in range(row + 1) if times[place] > times[row] - WINDOW_S * SECOND]


WINDOWS = [(IN_PANES, in_panes), (RECENT, in_the_window)]


def check(operation: Operation, members: Members, times: list[int], x: list[float]) -> None:
    """Within 1e-9 of exact arithmetic, or as near as the last digits of the values themselves lie."""
    got = told(operation, rows_of(np.array(times, dtype=np.int64), np.array(x)))
    for row in range(len(x)):
        inside = members(times, x, row)
        wanted, level = exactly(inside), max(map(abs, inside))
        assert got[row, [MIN, MAX, COUNT]].tolist() == [wanted[MIN], wanted[MAX], wanted[COUNT]]
        for column, size in ((MEAN, level), (STD, level), (SUM, level * len(inside))):
            near = 1e-9 * abs(wanted[column]) * (abs(wanted[column]) >= 1e-6 * level) + 4 * EPSILON * size
            assert np.isnan(wanted[column]) or abs(got[row, column] - wanted[column]) <= near, (row, STATISTICS[column])


def hard(name: str, rng: np.random.Generator) -> list[float]:
    noise = rng.normal(size=200)
    inputs = {
        "a spike of 1e12": np.r_[20 + noise[:30], 1e12, 20 + noise[31:]],
        "a spike of 1e15, then always the same": np.r_[np.full(30, 7.0), 1e15, np.full(169, 7.0)],
        "unit noise on 1e9": 1e9 + noise,
        "a counter at 1e12": 1e12 + np.cumsum(rng.integers(0, 2_000, 200)),
        "a counter at 1e15": 1e15 + np.cumsum(rng.integers(0, 2**31, 200)),
        "almost nothing": noise * 1e-150,
        "both signs, nearly cancelling": np.where(np.arange(200) % 2, 1e9, -1e9) + noise,
        "one value again and again": np.full(200, 0.1),
    }
    values: list[float] = inputs[name].tolist()
    return values


@pytest.mark.parametrize(("operation", "members"), WINDOWS, ids=["panes", "exact"])
@pytest.mark.parametrize(
    "name",
    [
        "a spike of 1e12", "a spike of 1e15, then always the same", "unit noise on 1e9", "a counter at 1e12",
        "a counter at 1e15", "almost nothing", "both signs, nearly cancelling", "one value again and again",
    ],
)  # fmt: skip
def test_row_09_hard_values_are_near_exact_arithmetic(
    name: str, operation: Operation, members: Members, rng: np.random.Generator
) -> None:
    times = np.cumsum(rng.choice([0, 1, 2, 3, 70], 200, p=[0.1, 0.4, 0.3, 0.18, 0.02])) * SECOND
    check(operation, members, times.tolist(), hard(name, rng))


@pytest.mark.parametrize(("operation", "members"), WINDOWS, ids=["panes", "exact"])
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from([0, 250_000, SECOND, 7 * SECOND, 40 * SECOND, 61 * SECOND]), min_size=1, max_size=40
    ),
    data=st.data(),
)
def test_row_09_values_up_to_1e15_are_near_exact_arithmetic(
    operation: Operation, members: Members, steps: list[int], data: st.DataObject
) -> None:
    level = data.draw(st.sampled_from([0.0, 1.0, -1e3, 1e9, 1e12, -1e15]))
    spread = data.draw(st.integers(-6, 15))
    wide = st.integers(-1_000, 1_000).map(lambda step: level + step / 1_000 * 10.0**spread)
    x = data.draw(st.lists(wide, min_size=len(steps), max_size=len(steps)))
    check(operation, members, np.cumsum(steps).tolist(), x)
