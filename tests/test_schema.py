"""Rows that fit become typed columns; the others are set aside with their reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tocsin.component import problems_of
from tocsin.errors import SchemaError
from tocsin.records import ROW, Batch
from tocsin.schema import Field, Schema, parse_times


def texts(*values: object) -> np.ndarray[Any, np.dtype[Any]]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def reasons(schema: Schema, **columns: np.ndarray[Any, np.dtype[Any]]) -> list[tuple[int, str]]:
    return [(item.row, item.reason) for item in schema.split(Batch(columns))[1]]


LOAD = Schema(fields={"load": Field(minimum=0, maximum=100)})


def test_numbers_out_of_range_or_no_numbers_are_refused_row_by_row() -> None:
    valid, rejected = LOAD.split(Batch({"load": texts("1.5", "abc", "101", "", "inf", "7")}))
    np.testing.assert_array_equal(valid["load"], [1.5, 7.0])
    assert [(item.row, item.reason) for item in rejected] == [
        (2, "not_a_number"), (3, "out_of_range"), (4, "missing"), (5, "not_finite"),
    ]  # fmt: skip
    assert "load: got 'abc', wanted a number" in rejected[0].detail


def test_a_missing_optional_value_is_nan_and_never_zero() -> None:
    schema = Schema(fields={"load": Field(optional=True), "port": Field(dtype="integer", optional=True)})
    valid, rejected = schema.split(Batch({"load": texts("", "NaN", "-", None, float("nan"))}))
    assert np.isnan(valid["load"]).all()
    assert np.isnan(valid["port"]).all()
    assert not rejected


def test_an_integer_with_a_fraction_is_refused() -> None:
    assert reasons(Schema(fields={"port": Field(dtype="integer")}), port=texts("80", "80.5")) == [(2, "not_whole")]


def test_booleans_have_many_spellings() -> None:
    schema = Schema(fields={"up": Field(dtype="boolean")})
    valid, rejected = schema.split(Batch({"up": texts("T", "false", "yes", "0", "maybe")}))
    np.testing.assert_array_equal(valid["up"], [1, 0, 1, 0])
    assert len(rejected) == 1


def test_the_first_alias_that_is_there_is_taken() -> None:
    schema = Schema(fields={"bytes_in": Field(aliases=("src_flow_bytes", "byte_count"))})
    valid, _ = schema.split(Batch({"byte_count": texts("1"), "src_flow_bytes": texts("2")}))
    assert valid["bytes_in"].tolist() == [2.0]


def test_an_absent_column_lists_those_present() -> None:
    with pytest.raises(SchemaError, match=r"laod.*did you mean|did you mean") as caught:
        LOAD.split(Batch({"laod": texts("1")}))
    assert "laod" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-05T00:00:00Z",
        "2026-01-05 01:00:00+01:00",
        "2026-01-05",
        "1767571200",
        "1767571200000",
        "1767571200000000",
    ],
)
def test_times_come_in_many_forms_and_leave_as_utc_microseconds(value: str) -> None:
    schema = Schema(fields={"at": Field(dtype="time")}, time="at")
    valid, rejected = schema.split(Batch({"at": texts(value)}))
    assert valid["at"].tolist() == [1_767_571_200_000_000]
    assert not rejected


NOON = 1_612_180_800_000_000
"""2021-02-01 12:00 UTC."""


@pytest.mark.parametrize("unreadable", ["", "yesterday", None])
def test_one_unreadable_value_among_epochs_leaves_the_others_epochs(unreadable: object) -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    valid, rejected = schema.split(Batch({"at": texts("1612180800000", unreadable, 1612180800, "1612180800.0")}))
    assert valid["at"].tolist() == [NOON, NOON, NOON]
    assert [(item.row, item.reason) for item in rejected] == [
        (2, "not_a_time" if unreadable == "yesterday" else "missing")
    ]


@pytest.mark.parametrize("beside", [(), ("2021-02-01 12:00",), ("",)])
def test_text_of_eight_digits_is_a_date_whatever_stands_beside_it(beside: tuple[str, ...]) -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    assert schema.split(Batch({"at": texts("20210201", *beside)}))[0]["at"][0] == NOON - 43_200_000_000
    valid, rejected = schema.split(Batch({"at": texts("99999999", "20211301", "2021-02-01")}))
    assert valid["at"].tolist()[0] == 99_999_999_000_000
    assert [(item.row, item.reason) for item in rejected] == [(2, "not_a_time"), (3, "mixed_time_zones")]


def test_numbers_of_a_typed_column_are_epochs_never_dates() -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    valid, _ = schema.split(Batch({"at": np.array([1_612_180_800, 1_612_180_800_000])}))
    assert valid["at"].tolist() == [NOON, NOON]
    assert reasons(schema, at=np.array([20_210_201])) == [(1, "out_of_range")]
    assert reasons(schema, at=texts(20_210_201)) == [(1, "out_of_range")]


@pytest.mark.parametrize("wrong", ["0001-01-01", "1970-01-01T00:00:00Z", "0", "2225-01-05", "9999-12-31T23:59:59Z"])
def test_a_wrong_clock_is_refused_and_spoils_no_other_row(wrong: str) -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    assert reasons(schema, at=texts("2026-01-05", wrong)) == [(2, "out_of_range")]
    assert reasons(schema, at=texts("1971-01-01", "2199-12-31T23:59:59.999999")) == []


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us"])
def test_a_wrong_clock_is_refused_among_typed_times_before_it_wraps_around(unit: str) -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    column = np.array(["2021-02-01", "2225-01-01", "NaT", "0001-01-01"], dtype=f"datetime64[{unit}]")
    assert reasons(schema, at=column) == [(2, "out_of_range"), (3, "missing"), (4, "out_of_range")]
    assert reasons(schema, at=np.array([2**61], dtype="int64").view(f"datetime64[{unit}]")) == [(1, "out_of_range")]


def test_times_keep_their_microseconds() -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    valid, _ = schema.split(Batch({"at": texts("1655071198.444458", "1655071231.749548")}))
    assert valid["at"].tolist() == [1_655_071_198_444_458, 1_655_071_231_749_548]


def test_naive_times_are_in_the_schemas_zone_also_across_a_clock_change() -> None:
    schema = Schema(fields={"at": Field(dtype="time")}, timezone="Europe/Berlin")
    valid, _ = schema.split(Batch({"at": texts("2026-03-29 01:59:59", "2026-03-29 03:00:00")}))
    assert np.diff(valid["at"]).tolist() == [1_000_000]


def test_naive_times_among_offsets_are_refused_as_mixed() -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    assert reasons(schema, at=texts("2026-01-05T00:00:00Z", "2026-01-05T00:00:00")) == [(2, "mixed_time_zones")]


@pytest.mark.parametrize("value", ["", "yesterday", "1e400", "inf", "9" * 400])
def test_what_is_no_time_is_refused(value: str) -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    assert len(reasons(schema, at=texts("2026-01-05", value))) == 1


def test_text_has_a_limit_and_a_closed_set_refuses_others() -> None:
    schema = Schema(fields={"state": Field(dtype="category", values=("up", "down"))})
    assert reasons(schema, state=texts("up", "sideways", "x" * 2_000)) == [(2, "unknown_value"), (3, "too_long")]


def test_columns_beside_the_data_travel_along() -> None:
    valid, _ = LOAD.split(Batch({"load": texts("1", "x"), "_row": np.array([7, 8])}))
    assert valid["_row"].tolist() == [7]


@pytest.mark.parametrize(("mark", "written"), [(";", ";"), ("\t", "\\t")])
def test_a_header_line_in_one_column_hints_at_the_delimiter(mark: str, written: str) -> None:
    with pytest.raises(SchemaError) as caught:
        LOAD.split(Batch({f"host{mark}load": texts(f"a{mark}1"), "_row": np.array([1])}))
    assert caught.value.problem.hint == f'set `delimiter: "{written}"` in the source'


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ({"dtype": "integer", "identity": True}, "identity only on a field of dtype address or category, not integer"),
        ({"dtype": "time", "optional": True}, "a time without optional: a row that has no time is refused"),
    ],
)
def test_a_field_must_fit_its_dtype(field: dict[str, object], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        Field.model_validate(field)


@pytest.mark.parametrize("name", ["Europe/Berlim", "", "../etc"])
def test_a_timezone_must_exist(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a time zone such as Europe/Berlin"):
        Schema(fields={"load": Field()}, timezone=name)


def test_a_problem_of_a_schema_shows_a_short_piece_of_it() -> None:
    fields = {f"field_{number}": {"unit": "bytes"} for number in range(100)}
    with pytest.raises(ValidationError) as caught:
        Schema.model_validate({"fields": fields, "time": "field_x"})
    (problem,) = problems_of(caught.value, "$.schema", lambda _: ())
    assert len(problem.got) == 80
    assert problem.wanted == 'time to name a field, not "field_x"; did you mean "field_9"?'


@pytest.mark.parametrize("role", ["time", "entity", "key"])
def test_a_role_must_name_a_field(role: str) -> None:
    with pytest.raises(ValueError, match="laod"):
        Schema.model_validate({"fields": {"load": {}}, role: "laod"})


@given(st.lists(st.one_of(st.none(), st.text(max_size=20), st.floats(), st.integers(), st.booleans()), max_size=30))
def test_whatever_comes_is_either_passed_on_in_range_or_refused(values: list[object]) -> None:
    valid, rejected = LOAD.split(Batch({"load": texts(*values)}))
    assert valid.rows + len(rejected) == len(values)
    assert ((valid["load"] >= 0) & (valid["load"] <= 100)).all()


@given(st.lists(st.one_of(st.none(), st.text(max_size=20), st.floats(), st.integers()), max_size=20))
def test_whatever_comes_as_a_time_never_raises(values: list[object]) -> None:
    schema = Schema(fields={"at": Field(dtype="time")})
    valid, rejected = schema.split(Batch({"at": texts(*values)}))
    assert valid.rows + len(rejected) == len(values)


ROWS = Schema(fields={"time": Field(dtype="time", interval_s=300), "load": Field()}, time="time")


def test_a_table_without_a_clock_gets_one_from_its_rows() -> None:
    batch = Batch({"load": texts("1", "oops", "3"), ROW: np.array([1, 2, 5])})
    valid, rejected = ROWS.split(batch)
    start = int(np.datetime64("2000-01-03T00:00:00", "us").astype(int))
    assert ((valid["time"] - start) / 3e8).tolist() == [0.0, 4.0]
    assert [item.row for item in rejected] == [2]


def test_a_clock_told_from_rows_starts_where_it_is_told_to() -> None:
    schema = Schema(fields={"time": Field(dtype="time", interval_s=1, start="2026-01-05T00:00:00+01:00")}, time="time")
    valid, _ = schema.split(Batch({"x": texts("1"), ROW: np.array([1])}))
    assert valid["time"][0] == int(np.datetime64("2026-01-04T23:00:00", "us").astype(int))


@pytest.mark.parametrize("wrong", [{"interval_s": 0}, {"interval_s": 1, "start": "soon"}, {"interval_s": np.inf}])
def test_an_interval_that_is_none_and_a_start_that_never_was_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Field(dtype="time", **wrong)


def test_only_a_time_has_an_interval() -> None:
    with pytest.raises(ValidationError, match="only on a field of dtype time"):
        Field(interval_s=1)


OPEN = Schema(
    fields={"time": Field(dtype="time", aliases=("ts",)), "host": Field(dtype="category", optional=True)},
    time="time",
    others=Field(optional=True),
    leave_out=("row",),
)


def test_columns_that_a_schema_leaves_open_become_fields_once_they_are_found() -> None:
    schema = OPEN.with_columns(["row", "ts", "cpu", "host", "_file", "tocsin_generated", "if/0 octets"])
    assert schema.found == ("cpu", "if/0 octets")
    assert schema.numeric == ("cpu", "if/0 octets")
    assert schema.with_columns(["more"]) is schema, "what was found in training is what there is"


def test_a_value_may_be_missing_from_a_found_column_and_the_column_may_not() -> None:
    schema = OPEN.with_columns(["cpu", "disk"])
    valid, rejected = schema.split(Batch({"ts": texts("1767600000"), "cpu": texts(""), "disk": texts("2")}))
    assert (np.isnan(valid["cpu"][0]), rejected) == (True, ())
    with pytest.raises(SchemaError, match=r"field disk(.|\n)*no column 'disk'"):
        schema.split(Batch({"ts": texts("1767600000"), "cpu": texts("1"), "disc": texts("2")}))


@pytest.mark.parametrize(
    "written",
    ["2022-08-22 03:51:19.573905004 +0000 UTC m=+0.079858984", "2022-08-22 11:51:19.573905 +0800 CST"],
)
def test_a_time_as_go_writes_it_is_read(written: str) -> None:
    micros, problems = parse_times(texts(written), None)
    assert problems.tolist() == [""]
    assert micros[0] == int(np.datetime64("2022-08-22T03:51:19.573905", "us").astype(int))


def test_a_start_without_an_interval_is_told_to_have_no_effect() -> None:
    with pytest.raises(ValidationError, match="no effect"):
        Field(dtype="time", start="2026-01-05")


def test_a_table_that_shares_clock_and_name_alone_is_another_table() -> None:
    """Every measurement may be missing here, and where all of them are, nothing would be judged and all look normal."""
    schema = Schema(
        fields={"time": Field(dtype="time"), "host": Field(dtype="category"), "cpu": Field(optional=True)},
        time="time",
        entity="host",
    )
    with pytest.raises(SchemaError, match="at least one of: cpu"):
        schema.split(Batch({"time": texts("1767600000"), "host": texts("a"), "cpu_x": texts("5")}))
