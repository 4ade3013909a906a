"""What all sources of text files have in common, shown on CSV."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from tocsin.checks.source import batches_of
from tocsin.errors import DataError
from tocsin.records import FILE, ROW, Batch, Position
from tocsin.sources.csv import Csv

TABLE = "a,b\n" + "".join(f"{row},{row * row}\n" for row in range(1_000))


def names_of(batches: list[Batch]) -> list[str]:
    return [Path(batch[FILE][0]).name for batch in batches if batch.rows]


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.csv", "c/a.csv", "a.csv", "c/d/z.csv", "other.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a\n1\n")
    assert names_of(batches_of(Csv(path=f"{tmp_path}/**/*.csv"))) == ["a.csv", "b.csv", "a.csv", "z.csv"]
    assert names_of(batches_of(Csv(path=f"{tmp_path}/*.csv"))) == ["a.csv", "b.csv"]


def test_a_name_that_looks_like_a_pattern_is_first_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data[1].csv").write_text("a\n1\n")
    assert names_of(batches_of(Csv(path=f"{tmp_path}/data[1].csv"))) == ["data[1].csv"]


def test_no_match_is_an_error_that_says_what_lies_there_instead(tmp_path: Path) -> None:
    (tmp_path / "flows.tsv").touch()
    with pytest.raises(DataError) as raised:
        Csv(path=f"{tmp_path}/*.csv").open()
    assert f"got no file matching '{tmp_path}/*.csv'" in str(raised.value)
    assert f"looked in {tmp_path}, which holds flows.tsv" in str(raised.value)
    with pytest.raises(DataError, match="which is no folder"):
        Csv(path=f"{tmp_path}/nowhere/*.csv").open()


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "packed.csv").write_bytes(gzip.compress(TABLE.encode()))
    (tmp_path / "plain.csv.gz").write_text(TABLE)
    packed, plain = batches_of(Csv(path=f"{tmp_path}/p*"))
    assert packed["b"].tolist() == plain["b"].tolist() == [str(row * row) for row in range(1_000)]


def test_a_gzip_file_of_several_members_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    assert batches_of(Csv(path=f"{tmp_path}/a.csv"))[0]["a"].tolist() == ["1", "2"]


def test_a_truncated_gzip_file_gives_its_rows_before_the_break_and_others_go_on(tmp_path: Path) -> None:
    packed = gzip.compress(TABLE.encode())
    (tmp_path / "1.csv").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "2.csv").write_text("a,b\n7,8\n")
    batches = batches_of(Csv(path=f"{tmp_path}/*.csv", rows=100))
    first = [batch for batch in batches if batch.rows and batch[FILE][0].endswith("1.csv")]
    rows = [row for batch in first for row in batch["a"].tolist()]
    assert 100 < len(rows) < 1_000
    assert rows == [str(row) for row in range(len(rows))]
    refused = [item for batch in batches for item in batch.rejected]
    assert [(Path(item.file).name, item.row, item.reason) for item in refused] == [("1.csv", 0, "truncated")]
    assert batches[-1]["a"].tolist() == ["7"]


def test_a_gzip_file_with_a_flipped_bit_is_corrupt(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TABLE.encode()))
    packed[-5] ^= 0xFF
    (tmp_path / "1.csv").write_bytes(packed)
    (batch,) = batches_of(Csv(path=f"{tmp_path}/1.csv"))
    assert [(item.row, item.reason) for item in batch.rejected] == [(0, "corrupt")]


def test_a_file_that_cannot_be_opened_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text("a\n1\n")
    source = Csv(path=f"{tmp_path}/*.csv")
    source.open()
    (tmp_path / "1.csv").unlink()  # as good as a missing permission, which a superuser has anyway
    refused, read = source.read(0.1), source.read(0.1)
    assert refused is not None
    assert refused.rows == 0
    assert [(item.row, item.reason) for item in refused.rejected] == [(0, "unreadable_file")]
    assert read is not None
    assert read["a"].tolist() == ["1"]
    assert source.acknowledge(refused).offsets == {f"{tmp_path}/1.csv": 0}


def test_text_in_utf_16_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n", encoding="utf-16")
    (batch,) = batches_of(Csv(path=f"{tmp_path}/1.csv"))
    assert [(item.reason, item.detail) for item in batch.rejected] == [("not_utf8", "text in UTF-16; save it as UTF-8")]


def test_digests_are_those_of_the_files_on_disk(tmp_path: Path) -> None:
    packed = gzip.compress(TABLE.encode())
    files = {"whole.csv": packed, "half.csv": packed[:-100], "broken.csv": b"a,a\n" + b"1,2\n" * 100_000}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    source = Csv(path=f"{tmp_path}/*.csv")
    batches_of(source)
    assert source.digests == {
        f"{tmp_path}/{name}": hashlib.sha256(content).hexdigest() for name, content in files.items()
    }


def test_rows_written_behind_the_position_are_read_on_resuming(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n2\nragged,row\n")
    (tmp_path / "2.csv").write_text("a\n3\n")
    source = Csv(path=f"{tmp_path}/*.csv", rows=2)
    source.open()
    first = source.read(0.1)
    assert first is not None
    position = source.acknowledge(first)
    assert position == Position("csv", {f"{tmp_path}/1.csv": 3})
    with (tmp_path / "1.csv").open("a") as file:
        file.write("4\n")
    rest = batches_of(source, position)
    assert [batch["a"].tolist() for batch in rest] == [["4"], ["3"]]
    assert [item.row for batch in rest for item in batch.rejected] == [4]


def test_a_refused_row_at_the_end_of_a_batch_is_not_told_twice(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\nragged,row\n2\n")
    source = Csv(path=f"{tmp_path}/1.csv", rows=2)
    source.open()
    batch = source.read(0.1)
    assert batch is not None
    rest = batches_of(source, source.acknowledge(batch))
    assert [(part[ROW].tolist(), part.rejected) for part in rest] == [([4], ())]


def test_positions_of_files_that_are_gone_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "2.csv").write_text("a\n3\n")
    source = Csv(path=f"{tmp_path}/*.csv")
    (batch,) = batches_of(source, Position("csv", {f"{tmp_path}/1.csv": 7}))
    assert source.acknowledge(batch).offsets == {f"{tmp_path}/2.csv": 2}
