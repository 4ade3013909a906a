from __future__ import annotations

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.decay import Decay
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch
from tocsin.schema import Field, Schema


def test_columns_come_in_the_order_column_half_life_statistic() -> None:
    feature = Decay(columns=("bytes", "packets"), half_lives=(10.0, 60.0), statistics=("mean", "weight"))
    names = [name for operation in feature.compile(EXAMPLE, {}) for name in operation.outputs]
    assert tuple(names) == feature.names({})
    assert names[:3] == ["bytes_decay_mean_10s", "bytes_decay_weight_10s", "bytes_decay_mean_1m"]


def test_the_weight_of_steady_traffic_settles_where_the_docstring_says() -> None:
    feature = Decay(columns=("packets",), half_lives=(100.0,), statistics=("weight",))
    kernel = Kernel(compile_program(EXAMPLE, (), [feature], Batch({})))
    rows = 2_000
    batch = Batch(
        {
            "time": np.arange(rows, dtype=np.int64) * SECOND,
            "host": np.full(rows, "a", dtype=object),
            "packets": np.ones(rows),
        }
    )
    assert kernel.run(batch, kernel.start()).values[-1, 0] == pytest.approx(144, rel=0.01)


def test_text_is_refused() -> None:
    with pytest.raises(SchemaError, match='field "protocol", a category'):
        Decay(columns=("protocol",)).compile(EXAMPLE, {})


def test_a_schema_without_a_clock_is_refused() -> None:
    with pytest.raises(SchemaError, match="a schema without a clock"):
        Decay(columns=("level",)).compile(Schema(fields={"level": Field()}), {})


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"statistics": []}, "no statistic, wanted weight, mean or std"),
        ({"statistics": ["max"]}, "'weight', 'mean'"),
        ({"half_lives": [1e-7]}, "shorter than a microsecond"),
        ({"half_lives": [1e10]}, "longer than 285 years"),
        ({"half_lives": ["soon"]}, "a duration"),
    ],
)
def test_parameters_that_make_no_statistic_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("decay", {"columns": ["bytes"], **parameters}))
