"""Elementary functions: how near they are to the exact value, and that every machine gets the same bits.

They are reached through the operations that use them: compiled, they cannot be called from outside.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from math import nextafter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tocsin.kernel.arithmetic import FORGOTTEN
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import DAY, Batch, Vector

EXACT = Context(prec=40, Emin=-(10**6))
TINY = Decimal("1e-15")
NAN = float("nan")
LOG = Program((Operation("log1p", ("x",), ("log_x",)),), ("log_x",))
MONTH = Program(
    (Operation("calendar", ("time",), ("month",), {"parts": ["month"], "changes": [], "offsets": [0], "circles": {}}),),
    ("month",),
    time="time",
)


def log1p(values: Vector, kind: type[Kernel] = Kernel) -> Vector:
    kernel = kind(LOG)
    got: Vector = kernel.run(Batch({"x": values}), kernel.start()).values[:, 0]
    return got


def halving(half_life: int) -> Program:
    constants = {"half_life_us": half_life, "statistics": ["weight"]}
    return Program((Operation("decay", ("x",), ("weight",), constants),), ("weight",), time="time")


def halved(gaps: list[int], half_life: int, kind: type[Kernel] = Kernel) -> Vector:
    """What is left of one value after each gap; they must ascend."""
    kernel = kind(halving(half_life))
    times = np.array([0, *gaps], dtype=np.int64)
    values = np.array([1.0, *[NAN] * len(gaps)])
    got: Vector = kernel.run(Batch({"time": times, "x": values}), kernel.start()).values[1:, 0]
    return got


def digest(values: Vector) -> str:
    return hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()[:16]


def error(got: float, exact: Decimal) -> float:
    return float(abs(EXACT.subtract(Decimal(got), exact)) / exact)


def log_of(x: float) -> Decimal:
    exact = Decimal(x)
    if exact > TINY:
        return EXACT.ln(EXACT.add(Decimal(1), exact))
    # 1 + x would keep too few digits of x; of the series, the next term is beyond 40.
    square = EXACT.multiply(exact, exact)
    return EXACT.add(EXACT.subtract(exact, square / 2), EXACT.multiply(square, exact) / 3)


@settings(max_examples=600, deadline=None)
@given(x=st.one_of(st.floats(0.0, 1.7976931348623157e308, exclude_min=True), st.floats(0.0, 4.0, exclude_min=True)))
@example(x=5e-324)
@example(x=1e-300)
@example(x=1e-17)
@example(x=0.41421356237309503)
@example(x=nextafter(0.41421356237309503, 1.0))
@example(x=1.821929079913549)
@example(x=1e16)
@example(x=1e308)
@example(x=1.7976931348623157e308)
def test_row_11_a_logarithm_is_as_near_as_its_docstring_says(x: float) -> None:
    assert error(log1p(np.array([x]))[0], log_of(x)) < 1.6e-16


def test_row_11_logarithms_of_all_sizes_are_near(rng: np.random.Generator) -> None:
    values = np.concatenate([10.0 ** rng.uniform(-20, 308, 800), rng.uniform(0, 4, 800), rng.lognormal(8, 4, 800)])
    assert max(error(got, log_of(x)) for got, x in zip(log1p(values).tolist(), values.tolist(), strict=True)) < 1.6e-16


def test_logarithms_never_fall_where_sizes_rise(rng: np.random.Generator) -> None:
    values = np.sort(np.concatenate([rng.uniform(0, 8, 50_000), 10.0 ** rng.uniform(-18, 20, 50_000)]))
    assert (np.diff(log1p(values)) >= 0.0).all()


def test_what_has_no_logarithm_is_missing() -> None:
    values = np.array([0.0, -0.0, np.inf, -np.inf, NAN, -1e-300, -0.5, -1.0, -1e308])
    np.testing.assert_array_equal(log1p(values), [0.0, 0.0, *[NAN] * 7])


def test_row_11_every_machine_gets_these_logarithms() -> None:
    values = np.concatenate([np.arange(0, 4_000) / 997.0, 2.0 ** np.arange(-1_074, 1_024)])
    assert digest(log1p(values)) == "9c77301c58b74846"


def test_row_11_the_sources_give_the_bits_of_the_compiled_logarithm(
    sources: type[Kernel], rng: np.random.Generator
) -> None:
    values = np.concatenate([10.0 ** rng.uniform(-320, 308, 3_000), rng.uniform(-1, 4, 3_000), [np.inf, NAN, 0.0]])
    assert log1p(values, sources).tobytes() == log1p(values).tobytes()


@settings(max_examples=200, deadline=None)
@given(half_life=st.one_of(st.integers(1, 2**50), st.sampled_from([1, 7, 997, 10**7])), share=st.floats(0, FORGOTTEN))
def test_row_10_a_power_is_as_near_as_its_docstring_says(half_life: int, share: float) -> None:
    gap = min(int(share * half_life), FORGOTTEN * half_life - 1)
    exact = EXACT.power(Decimal(2), EXACT.minus(EXACT.divide(Decimal(gap), Decimal(half_life))))
    assert error(halved([gap], half_life)[0], exact) < 3e-16


def test_row_10_whole_half_lives_are_exact_and_after_64_nothing_is_left() -> None:
    gaps = [whole * 7 for whole in range(FORGOTTEN + 3)]
    assert halved(gaps, 7).tolist() == [*(2.0**-whole for whole in range(FORGOTTEN)), 0.0, 0.0, 0.0]


def test_row_10_a_gap_just_short_of_the_longest_half_life_is_no_step_too_far() -> None:
    assert halved([2**53 - 1, 2**53], 2**53).tolist() == [nextafter(0.5, 1.0), 0.5]


def test_row_11_every_machine_gets_these_powers() -> None:
    assert digest(halved(list(range(0, FORGOTTEN * 997, 13)), 997)) == "2d82010093fa50fd"


def test_row_11_the_sources_give_the_bits_of_the_compiled_power(
    sources: type[Kernel], rng: np.random.Generator
) -> None:
    for half_life in (1, 997, 10**7, 2**50):
        gaps = np.sort(rng.integers(0, FORGOTTEN * half_life, 500)).tolist()
        assert halved(gaps, half_life, sources).tobytes() == halved(gaps, half_life).tobytes()


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def months(moments: list[date], kind: type[Kernel] = Kernel) -> list[float]:
    kernel = kind(MONTH)
    epoch = date(1970, 1, 1)
    times = np.array([(moment - epoch).days * DAY for moment in moments], dtype=np.int64)
    got: list[float] = kernel.run(Batch({"time": times}), kernel.start()).values[:, 0].tolist()
    return got


def test_row_12_every_day_of_a_thousand_years_has_its_month() -> None:
    moments = days(date(1600, 1, 1), date(2600, 12, 31))
    assert months(moments) == [moment.month for moment in moments]


def test_row_12_the_sources_know_the_months_too(sources: type[Kernel]) -> None:
    moments = days(date(1896, 1, 1), date(1904, 12, 31)) + days(date(1996, 1, 1), date(2004, 12, 31))
    assert months(moments, sources) == [moment.month for moment in moments]


@pytest.mark.parametrize(
    "moment", [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1968, 2, 29, tzinfo=UTC)]
)
def test_row_12_the_last_instant_before_1970_is_in_december(moment: datetime) -> None:
    kernel = Kernel(MONTH)
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    batch = Batch({"time": np.array([micros], dtype=np.int64)})
    assert kernel.run(batch, kernel.start()).values[0, 0] == moment.month
