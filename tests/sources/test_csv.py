from __future__ import annotations

import csv
import gzip
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.checks.source import batches_of
from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError
from tocsin.records import FILE, ROW, Rejected
from tocsin.sources.csv import Csv


def read(folder: Path, content: str | bytes, **parameters: object) -> tuple[dict[str, list[object]], list[Rejected]]:
    """Columns and refused rows of one file."""
    file = folder / "rows.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    batches = batches_of(Csv(path=str(file), **parameters))  # type: ignore[arg-type]  # as a config would give them
    columns: dict[str, list[object]] = {}
    for batch in batches:
        for name, column in batch.items():
            columns.setdefault(name, []).extend(column.tolist())
    columns.pop(FILE, None)
    return columns, [item for batch in batches for item in batch.rejected]


def test_the_nsl_kdd_training_file_gives_every_row_and_column(data: Path) -> None:
    names = tuple(f"c{place}" for place in range(43))
    batches = batches_of(Csv(path=str(data / "nsl_kdd" / "KDDTrain+_20Percent.txt.gz"), columns=names))
    assert sum(batch.rows for batch in batches) == 25_192
    assert all(set(batch) >= set(names) and not batch.rejected for batch in batches)
    assert batches[0]["c41"][:3].tolist() == ["normal", "normal", "neptune"]
    assert batches[-1][ROW][-1] == 25_192


def test_every_nab_series_is_read_with_its_header(data: Path) -> None:
    batches = batches_of(Csv(path=str(data / "nab" / "**" / "*.csv.gz")))
    assert sum(batch.rows for batch in batches) == 365_558
    assert len({batch[FILE][0] for batch in batches}) == 58
    assert {tuple(batch)[:2] for batch in batches} == {("timestamp", "value")}


def test_values_stay_text_and_rows_keep_their_line_number(tmp_path: Path) -> None:
    columns, _ = read(tmp_path, "a,b\n01,\n\n2.50,x\n")
    assert columns == {"a": ["01", "2.50"], "b": ["", "x"], "_row": [2, 4]}


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    columns, _ = read(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n")
    assert list(columns) == ["a", "b", "_row"]


def test_a_ragged_row_is_refused_and_its_neighbours_are_not(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n")
    assert columns["a"] == ["1", "7"]
    assert [(item.row, item.reason, item.raw) for item in refused] == [
        (3, "wrong_number_of_fields", "3"),
        (4, "wrong_number_of_fields", "4,5,6"),
    ]
    assert refused[1].detail == "3 fields, wanted 2"


def test_quoted_line_breaks_belong_to_the_row_of_the_line_where_it_begins(tmp_path: Path) -> None:
    columns, _ = read(tmp_path, 'a,b\n1,"x\ny\r\nz"\n2,"say ""no"""\n')
    assert columns == {"a": ["1", "2"], "b": ["x\ny\r\nz", 'say "no"'], "_row": [2, 5]}


@pytest.mark.parametrize("line", ['9,"never closed', '"9"9,closed too early'])
def test_broken_quotes_cost_their_own_line_alone(tmp_path: Path, line: str) -> None:
    following = "".join(f"{number},ok\n" for number in range(2_000))
    columns, refused = read(tmp_path, f"a,b\n1,ok\n{line}\n{following}")
    assert [(item.row, item.reason) for item in refused] == [(3, "bad_quoting")]
    assert columns["a"] == ["1", *map(str, range(2_000))]


def test_rows_between_two_stray_quotes_are_not_lost(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, 'a,b\n1,"stray\n2,x\n3,y\n4",stray\n5,z\n')
    assert columns["a"] == ["2", "3", '4"', "5"]
    assert [item.row for item in refused] == [2]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(tmp_path: Path, end: str) -> None:
    columns, _ = read(tmp_path, f"a,b{end}1,2{end}3,4")
    assert columns == {"a": ["1", "3"], "b": ["2", "4"], "_row": [2, 3]}


def test_line_ends_may_be_mixed_in_one_file(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, "a,b\r\n1,2\n3,4\r5,6\r\n")
    assert columns == {"a": ["1", "3", "5"], "b": ["2", "4", "6"], "_row": [2, 3, 4]}
    assert refused == []


def test_nul_bytes_and_bytes_that_are_no_text_cost_their_row(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, b"a,b\n1,2\n\0\0\0\0\n\xff\xfe,3\nna\xc3\xafve,4\n")
    assert columns["a"] == ["1", "naïve"]
    assert [(item.row, item.reason, item.raw) for item in refused] == [
        (3, "nul_byte", "\0\0\0\0"),
        (4, "not_utf8", r"\xff\xfe,3"),
    ]


def test_an_endless_line_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, "a,b\n" + "x" * 3_000_000 + "\n1,2\n")
    assert columns["a"] == ["1"]
    assert [(item.row, item.reason, len(item.raw)) for item in refused] == [(2, "too_long", 8_192)]


def test_a_huge_field_is_refused(tmp_path: Path) -> None:
    columns, refused = read(tmp_path, "a,b\n1," + "x" * 200_000 + "\n3,4\n")
    assert columns["a"] == ["3"]
    assert [(item.row, item.reason) for item in refused] == [(2, "too_long")]


@pytest.mark.parametrize(
    ("header", "reason", "detail"),
    [
        ("a,b,a,b", "duplicate_columns", "columns named twice: a, b"),
        (",".join(f"c{place}" for place in range(1_025)), "too_many_columns", "1,025 columns, at most 1,024"),
        ('"a', "bad_quoting", "unexpected end of data"),
        ("PAR1\0\0", "nul_byte", "a NUL byte"),
    ],
)
def test_a_header_that_cannot_be_used_refuses_the_file(tmp_path: Path, header: str, reason: str, detail: str) -> None:
    columns, refused = read(tmp_path, f"{header}\n")
    assert columns == {"_row": []}
    assert [(item.row, item.reason, item.detail) for item in refused] == [(0, reason, detail)]


def test_a_column_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    columns, _ = read(tmp_path, ", time ,\n0,1,2\n")
    assert list(columns) == ["column_1", "time", "column_3", "_row"]


def test_names_that_are_tocsins_own_are_left_out(tmp_path: Path) -> None:
    columns, _ = read(tmp_path, "a,_label,_row\n1,0,99\n")
    assert columns == {"a": ["1"], "_row": [2]}


def test_a_file_of_nothing_but_a_header_yields_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n") == ({}, [])
    assert read(tmp_path, "") == ({}, [])


def test_files_may_differ_in_their_headers_and_share_no_batch(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n")
    (tmp_path / "2.csv").write_text("b,a\n2,3\n")
    first, second = batches_of(Csv(path=str(tmp_path / "*.csv")))
    assert (list(first)[:1], list(second)[:2]) == (["a"], ["b", "a"])


def test_a_column_named_twice_is_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError, match="holds a name twice"):
        build("sources", PartSpec("csv", {"path": "x.csv", "columns": ["a", "a"]}))


def test_a_delimiter_is_one_character() -> None:
    with pytest.raises(ConfigError, match=r"\$\.delimiter"):
        build("sources", PartSpec("csv", {"path": "x.csv", "delimiter": ";;"}))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    table=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(texts, min_size=width, max_size=width), min_size=1, max_size=8)
    ),
    delimiter=st.sampled_from(",;\t|"),
    packed=st.booleans(),
    rows=st.integers(1, 5),
)
def test_what_a_csv_writer_wrote_is_read_back(table: list[list[str]], delimiter: str, packed: bool, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(table)
        content = text.getvalue().encode()
        path.write_bytes(gzip.compress(content) if packed else content)
        names = tuple(f"c{place}" for place in range(len(table[0])))
        batches = batches_of(Csv(path=str(path), delimiter=delimiter, columns=names, rows=rows))
        got = [list(row) for batch in batches for row in zip(*(batch[name] for name in names), strict=True)]
        assert got == table
        assert all((np.diff(batch[ROW]) > 0).all() and batch.rows <= rows for batch in batches)
        assert not any(batch.rejected for batch in batches)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 3))
