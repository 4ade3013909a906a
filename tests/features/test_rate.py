from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program, extended
from tocsin.features.rate import Rate
from tocsin.kernel.rates import QUALITIES
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Matrix
from tocsin.schema import Field, Schema


def with_uptime(unit: str) -> Schema:
    fields = {**EXAMPLE.fields, "uptime": Field(unit=unit, optional=True)}
    return Schema(fields=fields, time=EXAMPLE.time, entity=EXAMPLE.entity)


def values(feature: Rate, schema: Schema, **columns: list[float]) -> Matrix:
    kernel = Kernel(compile_program(schema, (), [feature], Batch({})))
    rows = len(next(iter(columns.values())))
    batch = Batch(
        {
            "time": np.arange(rows, dtype=np.int64) * 60 * SECOND,
            "host": np.full(rows, "a", dtype=object),
            **{name: np.array(column) for name, column in columns.items()},
        }
    )
    return kernel.run(batch, kernel.start()).values


def test_counters_know_their_width_and_gauges_have_none() -> None:
    counter, gauge = Rate(columns=("octets_total", "temperature"), max_gap=90.0).compile(EXAMPLE, {})
    assert counter.constants == {"max_gap_us": 90_000_000, "reset": "nan", "bits": 32, "quality": False}
    assert gauge.constants["bits"] is None


def test_the_output_of_a_feature_is_a_gauge() -> None:
    (operation,) = Rate(columns=("log_bytes",)).compile(extended(EXAMPLE, ["log_bytes"]), {})
    assert operation.constants["bits"] is None


def test_the_quality_stands_beside_each_rate() -> None:
    feature = Rate(columns=("octets_total", "temperature"), quality=True)
    assert feature.names({}) == (
        "octets_total_per_s", "octets_total_quality", "temperature_per_s", "temperature_quality",
    )  # fmt: skip
    got = values(feature, EXAMPLE, octets_total=[0.0, 60.0, 0.0], temperature=[20.0, np.nan, 14.0])
    np.testing.assert_array_equal(got, [[np.nan, 4, np.nan, 4], [1, 0, np.nan, 4], [np.nan, 2, -0.05, 0]])


def test_the_docstring_tells_the_codes_in_their_order() -> None:
    told = (Rate.__doc__ or "").partition("a code that says what is behind a rate:")[2]
    places = [told.index(f"{code} ") for code in range(len(QUALITIES))]
    assert places == sorted(places)


def test_the_uptime_is_an_input_of_counters_alone(tmp_path: Path) -> None:
    feature = Rate(columns=("octets_total", "temperature"), uptime="uptime")
    assert feature.inputs() == ("octets_total", "temperature", "uptime")
    counter, gauge = feature.compile(with_uptime("s"), {})
    assert (counter.inputs, gauge.inputs) == (("octets_total", "uptime"), ("temperature",))


def test_a_restart_is_seen_by_the_uptime() -> None:
    rows = {"octets_total": [0.0, 60.0, 120.0], "uptime": [900.0, 960.0, 30.0]}
    with_it, without = Rate(columns=("octets_total",), uptime="uptime"), Rate(columns=("octets_total",))
    np.testing.assert_array_equal(values(with_it, with_uptime("s"), **rows)[:, 0], [np.nan, 1, np.nan])
    np.testing.assert_array_equal(values(without, with_uptime("s"), **rows)[:, 0], [np.nan, 1, 1])


def test_an_uptime_in_hundredths_is_refused_with_a_way_out() -> None:
    feature = Rate(columns=("octets_total",), uptime="uptime")
    with pytest.raises(SchemaError, match=r'field "uptime" in ticks(.|\n)*divide it by 100'):
        feature.compile(with_uptime("ticks"), {})


@pytest.mark.parametrize("uptime", ["protocol", "up"])
def test_an_uptime_that_is_no_number_is_refused(uptime: str) -> None:
    with pytest.raises(SchemaError):
        compile_program(EXAMPLE, (), [Rate(columns=("octets_total",), uptime=uptime)], Batch({}))


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"max_gap": 1e-7}, "shorter than a microsecond"),
        ({"max_gap": 1e10}, "longer than 285 years"),
        ({"reset": "zero"}, "'nan' or 'from_zero'"),
    ],
)
def test_parameters_that_make_no_rate_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("rate", {"columns": ["octets_total"], **parameters}))
