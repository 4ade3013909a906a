"""Which part of a history is learnt from, counted from a clock that is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.config import LimitsConfig, parse
from tocsin.errors import ConfigError, DataError
from tocsin.records import SECOND, Batch
from tocsin.schema import Field, Schema
from tocsin.system import Project, check
from tocsin.training.history import source_of
from tocsin.training.limits import Limits
from tocsin.training.period import Period, Within, asked

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CLOCK = Schema(fields={"time": Field(dtype="time"), "load": Field(dtype="float")}, time="time")
CONFIG = """\
version: 1
name: loads
schema: {{time: time, fields: {{time: {{dtype: time}}, load: {{dtype: float}}}}}}
source: {{type: csv, path: rows.csv}}
detector: {{type: robust_zscore}}
history: {{last: {last}}}
"""


def project(folder: Path, last: str = "7d", days: int = 30) -> Project:
    lines = [f"{(NOW - timedelta(days=day)).isoformat()},{day}" for day in range(days, 0, -1)]
    (folder / "rows.csv").write_text("\n".join(["time,load", *lines, "2026-11-27T00:00:00Z,nothing", ""]), "utf-8")
    return Project(parse(CONFIG.format(last=last), folder / "tocsin.yaml"), clock=lambda: NOW)


def test_the_config_says_how_much_is_learnt_from_and_the_rest_is_counted(tmp_path: Path) -> None:
    read = project(tmp_path)
    history = read.reader.read(source_of(read.config), None, Limits(LimitsConfig()), Period(7 * 86_400.0))
    assert sorted(history.batch["load"].tolist()) == [1, 2, 3, 4, 5, 6, 7]
    tally = history.tally
    assert (tally.received, tally.passed_on, tally.quarantined, tally.ignored) == (31, 7, 1, 23)
    assert sum(batch.rows for batch in read.rows()) == 7
    assert sum(batch.rows for batch in read.rows(period=Period(start=NOW - timedelta(days=3)))) == 3


def test_a_period_without_rows_says_where_they_lie(tmp_path: Path) -> None:
    empty = project(tmp_path, days=30)
    with pytest.raises(DataError, match=r"2026-10-29 12:00:00 to 2026-11-27 12:00:00.*from 2026-11-28 11:00:00"):
        empty.reader.read(source_of(empty.config), None, Limits(LimitsConfig()), Period(3_600.0))


def test_rows_without_a_time_have_no_period() -> None:
    text = (
        "version: 1\nname: x\nschema: {fields: {load: {dtype: float}}}\n"
        "detector: {type: robust_zscore}\nalerts: {budget: 1%}\n"
    )
    check(parse(text))
    with pytest.raises(ConfigError, match=r"\$\.history\.last.*\n.*rows that have no time"):
        check(parse(text + "history: {last: 7d}\n"))
    with pytest.raises(ConfigError, match="no time"):
        Within(Period(1.0), NOW, Schema(fields={"load": Field(dtype="float")}))


@pytest.mark.parametrize(
    ("options", "period"),
    [
        ({}, None),
        ({"since_s": 60.0}, Period(60.0)),
        ({"max_age_hours": 2.0}, Period(7_200.0)),
        ({"start": "2026-11-01"}, Period(start=datetime(2026, 11, 1, tzinfo=UTC))),
        ({"end": "2026-11-01"}, Period(end=datetime(2026, 11, 2, tzinfo=UTC))),
        ({"end": "2026-11-01T06:00:00+01:00"}, Period(end=datetime(2026, 11, 1, 5, tzinfo=UTC))),
        (
            {"start": "2026-11-01", "end": "2026-11-01"},
            Period(start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 11, 2, tzinfo=UTC)),
        ),
    ],
)
def test_options_ask_for_a_period(options: dict[str, Any], period: Period | None) -> None:
    given: dict[str, Any] = {"since_s": None, "start": None, "end": None, "max_age_hours": None}
    assert asked(**{**given, **options}) == period


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((60.0, "2026-11-01", None, None), "together"),
        ((60.0, None, None, 1.0), "together"),
        ((None, "yesterday", None, None), "a day or a time"),
        ((None, "2026-11-02", "2026-11-01", None), "not after"),
    ],
)
def test_what_is_no_period_is_told(options: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        asked(*options)


@given(
    times=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30),
    start=st.none() | st.integers(-(10**6), 10**6),
    end=st.none() | st.integers(-(10**6), 10**6),
)
def test_rows_lie_within_from_the_start_to_before_the_end(times: list[int], start: int | None, end: int | None) -> None:
    first, last = (None if at is None else NOW + timedelta(seconds=at) for at in (start, end))
    within = Within(Period(start=first, end=last), NOW, CLOCK)
    now = round(NOW.timestamp())
    batch = Batch({"time": np.array([(now + at) * SECOND for at in times]), "load": np.zeros(len(times))})
    assert within(batch).tolist() == [(start is None or at >= start) and (end is None or at < end) for at in times]
    assert within.seen.startswith(f"{NOW + timedelta(seconds=min(times)):%Y-%m-%d %H:%M:%S} to")