def test_no_bytes_whatever_stop_the_reader(content: bytes, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(b"a,b\n" + content + b"\n1,2\n")
        batches = batches_of(Csv(path=str(path), rows=rows))
        assert all(batch.rows + len(batch.rejected) <= rows for batch in batches)
        assert batches[-1].rows or batches[-1].rejected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("odd", "read_as", "reason"),
    [
        ("3333", [], "wrong_number_of_fields"),
        ("3333,3,3", [], "wrong_number_of_fields"),
        ("\xff,\0", [], "nul_byte"),
        ('3333,"a', [], "bad_quoting"),
        ("3333," + "x" * 140_000, [], "too_long"),
        ('"3333","3,3"', [("3333", "3,3")], None),
        ("", [], None),
    ],
)
def test_one_odd_line_among_thousands_changes_nothing_for_the_others(
    tmp_path: Path, end: str, odd: str, read_as: list[tuple[str, str]], reason: str | None
) -> None:
    plain = [(str(row), str(row % 7)) for row in range(5_000)]
    lines = ["a,b", *(",".join(row) for row in plain[:3_333]), odd, *(",".join(row) for row in plain[3_333:])]
    columns, refused = read(tmp_path, end.join(lines))
    assert list(zip(columns["a"], columns["b"], strict=True)) == plain[:3_333] + read_as + plain[3_333:]
    assert [(item.row, item.reason) for item in refused] == ([(3_335, reason)] if reason else [])
    assert columns["_row"] == [row for row in range(2, 5_003) if row != 3_335 or read_as]


def test_a_file_without_header_is_not_robbed_of_its_first_row(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text("6.24,0.1,-3e5\n6.23,0.2,1\n")
    (batch,) = batches_of(Csv(path=str(tmp_path / "raw.csv")))
    assert (batch.rows, batch.rejected[0].reason) == (0, "no_header")
    assert "columns: [...]" in batch.rejected[0].detail
    (batch,) = batches_of(Csv(path=str(tmp_path / "raw.csv"), columns=("a", "b", "c")))
    assert batch.rows == 2
