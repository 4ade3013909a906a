"""Columns that look at one row alone: logarithms, quotients, zeros and ones, local time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import SchemaError
from tocsin.features.base import EXAMPLE, Feature, compile_program
from tocsin.features.calendar import Calendar
from tocsin.features.category import Category
from tocsin.features.log_scale import LogScale
from tocsin.features.ratio import Ratio
from tocsin.kernel.columns import PARTS, PERIODS
from tocsin.kernel.program import Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Matrix

NAN = float("nan")
EXACT = Context(prec=60)
BERLIN = "Europe/Berlin"

anything = st.floats(width=64)
sizes = st.floats(min_value=0, allow_infinity=False)
moments = st.integers(-(10**17), 4_102_444_800 * SECOND)
"""Microseconds from 1200 BC to 2099."""


def compiled(feature: Feature) -> Program:
    rows = {"protocol": np.array(["tcp", "udp"], dtype=object)}
    return compile_program(EXAMPLE, (), [feature], Batch(rows))


def run(program: Program, kind: type[Kernel] = Kernel, /, **columns: Any) -> Matrix:
    types: dict[str, Any] = {"time": np.int64, "protocol": object}
    kernel = kind(program)
    batch = Batch({name: np.array(column, dtype=types.get(name, np.float64)) for name, column in columns.items()})
    return kernel.run(batch, kernel.start()).values


LOG = compiled(LogScale(columns=("bytes",)))
RATIO = compiled(Ratio(numerator="bytes", denominator="packets", offset=0.0))
ONE_HOT = compiled(Category(columns=("protocol",)))
HASHED = compiled(Category(columns=("protocol",), how="hash", bins=4))
CALENDAR = compiled(Calendar(parts=PARTS, timezone=BERLIN))
CIRCLES = compiled(Calendar(parts=tuple(PERIODS), timezone=BERLIN, cyclical=True))


@settings(max_examples=300)
@given(x=st.one_of(sizes, st.floats(0, 1), st.integers(0, 10**18).map(float)))
def test_row_11_a_logarithm_is_within_2e_16_of_the_exact_one(x: float) -> None:
    got = Decimal(float(run(LOG, bytes=[x])[0, 0]))
    exact = EXACT.ln(EXACT.add(Decimal(x), 1)) if x > 1e-25 else Decimal(x)
    assert abs(got - exact) <= Decimal("2e-16") * exact


@settings(max_examples=100)
@given(x=st.lists(sizes, min_size=2, max_size=20))
def test_a_larger_number_has_no_smaller_logarithm(x: list[float]) -> None:
    values = run(LOG, bytes=sorted(x))[:, 0]
    # Rounding may turn two neighbours around by a last digit.
    assert (np.diff(values) >= -2 * np.spacing(values[1:])).all()


def test_a_logarithm_of_what_is_missing_or_negative_is_missing() -> None:
    np.testing.assert_array_equal(run(LOG, bytes=[NAN, -1e-9, -2.0, 0.0])[:, 0], [NAN, NAN, NAN, 0])


@given(above=anything, below=anything)
def test_a_ratio_is_the_quotient_or_missing(above: float, below: float) -> None:
    got = run(RATIO, bytes=[above], packets=[below])[0, 0]
    with np.errstate(all="ignore"):
        quotient = np.float64(above) / np.float64(below)
    np.testing.assert_array_equal(got, quotient if np.isfinite(quotient) else NAN)


@given(protocol=st.sampled_from(["tcp", "udp", "icmp", ""]))
def test_row_14_exactly_one_column_of_a_vocabulary_is_one(protocol: str) -> None:
    (row,) = run(ONE_HOT, protocol=[protocol])
    assert row.tolist() == [protocol == "tcp", protocol == "udp", protocol not in ("tcp", "udp")]


@given(protocol=st.text(max_size=5))
def test_row_14_exactly_one_bin_is_one_unless_the_value_is_missing(protocol: str) -> None:
    (row,) = run(HASHED, protocol=[protocol])
    assert sorted(row.tolist()) == [0, 0, 0, float(protocol != "")]


@settings(max_examples=300)
@given(at=st.integers(0, 4_102_444_799 * SECOND))
def test_row_12_every_part_is_that_of_the_time_zone_database(at: int) -> None:
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(ZoneInfo(BERLIN))
    hour, minute, day = local.hour, local.minute, local.weekday()
    wanted = [hour, minute, local.second, hour * 60 + minute, day, local.month, day >= 5, 9 <= hour <= 17]
    assert run(CALENDAR, time=[at])[0].tolist() == wanted


def test_row_12_an_hour_that_clocks_repeat_is_told_twice_and_one_they_skip_never() -> None:
    autumn, spring = 1_792_882_800 * SECOND, 1_774_738_800 * SECOND
    for start, hours in ((autumn, [1, 2, 2, 3]), (spring, [0, 1, 3, 4])):
        assert run(CALENDAR, time=[start + hour * 3_600 * SECOND for hour in range(4)])[:, 0].tolist() == hours


def test_row_05_a_late_row_has_the_hour_of_its_own_time() -> None:
    assert run(CALENDAR, time=[10 * 3_600 * SECOND, 0])[:, 0].tolist() == [11, 1]


def test_row_13_times_that_the_schema_did_not_type_are_refused() -> None:
    kernel = Kernel(CALENDAR)
    with pytest.raises(SchemaError, match=r"batch column time\n  got float64, wanted int64"):
        kernel.run(Batch({"time": np.array([0.0])}), kernel.start())


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(moments, anything, anything, st.sampled_from(["tcp", "", "x"])), min_size=1, max_size=20)
)
@pytest.mark.parametrize("program", [LOG, RATIO, ONE_HOT, HASHED, CALENDAR, CIRCLES], ids=lambda it: it.outputs[0])
def test_row_10_the_sources_give_the_bits_of_the_compiled_kernel(
    sources: type[Kernel], program: Program, rows: list[tuple[int, float, float, str]]
) -> None:
    columns = dict(zip(("time", "bytes", "packets", "protocol"), zip(*rows, strict=True), strict=True))
    assert run(program, Kernel, **columns).tobytes() == run(program, sources, **columns).tobytes()
