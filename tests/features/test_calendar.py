"""Calendar: local time from UTC by a stored table, across clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tocsin.errors import SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.calendar import Calendar
from tocsin.kernel.columns import PERIODS, CalendarPart
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Matrix

PARTS: tuple[CalendarPart, ...] = (
    "hour", "minute", "second", "minute_of_day", "day_of_week", "month", "is_weekend", "is_business_hours",
)  # fmt: skip


def values(calendar: Calendar, moments: list[datetime]) -> Matrix:
    kernel = Kernel(compile_program(EXAMPLE, (), [calendar], Batch({})))
    times = np.array([round(moment.timestamp()) * SECOND for moment in moments], dtype=np.int64)
    return kernel.run(Batch({"time": times}), kernel.start()).values


def parts_of(moment: datetime) -> list[float]:
    hour, minute = moment.hour, moment.minute
    weekend, business = moment.weekday() >= 5, 9 <= hour <= 17
    return [hour, minute, moment.second, hour * 60 + minute, moment.weekday(), moment.month, weekend, business]


@pytest.mark.parametrize(
    "zone",
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "America/Sao_Paulo",
    ],
)
def test_row_12_local_time_is_that_of_the_time_zone_database(zone: str, rng: np.random.Generator) -> None:
    seconds = rng.integers(0, 4_000_000_000, 2_000).tolist()
    moments = [datetime.fromtimestamp(second, ZoneInfo(zone)) for second in seconds]
    np.testing.assert_array_equal(values(Calendar(parts=PARTS, timezone=zone), moments), [parts_of(m) for m in moments])


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_row_12_every_minute_of_a_day_on_which_clocks_change_is_right(day: datetime) -> None:
    moments = [(day + timedelta(minutes=minute)).astimezone(ZoneInfo("Europe/Berlin")) for minute in range(1_440)]
    got = values(Calendar(parts=("hour", "minute"), timezone="Europe/Berlin"), moments)
    assert got.tolist() == [[moment.hour, moment.minute] for moment in moments]


def test_row_12_an_hour_that_comes_twice_is_told_twice() -> None:
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    assert [moment.astimezone(ZoneInfo("Europe/Berlin")).fold for moment in (first, second)] == [0, 1]
    got = values(Calendar(parts=("hour", "minute"), timezone="Europe/Berlin"), [first, second])
    assert got.tolist() == [[2, 30], [2, 30]]


def test_row_12_an_hour_that_is_left_out_is_never_told() -> None:
    moments = [datetime(2026, 3, 29, tzinfo=UTC) + timedelta(minutes=minute) for minute in range(-120, 240)]
    hours = values(Calendar(parts=("hour",), timezone="Europe/Berlin"), moments)[:, 0]
    assert set(hours) == {23, 0, 1, 3, 4, 5}


def test_row_12_a_clock_changes_with_its_first_instant() -> None:
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    kernel = Kernel(
        compile_program(EXAMPLE, (), [Calendar(parts=("hour", "second"), timezone="Europe/Berlin")], Batch({}))
    )
    micros = round(change.timestamp()) * SECOND
    got = kernel.run(Batch({"time": np.array([micros - 1, micros], dtype=np.int64)}), kernel.start()).values
    assert got.tolist() == [[1, 59], [3, 0]]


def test_row_12_the_calendar_of_a_late_row_is_that_of_its_own_time() -> None:
    moments = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (12, 3, 13)]
    assert values(Calendar(parts=("hour",)), moments)[:, 0].tolist() == [12, 3, 13]


def test_times_before_1970_have_a_calendar() -> None:
    moment = datetime(1969, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert values(Calendar(parts=PARTS), [moment]).tolist() == [parts_of(moment)]


def test_midnight_is_next_to_the_hour_before_it_on_the_circle() -> None:
    evening, midnight, noon = values(
        Calendar(parts=("hour",), cyclical=True), [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (23, 0, 12)]
    )
    assert np.linalg.norm(evening - midnight) < 0.3
    assert np.linalg.norm(noon - midnight) == pytest.approx(2.0)


def test_a_quarter_of_the_day_is_a_quarter_of_the_circle() -> None:
    moments = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (0, 6, 12)]
    got = values(Calendar(parts=("hour",), cyclical=True), moments)
    np.testing.assert_allclose(got, [[0, 1], [1, 0], [0, -1]], atol=1e-15)


def test_row_11_circles_are_a_stored_table_and_no_library_call() -> None:
    (operation,) = Calendar(parts=tuple(PERIODS), cyclical=True).compile(EXAMPLE, {})
    for part, circle in operation.constants["circles"].items():
        np.testing.assert_allclose(np.hypot(*np.array(circle).T), np.ones(PERIODS[part]))


def test_december_closes_the_circle_of_months() -> None:
    moments = [datetime(2026, month, 1, tzinfo=UTC) for month in (11, 12, 1)]
    november, december, january = values(Calendar(parts=("month",), cyclical=True), moments)
    assert np.linalg.norm(december - january) == pytest.approx(np.linalg.norm(november - december))


def test_flags_stay_flags_among_circles() -> None:
    names = Calendar(parts=("is_weekend", "day_of_week"), cyclical=True).names({})
    assert names == ("is_weekend", "day_of_week_sin", "day_of_week_cos")


@pytest.mark.parametrize("zone", ["Europe/Berlim", "../etc/passwd", ""])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(SchemaError, match="unknown time zone"):
        Calendar(timezone=zone).compile(EXAMPLE, {})


def test_no_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Calendar(parts=())
