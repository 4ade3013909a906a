from __future__ import annotations

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.quantile import Quantile
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch
from tocsin.schema import Field, Schema


def test_a_few_slow_requests_show_in_the_last_quantile_and_not_in_the_middle() -> None:
    schema = Schema(fields={"time": Field(dtype="time"), "latency": Field(unit="milliseconds", minimum=0)}, time="time")
    kernel = Kernel(compile_program(schema, (), [Quantile(columns=("latency",), window=60.0)], Batch({})))
    times = np.arange(50, dtype=np.int64) * SECOND

    def told(slow: float) -> list[float]:
        latencies = np.where(np.arange(50) % 25 == 7, slow, 20.0)
        rows: list[float] = kernel.run(Batch({"time": times, "latency": latencies}), kernel.start()).values[-1].tolist()
        return rows

    assert told(20.0) == pytest.approx([20, 20], rel=0.05)
    assert told(900.0) == pytest.approx([20, 900], rel=0.05)


@pytest.mark.parametrize(
    ("quantile", "text"), [(0.5, "p50"), (0.07, "p7"), (0.999, "p99_9"), (0.999999, "p99_9999"), (1e-6, "p0_0001")]
)
def test_a_quantile_is_named_in_percent(quantile: float, text: str) -> None:
    assert Quantile(columns=("bytes",), window=600.0, quantiles=(quantile,)).names({}) == (f"bytes_{text}_10m",)


def test_columns_come_in_the_order_column_quantile() -> None:
    feature = Quantile(columns=("bytes", "packets"))
    names = [name for operation in feature.compile(EXAMPLE, {}) for name in operation.outputs]
    assert tuple(names) == feature.names({})
    assert names == ["bytes_p50_5m", "bytes_p99_5m", "packets_p50_5m", "packets_p99_5m"]


@pytest.mark.parametrize(("minimum", "got"), [(None, "with no minimum"), (-40, "with minimum -40")])
def test_a_field_that_may_be_negative_is_refused_with_a_way_out(minimum: float | None, got: str) -> None:
    schema = Schema(fields={"time": Field(dtype="time"), "level": Field(minimum=minimum)}, time="time")
    with pytest.raises(SchemaError, match=f'field "level" {got}(.|\n)*give field "level" `minimum: 0`'):
        Quantile(columns=("level",)).compile(schema, {})


def test_a_schema_without_a_clock_is_refused() -> None:
    with pytest.raises(SchemaError, match="a schema without a clock"):
        Quantile(columns=("size",)).compile(Schema(fields={"size": Field(minimum=0)}), {})


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"quantiles": []}, "no quantiles, wanted at least one"),
        ({"quantiles": [50]}, "quantile 50, wanted a whole number of millionths between 0 and 1"),
        ({"relative_error": 2.0}, r"relative_error is 2, wanted 0\.001 to 0\.5"),
        ({"smallest": 5.0, "largest": 1.0}, "smallest is 5 and largest 1, wanted 1e-12 <= smallest"),
        ({"min_count": 0}, "min_count is 0"),
        ({"panes": 0}, "panes is 0, wanted 1 to 1024"),
        ({"panes": 1_000}, "1000 panes of 1,192 bytes take 1,193,200 bytes"),
        ({"window": 1e-6}, "shorter than 6 panes"),
    ],
)
def test_parameters_that_make_no_quantiles_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("quantile", {"columns": ["bytes"], **parameters}))
