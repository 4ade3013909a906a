"""Rates: gauges, counters that wrap or reset, gaps and missing values."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch

NAN = float("nan")


def rates(*rows: tuple[float, float], bits: int | None = None, reset: str = "nan", max_gap_s: int = 600) -> list[float]:
    constants = {"max_gap_us": max_gap_s * SECOND, "bits": bits, "reset": reset}
    kernel = Kernel(Program((Operation("rate", ("x",), ("x_per_s",), constants),), ("x_per_s",), time="time"))
    times = np.array([round(seconds * SECOND) for seconds, _ in rows], dtype=np.int64)
    batch = Batch({"time": times, "x": np.array([value for _, value in rows])})
    matrix = kernel.run(batch, kernel.start())
    assert matrix.warm.all()
    values: list[float] = matrix.values[:, 0].tolist()
    return values


def test_a_gauge_may_rise_and_fall() -> None:
    np.testing.assert_array_equal(rates((0, 10.0), (2, 20.0), (4, 10.0)), [NAN, 5, -5])


def test_row_06_a_gap_has_no_rate_and_the_value_after_it_starts_anew() -> None:
    np.testing.assert_array_equal(rates((0, 0.0), (600, 60.0), (1201, 0.0), (1202, 7.0)), [NAN, 0.1, NAN, 7])


def test_row_06_where_time_stands_still_or_goes_back_there_is_no_rate_and_the_first_value_stays() -> None:
    np.testing.assert_array_equal(rates((0, 1.0), (0, 50.0), (-5, 9.0), (2, 5.0)), [NAN, NAN, NAN, 2])


def test_row_06_a_reset_is_missing_unless_declared_to_start_from_zero() -> None:
    rows = ((0, 1e9), (10, 500.0), (20, 700.0))
    np.testing.assert_array_equal(rates(*rows, bits=32), [NAN, NAN, 20])
    np.testing.assert_array_equal(rates(*rows, bits=32, reset="from_zero"), [NAN, 50, 20])


def test_a_counter_that_wraps_goes_on() -> None:
    np.testing.assert_array_equal(rates((0, 2.0**32 - 100), (10, 100.0), bits=32), [NAN, 20])


def test_the_same_fall_is_a_reset_for_a_wider_counter() -> None:
    np.testing.assert_array_equal(rates((0, 2.0**32 - 100), (10, 100.0), bits=64), [NAN, NAN])


@pytest.mark.parametrize(("share", "wraps"), [(0.24, True), (0.26, False)])
def test_a_way_on_of_a_quarter_of_the_range_is_too_long_for_a_wrap(share: float, wraps: bool) -> None:
    got = rates((0, 2.0**32 * (1 - share)), (1, 0.0), bits=32)[1]
    assert np.isfinite(got) == wraps


def test_row_08_a_missing_value_does_not_become_the_last_one() -> None:
    np.testing.assert_array_equal(rates((0, 10.0), (1, NAN), (2, 20.0)), [NAN, NAN, 5])


def test_missing_values_do_not_shorten_a_gap() -> None:
    np.testing.assert_array_equal(rates((0, 1.0), (500, NAN), (700, 2.0)), [NAN, NAN, NAN])


def test_row_15_after_a_silence_longer_than_the_gap_state_is_as_new() -> None:
    later = ((2000.0, 5.0), (2001.0, 6.0))
    np.testing.assert_array_equal(rates((0, 1.0), *later)[1:], rates(*later))
