"""Residuals: what is learnt of a season, and what a value is then worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.calendar import Calendar
from tocsin.features.ratio import Ratio
from tocsin.features.residual import Residual
from tocsin.kernel.run import Kernel
from tocsin.kernel.seasons import SIZES
from tocsin.records import SECOND, Batch, Times, Vector
from tocsin.schema import Field, Schema

MONDAY = 1_767_571_200
"""5 January 2026 in UTC, seconds."""
HOUR, DAY = 3_600, 86_400
HOURLY = Residual(columns=("temperature",), season=("hour",), min_rows=5)


def rows(seconds: Any, values: Any, hosts: str = "a") -> Batch:
    times = np.asarray(seconds, dtype=np.int64) * SECOND
    host = np.resize(np.array(list(hosts), dtype=object), len(times))
    return Batch({"time": times, "host": host, "temperature": np.asarray(values, dtype=np.float64)})


def weeks(rng: np.random.Generator, number: int = 2) -> tuple[Times, Vector]:
    """Every ten minutes: 20 degrees by night, 30 by day, each a little off."""
    seconds = MONDAY + np.arange(0, number * 7 * DAY, 600, dtype=np.int64)
    by_day = (seconds % DAY >= 8 * HOUR) & (seconds % DAY < 18 * HOUR)
    return seconds, np.where(by_day, 30.0, 20.0) + rng.normal(size=len(seconds))


def residuals(feature: Residual, training: Batch, batch: Batch) -> list[float]:
    kernel = Kernel(compile_program(EXAMPLE, (), [feature], training))
    values: list[float] = kernel.run(batch, kernel.start()).values[:, 0].tolist()
    return values


def test_a_value_that_is_usual_by_day_is_strange_by_night(rng: np.random.Generator) -> None:
    night, noon = residuals(HOURLY, rows(*weeks(rng)), rows([MONDAY + 3 * HOUR, MONDAY + 12 * HOUR], [30.0, 30.0]))
    assert abs(noon) < 1
    assert night > 8


def test_usual_values_have_the_spread_of_a_standard_normal_variable(rng: np.random.Generator) -> None:
    training, later = rows(*weeks(rng, 20)), rows(*weeks(rng, 4))
    got = np.array(residuals(HOURLY, training, later))
    assert abs(np.median(got)) < 0.05
    assert np.std(got) == pytest.approx(1, abs=0.1)


def test_nearly_half_of_the_training_rows_may_be_wrong(rng: np.random.Generator) -> None:
    seconds, values = weeks(rng)
    wrong = np.where(rng.random(len(values)) < 0.4, 1e6, values)
    (noon,) = residuals(HOURLY, rows(seconds, wrong), rows([MONDAY + 12 * HOUR], [30.0]))
    assert abs(noon) < 5


def test_weekends_are_seasons_of_their_own(rng: np.random.Generator) -> None:
    seconds, _ = weeks(rng)
    saturday = MONDAY + 5 * DAY + 12 * HOUR
    values = np.where((seconds - MONDAY) // DAY % 7 >= 5, 5.0, 30.0) + rng.normal(size=len(seconds))
    of_weekend = residuals(Residual(columns=("temperature",)), rows(seconds, values), rows([saturday], [30.0]))
    of_hour = residuals(HOURLY, rows(seconds, values), rows([saturday], [30.0]))
    assert of_weekend[0] > 15
    assert abs(of_hour[0]) < 2


def test_row_12_the_hour_is_that_of_the_place_also_when_clocks_change(rng: np.random.Generator) -> None:
    feature = Residual(columns=("temperature",), season=("hour",), timezone="Europe/Berlin")
    winter, summer = MONDAY, MONDAY + 182 * DAY
    seconds = winter + np.arange(0, 28 * DAY, 600)
    values = np.where((seconds + HOUR) % DAY // HOUR == 9, 50.0, 20.0) + rng.normal(size=len(seconds))
    # Nine o'clock in Berlin is 8:00 UTC in winter and 7:00 in summer.
    asked = [winter + 8 * HOUR, summer + 7 * HOUR, summer + 8 * HOUR]
    got = residuals(feature, rows(seconds, values), rows(asked, [50.0, 50.0, 50.0]))
    assert np.abs(got[:2]).max() < 1
    assert got[2] > 20


def test_a_season_that_was_hardly_seen_goes_by_the_coarser_one() -> None:
    feature = Residual(columns=("temperature",), season=("is_weekend", "hour"), min_rows=3)
    noons = [12 * HOUR, DAY + 12 * HOUR, 2 * DAY + 12 * HOUR]
    mornings, weekend = [hour * HOUR for hour in range(5)], [5 * DAY, 6 * DAY]
    training = rows(MONDAY + np.array(noons + mornings + weekend), [30.0] * 3 + [10.0] * 5 + [90.0] * 2)
    working_days, weekends = np.reshape(feature.learn(EXAMPLE, training)["temperature"]["usual"], (2, 24))
    assert working_days[12] == 30
    # One o'clock was seen once and eight never: both go by all working days. The weekend was seen twice.
    assert working_days[1] == working_days[8] == 10
    assert set(weekends) == {20}


def test_values_that_never_vary_are_measured_by_the_smallest_spread() -> None:
    feature = Residual(columns=("temperature",), season=("hour",), min_rows=1, min_spread=0.5)
    seconds = MONDAY + np.arange(10) * DAY
    assert residuals(feature, rows(seconds, np.full(10, 7.0)), rows([MONDAY, MONDAY], [7.0, 8.0])) == [0.0, 2.0]


def test_a_column_without_a_value_in_training_has_no_residual() -> None:
    assert np.isnan(residuals(HOURLY, rows([MONDAY], [np.nan]), rows([MONDAY], [1.0]))).all()
    assert np.isnan(residuals(HOURLY, Batch({}), rows([MONDAY], [1.0]))).all()


def test_row_05_a_late_row_is_measured_by_the_hour_of_its_own_time(rng: np.random.Generator) -> None:
    training = rows(*weeks(rng))
    late = residuals(HOURLY, training, rows([MONDAY + 12 * HOUR, MONDAY + 3 * HOUR], [30.0, 20.0]))
    assert np.abs(late).max() < 2


def test_row_08_missing_training_values_teach_nothing(rng: np.random.Generator) -> None:
    seconds, values = weeks(rng)
    gone = rng.random(len(values)) < 0.3
    with_gaps = HOURLY.learn(EXAMPLE, rows(seconds, np.where(gone, np.nan, values)))
    assert with_gaps == HOURLY.learn(EXAMPLE, rows(seconds[~gone], values[~gone]))


def test_row_16_a_value_depends_on_other_entities_through_the_frozen_table_alone(rng: np.random.Generator) -> None:
    training = rows(*weeks(rng), hosts="abc")
    alone = residuals(HOURLY, training, rows([MONDAY, MONDAY + 1], [21.0, 22.0], hosts="a"))
    beside = residuals(HOURLY, training, rows([MONDAY, MONDAY, MONDAY + 1], [21.0, 1e9, 22.0], hosts="aba"))
    assert [beside[0], beside[2]] == alone


def test_the_table_survives_json_and_is_in_the_fingerprint(rng: np.random.Generator) -> None:
    tables = HOURLY.learn(EXAMPLE, rows(*weeks(rng)))
    assert orjson.loads(orjson.dumps(tables)) == tables
    one, two = (compile_program(EXAMPLE, (), [HOURLY], rows(*weeks(rng))) for _ in range(2))
    assert one.fingerprint != two.fingerprint


@settings(max_examples=50, deadline=None)
@given(
    times=st.lists(st.integers(0, 2 * 365 * DAY), min_size=1, max_size=60),
    season=st.lists(
        st.sampled_from(sorted(set(SIZES) - {"minute", "second", "minute_of_day"})), min_size=1, max_size=3, unique=True
    ),
    min_rows=st.integers(1, 4),
)
def test_usual_is_the_median_of_the_finest_season_with_enough_rows(
    times: list[int], season: list[Any], min_rows: int
) -> None:
    values = np.random.default_rng(len(times)).normal(size=len(times))
    feature = Residual(columns=("temperature",), season=tuple(season), timezone="Europe/Berlin", min_rows=min_rows)
    calendar = compile_program(EXAMPLE, (), [Calendar(parts=tuple(season), timezone="Europe/Berlin")], Batch({}))
    kernel = Kernel(calendar)
    parts = kernel.run(rows(times, values), kernel.start()).values
    got = residuals(feature, rows(times, values), rows(times, values))
    for row in range(len(times)):
        for depth in range(len(season), -1, -1):
            inside = values[(parts[:, :depth] == parts[row, :depth]).all(axis=1)]
            if len(inside) >= min_rows or depth == 0:
                break
        usual = np.median(inside)
        spread = max(1.4826 * np.median(np.abs(inside - usual)), 1e-6)
        assert got[row] == pytest.approx((values[row] - usual) / spread, rel=1e-12, abs=1e-12)


def test_two_residuals_and_a_calendar_stand_beside_each_other() -> None:
    other = Residual(columns=("bytes",), season=("hour", "is_weekend"))
    program = compile_program(EXAMPLE, ("bytes",), [Calendar(), HOURLY, other], Batch({}))
    assert program.outputs == ("bytes", "hour", "day_of_week", "is_weekend", "temperature_residual", "bytes_residual")
    Kernel(program)


def test_what_a_feature_computes_has_no_residual() -> None:
    ratio = Ratio(numerator="bytes", denominator="packets")
    with pytest.raises(
        SchemaError, match=r'"bytes_per_packets", which is no field(.|\n)*before any feature is computed'
    ):
        compile_program(EXAMPLE, (), [ratio, Residual(columns=("bytes_per_packets",))], Batch({}))


def test_text_has_no_residual() -> None:
    with pytest.raises(SchemaError, match='field "protocol", a category'):
        compile_program(EXAMPLE, (), [Residual(columns=("protocol",))], Batch({}))


@pytest.mark.parametrize("training", [Batch({}), Batch({"x": np.ones(3)})], ids=["no rows", "rows"])
def test_without_a_clock_there_are_no_seasons(training: Batch) -> None:
    with pytest.raises(SchemaError, match="a schema without a clock"):
        compile_program(Schema(fields={"x": Field()}), (), [Residual(columns=("x",))], training)


@pytest.mark.parametrize("training", [Batch({}), rows([MONDAY], [1.0])], ids=["no rows", "rows"])
def test_an_unknown_zone_is_refused(training: Batch) -> None:
    with pytest.raises(SchemaError, match=r'^Residual(.|\n)*unknown time zone "Europe/Berlim"'):
        compile_program(EXAMPLE, (), [Residual(columns=("temperature",), timezone="Europe/Berlim")], training)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"columns": []}, "no columns"),
        ({"season": []}, "season is empty"),
        ({"season": ["hour", "hour"]}, "season is hour, hour"),
        ({"season": ["year"]}, "'hour', 'minute'"),
        ({"season": ["minute_of_day", "month"]}, "17,280 combinations, wanted at most 16,384"),
        ({"min_rows": 0}, "min_rows is 0"),
        ({"min_spread": 0.0}, "min_spread is 0"),
        ({"min_spread": float("nan")}, "min_spread is nan"),
    ],
)
def test_parameters_that_make_no_season_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("residual", {"columns": ["bytes"], **parameters}))
