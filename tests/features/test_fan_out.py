from __future__ import annotations

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.fan_out import FanOut
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch
from tocsin.schema import Field, Schema


def test_a_scan_of_ports_stands_out_from_a_busy_service() -> None:
    schema = Schema(fields={"time": Field(dtype="time"), "port": Field(dtype="integer")}, time="time")
    kernel = Kernel(compile_program(schema, (), [FanOut(columns=("port",), windows=(60.0,))], Batch({})))
    times = np.arange(30, dtype=np.int64) * SECOND

    def breadth(ports: list[int]) -> float:
        rows = Batch({"time": times, "port": np.array(ports, dtype=np.float64)})
        return float(kernel.run(rows, kernel.start()).values[-1, 0])

    assert breadth([443, 80, 443] * 10) == 2
    assert breadth(list(range(30))) == pytest.approx(30, abs=2)


def test_columns_come_in_the_order_column_window() -> None:
    feature = FanOut(columns=("protocol", "packets"), windows=(60.0, 3_600.0))
    names = [name for operation in feature.compile(EXAMPLE, {}) for name in operation.outputs]
    assert tuple(names) == feature.names({})
    assert names[:3] == ["protocol_distinct_1m", "protocol_distinct_1h", "packets_distinct_1m"]


@pytest.mark.parametrize(("column", "dtype"), [("bytes", "float"), ("time", "time")])
def test_a_field_of_which_hardly_two_rows_agree_is_refused(column: str, dtype: str) -> None:
    with pytest.raises(SchemaError, match=f'field "{column}", a {dtype}(.|\n)*a category, an address'):
        FanOut(columns=(column,)).compile(EXAMPLE, {})


def test_a_schema_without_a_clock_is_refused() -> None:
    with pytest.raises(SchemaError, match="a schema without a clock"):
        FanOut(columns=("port",)).compile(Schema(fields={"port": Field(dtype="integer")}), {})


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"bits": 1_000}, "bits is 1000, wanted a power of two from 64 to 65,536"),
        ({"bits": 65_536, "panes": 128}, "128 panes of 8,196 bytes take 1,057,296 bytes of every entity"),
        ({"panes": 2_000}, "panes is 2000, wanted 1 to 1024"),
        ({"windows": [1e-6]}, "shorter than 12 panes"),
    ],
)
def test_parameters_that_make_no_window_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("fan_out", {"columns": ["protocol"], **parameters}))
