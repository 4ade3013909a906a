"""Residuals: the table's cell of a row's own time, and what no table can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.columns import CalendarPart
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.kernel.seasons import SIZES
from tocsin.records import SECOND, Batch, Matrix

HOUR = 3_600 * SECOND
SUNDAY = 3 * 24 * HOUR
NAN = float("nan")
DAY = [1.0 + hour for hour in range(24)]


def program(season: tuple[CalendarPart, ...], usual: list[float], spread: list[float], offset: int = 0) -> Program:
    calendar = {"parts": season, "changes": [], "offsets": [offset], "circles": {}}
    table = {"season": season, "usual": usual, "spread": spread}
    operations = (
        Operation("calendar", ("time",), season, calendar),
        Operation("residual", ("x", *season), ("r",), table),
    )
    return Program(operations, ("r",), time="time")


HOURLY = program(("hour",), [float(hour) for hour in range(24)], DAY)


def run(kernel: Kernel, *rows: tuple[int, float]) -> Matrix:
    times, values = zip(*rows, strict=True)
    batch = Batch({"time": np.array(times, dtype=np.int64), "x": np.array(values, dtype=np.float64)})
    return kernel.run(batch, kernel.start()).values


def residuals(program: Program, *rows: tuple[int, float]) -> list[float]:
    values: list[float] = run(Kernel(program), *rows)[:, 0].tolist()
    return values


def test_a_value_is_measured_by_the_cell_of_its_hour() -> None:
    assert residuals(HOURLY, (0, 3.0), (HOUR, 3.0), (23 * HOUR, 71.0), (25 * HOUR, 3.0)) == [3, 1, 2, 1]


def test_row_12_the_hour_is_that_of_local_time() -> None:
    assert residuals(program(("hour",), DAY, DAY, offset=-3_600), (0, 48.0)) == [1.0]


def test_the_last_part_runs_fastest() -> None:
    season: tuple[CalendarPart, ...] = ("is_weekend", "hour")
    usual = [100.0 * weekend + hour for weekend in range(2) for hour in range(24)]
    table = program(season, usual, [1.0] * 48)
    assert residuals(table, (5 * HOUR, 0.0), (SUNDAY + 5 * HOUR, 0.0)) == [-5, -105]


def test_december_has_a_cell_beside_january() -> None:
    table = program(("month",), [float(month) for month in range(12)], [1.0] * 12)
    assert residuals(table, (0, 0.0), (364 * 24 * HOUR, 0.0)) == [-1, 0]


def test_row_05_a_late_row_is_measured_by_its_own_hour() -> None:
    assert residuals(HOURLY, (2 * HOUR, 2.0), (HOUR, 3.0)) == [0, 1]


def test_row_08_a_missing_value_has_no_residual() -> None:
    np.testing.assert_array_equal(residuals(HOURLY, (0, NAN), (0, 0.0), (0, np.inf)), [NAN, 0, NAN])


def test_the_largest_values_are_as_far_out_as_a_distance_can_be_told() -> None:
    table = program(("is_weekend",), [1e150, 0.0], [1e-150, 1.0])
    assert residuals(table, (0, -1.7e308), (SUNDAY, 1.7e308)) == pytest.approx([-2e300, 1e150])


def test_an_empty_table_leaves_every_value_missing() -> None:
    assert np.isnan(residuals(program(("hour",), [], []), (0, 1.0))).all()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-(10**17), 10**17), st.floats(width=64)), min_size=1, max_size=30),
    season=st.lists(st.sampled_from(sorted(set(SIZES) - {"minute_of_day"})), min_size=1, max_size=2, unique=True),
    seed=st.integers(0, 9),
)
def test_row_10_the_sources_give_the_bits_of_the_compiled_kernel(
    sources: type[Kernel], rows: list[tuple[int, float]], season: list[CalendarPart], seed: int
) -> None:
    size = int(np.prod([SIZES[part] for part in season]))
    rng = np.random.default_rng(seed)
    table = program(tuple(season), rng.normal(size=size).tolist(), rng.lognormal(size=size).tolist(), 3_600)
    assert run(Kernel(table), *rows).tobytes() == run(sources(table), *rows).tobytes()


@pytest.mark.parametrize("value", [NAN, -1.0, 24.5, 1e300, -1e300, np.inf])
def test_a_part_that_is_no_part_leaves_the_value_missing(value: float, sources: type[Kernel]) -> None:
    operation = Operation("residual", ("x", "y"), ("r",), dict(HOURLY.operations[1].constants))
    rows = Batch({"x": np.array([1.0]), "y": np.array([value])})
    for kind in (Kernel, sources):
        kernel = kind(Program((operation,), ("r",)))
        assert np.isnan(kernel.run(rows, kernel.start()).values).all()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"season": ["hour", "month"]}, "a column for each part"),
        ({"season": ["year"]}, "constants that do not fit"),
        ({"usual": [0.0]}, "each of 24 cells"),
        ({"usual": [0.0], "spread": [1.0]}, "each of 24 cells"),
        ({"usual": [[0.0] * 24], "spread": [[1.0] * 24]}, "each of 24 cells"),
        ({"spread": [0.0] * 24}, "spreads above 0"),
        ({"spread": [np.nan] * 24}, "spreads above 0"),
        ({"spread": [np.inf] * 24}, "spreads above 0"),
        ({"usual": [1e300] * 24}, "finite usual values"),
        ({"usual": ["high"] * 24}, "constants that do not fit"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(changed: dict[str, Any], complaint: str) -> None:
    calendar, residual = HOURLY.operations
    broken = Operation("residual", residual.inputs, residual.outputs, {**residual.constants, **changed})
    with pytest.raises(IntegrityError, match=complaint):
        Kernel(Program((calendar, broken), ("r",), time="time"))
