"""Programs: which declarations fit a schema, and what the refusals say."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import SchemaError
from tocsin.features.base import EXAMPLE, Feature, compile_program, extended
from tocsin.kernel.program import Program
from tocsin.kernel.run import Kernel
from tocsin.records import Batch
from tocsin.schema import Field, Schema

NO_ROWS = Batch({})
TIMELESS = Schema(fields={"bytes": Field(minimum=0), "protocol": Field(dtype="category")})


def compiled(*specs: dict[str, object], columns: tuple[str, ...] = (), schema: Schema = EXAMPLE) -> Program:
    parts = [
        build("features", PartSpec(str(spec["type"]), {k: v for k, v in spec.items() if k != "type"})) for spec in specs
    ]
    return compile_program(schema, columns, cast("list[Feature]", parts), NO_ROWS)


def test_outputs_are_the_raw_columns_and_then_every_feature() -> None:
    program = compiled(
        {"type": "ratio", "numerator": "bytes", "denominator": "packets"},
        {"type": "rolling", "statistics": ["count"], "windows": ["1m", "10m"]},
        columns=("temperature", "bytes"),
    )
    assert program.outputs == ("temperature", "bytes", "bytes_per_packets", "count_1m", "count_10m")
    assert (program.time, program.entity) == ("time", "host")


def test_a_feature_may_read_an_earlier_one() -> None:
    program = compiled(
        {"type": "rate", "columns": ["octets_total"]},
        {"type": "rolling", "columns": ["octets_total_per_s"], "windows": ["5m"], "statistics": ["max"]},
    )
    assert program.outputs == ("octets_total_per_s", "octets_total_per_s_max_5m")
    Kernel(program)


def test_a_feature_may_not_read_a_later_one() -> None:
    with pytest.raises(SchemaError, match='unknown field "octets_total_per_s"'):
        compiled(
            {"type": "rolling", "columns": ["octets_total_per_s"], "windows": ["5m"], "statistics": ["max"]},
            {"type": "rate", "columns": ["octets_total"]},
        )


def test_two_columns_of_one_name_are_refused() -> None:
    twice: dict[str, object] = {"type": "log_scale", "columns": ["bytes"]}
    with pytest.raises(SchemaError, match='a second column named "log_bytes"'):
        compiled(twice, twice)
    with pytest.raises(SchemaError, match='a second column named "bytes"'):
        compiled(columns=("bytes", "bytes"))


def test_a_feature_may_not_take_the_name_of_a_field() -> None:
    with pytest.raises(SchemaError, match='a second column named "packets"'):
        compiled({"type": "ratio", "numerator": "bytes", "denominator": "temperature", "name": "packets"})


def test_text_cannot_be_a_raw_column() -> None:
    with pytest.raises(SchemaError, match=r'field "protocol", a category(.|\n)*derive a category feature'):
        compiled(columns=("protocol",))


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "log_scale", "columns": ["byte"]},
        {"type": "ratio", "numerator": "byte", "denominator": "packets"},
        {"type": "rolling", "columns": ["byte"]},
        {"type": "rate", "columns": ["byte"]},
        {"type": "category", "columns": ["byte"]},
        {"type": "residual", "columns": ["byte"]},
    ],
    ids=lambda spec: str(spec["type"]),
)
def test_an_unknown_column_is_refused_with_the_nearest_name(spec: dict[str, object]) -> None:
    with pytest.raises(SchemaError, match=r'unknown field "byte"(.|\n)*did you mean "bytes"\?'):
        compiled(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "log_scale", "columns": ["protocol"]},
        {"type": "ratio", "numerator": "bytes", "denominator": "protocol"},
        {"type": "rolling", "columns": ["protocol"]},
        {"type": "rate", "columns": ["protocol"]},
        {"type": "residual", "columns": ["protocol"]},
    ],
    ids=lambda spec: str(spec["type"]),
)
def test_numbers_are_not_taken_of_a_category(spec: dict[str, object]) -> None:
    with pytest.raises(
        SchemaError, match=r'field "protocol", a category(.|\n)*declare `type: category` for "protocol"'
    ):
        compiled(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "rolling", "columns": ["bytes"]},
        {"type": "rolling", "columns": ["bytes"], "exact": True},
        {"type": "rate", "columns": ["bytes"]},
        {"type": "residual", "columns": ["bytes"]},
        {"type": "calendar"},
    ],
    ids=lambda spec: str(spec["type"]),
)
def test_row_12_what_needs_time_is_refused_without_a_clock(spec: dict[str, object]) -> None:
    with pytest.raises(SchemaError, match="a schema without a clock"):
        compiled(spec, schema=TIMELESS)


def test_without_a_clock_rows_are_still_scaled_and_encoded() -> None:
    program = compiled(
        {"type": "log_scale", "columns": ["bytes"]}, {"type": "category", "columns": ["protocol"]}, schema=TIMELESS
    )
    kernel = Kernel(program)
    batch = Batch({"bytes": np.array([0.0]), "protocol": np.array(["tcp"], dtype=object)})
    assert kernel.run(batch, kernel.start()).values.tolist() == [[0.0, 1.0]]


def test_an_extended_schema_keeps_its_roles() -> None:
    schema = extended(EXAMPLE, ["speed"])
    assert schema.field("speed", "here").dtype == "float"
    assert (schema.time, schema.entity) == (EXAMPLE.time, EXAMPLE.entity)
    assert "speed" not in EXAMPLE.fields
