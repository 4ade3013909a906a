"""Columns that are all alike take a shorter way through the schema, and come out the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tocsin.schema.values import floats, missing, parse_times

FORMS = (("T", "seconds"), (" ", "milliseconds"), ("T", "microseconds"))
OFFSETS = ("", "Z", "+00:00", "+0530", "-08:00")


def column(values: Sequence[object]) -> NDArray[Any]:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


@settings(max_examples=200, deadline=None)
@given(st.lists(st.datetimes(), min_size=1, max_size=8), st.sampled_from(FORMS), st.sampled_from(OFFSETS))
def test_times_alike_are_read_as_each_is_alone(times: list[datetime], form: tuple[str, str], offset: str) -> None:
    texts = [time.isoformat(*form) + offset for time in times]
    alike, why = parse_times(column(texts), None)
    each, why_each = parse_times(np.array(texts), None)  # an array of texts takes the long way
    assert alike.tolist() == each.tolist()
    assert why.tolist() == why_each.tolist()


ODD = (
    "soon",
    "",
    "2026-03-02T00:00:00",
    "2026-03-02T00:00:00+01:00",
    "20260302",
    "1772409600",
    "99999-01-01T00:00:00Z",
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.datetimes(), max_size=8),
    st.sampled_from(OFFSETS),
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(ODD)), max_size=4),
    st.sampled_from((None, "Europe/Berlin")),
)
def test_odd_times_among_times_alike_change_nothing(
    times: list[datetime], offset: str, odd: list[tuple[int, str]], zone: str | None
) -> None:
    texts = [time.isoformat("T", "seconds") + offset for time in times]
    for place, text in odd:
        texts.insert(place, text)
    mixed, why = parse_times(column(texts), zone)
    each, why_each = parse_times(np.array(texts, dtype=str), zone)
    assert why.tolist() == why_each.tolist()
    fine = why == ""
    assert mixed[fine].tolist() == each[fine].tolist()


@pytest.mark.parametrize(
    "odd",
    [
        "2026-02-31T00:00:00Z",
        "2026-01-05T24:00:00Z",
        "2026-01-05T00:00:60Z",
        "2026-13-05T00:00:00Z",
        "2026-01-05T00:00:0\u0661Z",
        "2026-01-05T00:00:00z",
        "+026-01-05T00:00:00Z",
        "2026-01-05X00:00:00Z",
        "2026-01-05T00:00:00\u00e9",
    ],
)
def test_one_odd_time_spoils_no_other(odd: str) -> None:
    good = "2026-01-05T00:00:00Z"
    times, problems = parse_times(column([good, odd, good]), None)
    assert times[[0, 2]].tolist() == [1_767_571_200_000_000] * 2
    assert problems[[0, 2]].tolist() == ["", ""]
    try:
        moment = datetime.fromisoformat(odd)
    except ValueError:
        assert problems[1] == "not_a_time"
    else:
        zone = moment.tzinfo or UTC
        assert times[1] == round(moment.replace(tzinfo=zone).timestamp() * 1e6)


def test_times_alike_without_an_offset_are_in_the_zone() -> None:
    texts = column(["2026-03-29 01:59:59", "2026-03-29 03:00:00"])
    assert np.diff(parse_times(texts, "Europe/Berlin")[0]).tolist() == [1_000_000]
    assert np.diff(parse_times(texts, None)[0]).tolist() == [3_601_000_000]
    east = timezone(timedelta(hours=2))
    (time,), _ = parse_times(column(["2026-03-29T00:00:00+02:00"]), "Europe/Berlin")
    assert time == datetime(2026, 3, 29, tzinfo=east).timestamp() * 1e6


numbers = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"[ +-]?[0-9_]{1,4}(\.[0-9]{0,4})?([eE][+-]?[0-9]{1,3})?[ ]?", fullmatch=True),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(numbers, st.sampled_from(["[1", "2]", "true", "null", '"5"', "1,2", "", "{}", "NaN"]))))
def test_numbers_alike_are_read_as_python_reads_each(texts: list[str]) -> None:
    def alone(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return np.nan

    np.testing.assert_array_equal(floats(column(texts)), [alone(text) for text in texts])


@given(st.lists(st.sampled_from(["", "-", "NaN", "x", None, 0, False, 1.5, float("nan"), b"", (1,)])))
def test_what_is_missing_does_not_depend_on_what_stands_beside_it(values: list[object]) -> None:
    wanted = [value is None or value in ("", "-", "NaN") or str(value) == "nan" for value in values]
    assert missing(column(values)).tolist() == wanted


@pytest.mark.parametrize("first", ["0000-01-01T00:00:00Z", "2026-01-05T00:00:00+99:99"])
def test_a_first_time_that_is_none_stops_no_other(first: str) -> None:
    fine = first.replace("0000", "2026").replace("+99:99", "+00:00")
    times, why = parse_times(column([first, fine]), None)
    assert why.tolist() == ["not_a_time", ""]
    assert times[1] > 0
