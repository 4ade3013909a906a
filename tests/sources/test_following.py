"""Files that are followed while they grow, are rotated, cut short, deleted, and while their reader is killed."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sources.growing_logs import Clock, Reader, Writer

from tocsin.checks.source import batches_of
from tocsin.errors import DataError
from tocsin.log import counters
from tocsin.records import FILE, ROW, Batch, Position
from tocsin.sources import base_following, base_growing_files
from tocsin.sources.base_followed import FollowedSource
from tocsin.sources.csv import Csv
from tocsin.sources.jsonl import Jsonl
from tocsin.sources.suricata_eve import SuricataEve
from tocsin.sources.syslog import Syslog
from tocsin.sources.zeek import Zeek

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 7)),
        st.tuples(st.sampled_from(["half", "rotate", "cut", "other", "read", "peek", "restart"]), st.just(0)),
        st.tuples(st.just("late"), st.integers(1, 3)),
    ),
    max_size=40,
)


def reader_of(source: FollowedSource, column: str = "a") -> Reader:
    return Reader(source, Clock(), column)


@pytest.mark.parametrize("pattern", ["app.log", "*.log", "app.log*"])
@settings(deadline=None, max_examples=80)
@given(operations=OPERATIONS)
def test_every_whole_line_arrives_once_whatever_happens_to_the_files(
    pattern: str, operations: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder), "a,b\n")
        reader = reader_of(Csv(path=f"{folder}/{pattern}", follow=True, rows=3))
        old: Path | None = None
        for what, number in operations:
            match what:
                case "append":
                    writer.append(writer.log, number)
                case "half":
                    writer.append_half(writer.log)
                case "rotate":
                    seen = writer.written if pattern == "app.log*" else reader.arrived
                    old = writer.rotate(seen) or old
                case "late" if old:
                    writer.append(old, number)
                case "cut":
                    writer.cut(reader.arrived)
                case "other" if pattern == "*.log":
                    writer.append(Path(folder) / "other.log", 2)
                case "read" | "peek":
                    reader.read(acknowledge=what == "read")
                case "restart":
                    reader.restart()
        writer.finish()
        reader.restart()
        reader.drain()
        reader.source.close()
        missing = set(writer.written) - set(reader.arrived)
        assert missing <= writer.expendable
        assert [number for number, times in reader.arrived.items() if times > 1] == []


TABLE = 'a,b\n1,"two\nlines"\n\n2,"""q"""\n3\n"4",x\n5,"\r\n\n"\n'
LOG = (
    "#separator \\x09\n#unset_field\t!\n#fields\tts\thost\n#types\ttime\tstring\n1.5\t!\n2.5\tb\n#close\t2026-01-05\n"
    "#separator \\x09\n#fields\tts\tname\thost\n#types\ttime\tstring\tstring\n3.5\t-\tc\n4.5\td\n5.5\te\tf\n"
)
OBJECTS = '{"a": 1}\n[1, 2]\n\n{"a": {"b": 2}}\nnone\n{"a": "ü"}\r\n'
MESSAGES = (
    "Dec 31 23:59:59 ap1 x: y\n\tat line 7\nJan  1 00:00:01 ap1 x: z\n<29>1 2026-01-01T00:00:02Z ap1 x 4 - - up\n"
)
EVENTS = '{"event_type": "flow", "src_ip": "192.0.2.1"}\n{"event_type": "dns"}\n{"src_ip": 1}\n'
FORMATS: list[tuple[type[FollowedSource], str]] = [
    (Csv, TABLE), (Zeek, LOG), (Jsonl, OBJECTS), (Syslog, MESSAGES), (SuricataEve, EVENTS),
]  # fmt: skip


def told(batch_rows: list[dict[str, str]], reader_batch: Batch) -> None:
    """Rows and refusals of a batch, in one form."""
    names = [name for name in reader_batch if name not in (FILE, "_keep")]
    kept = reader_batch["_keep"].tolist() if "_keep" in reader_batch else [True] * reader_batch.rows
    for place, keep in enumerate(kept):
        row = {name: repr(reader_batch[name][place]) for name in names if reader_batch[name][place] is not None}
        batch_rows.append(row | {"kept": str(keep)})
    batch_rows.extend({ROW: str(item.row), "reason": item.reason} for item in reader_batch.rejected)


def made(kind: type[FollowedSource], **parameters: Any) -> FollowedSource:
    """A source; of dates that name no year, the first lies in 2025."""
    return Syslog(year=2025, **parameters) if kind is Syslog else kind(**parameters)


@pytest.mark.parametrize(("kind", "text"), FORMATS, ids=[kind.__name__ for kind, _ in FORMATS])
@settings(deadline=None, max_examples=60)
@given(cuts=st.lists(st.integers(0, 400), max_size=12), rows=st.integers(1, 4), data=st.data())
def test_a_file_gives_the_same_rows_in_whatever_pieces_it_grows(
    kind: type[FollowedSource], text: str, cuts: list[int], rows: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it"
        path.write_text(text, newline="")
        whole: list[dict[str, str]] = []
        for batch in batches_of(made(kind, path=str(path))):
            told(whole, batch)
        path.unlink()
        reader = reader_of(made(kind, path=str(path), rows=rows, follow=True), "")
        found: list[dict[str, str]] = []
        octets = text.encode()
        places = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
        for begin, end in pairwise(places):
            with path.open("ab") as file:
                file.write(octets[begin:end])
            while (next_batch := reader.read()) is not None:
                told(found, next_batch)
            if data.draw(st.booleans()):
                reader.restart()
        reader.source.close()
        assert sorted(map(repr, found)) == sorted(map(repr, whole))


def test_a_line_without_an_end_waits_for_it(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text('{"a": 1}\n{"a": 2')
    reader = reader_of(Jsonl(path=str(log), follow=True))
    reader.drain()
    reader.clock.now += 3_600
    reader.drain()
    assert reader.arrived == Counter([1])
    with log.open("a") as file:
        file.write("2}\n")
    reader.drain()
    assert reader.arrived == Counter([1, 22])


def test_it_never_ends_and_says_so(tmp_path: Path) -> None:
    source = Csv(path=f"{tmp_path}/*.csv", follow=True)
    reader = reader_of(source)
    assert reader.read() is None
    assert (source.ended, source.endless, Csv(path="x").endless) == (False, True, False)
    (tmp_path / "a.csv").write_text("a\n7\n")
    reader.drain()
    assert reader.arrived == Counter([7])


def test_a_folder_that_is_not_there_is_no_place_to_wait_for_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is no folder"):
        Csv(path=f"{tmp_path}/nowhere/*.csv", follow=True).open()


def test_later_files_of_a_name_are_told_apart_by_their_inode(tmp_path: Path) -> None:
    writer, files = Writer(tmp_path, "a,b\n"), []
    reader = reader_of(Csv(path=str(writer.log), follow=True))
    for _ in range(2):
        writer.append(writer.log, 1)
        batch = reader.read()
        assert batch is not None
        files.append(batch[FILE][0])
        writer.rotate(writer.written)
    inode = (tmp_path / "app.log.2").stat().st_ino
    assert files == [str(writer.log), f"{writer.log}@{inode:x}"]


def test_a_file_that_is_cut_short_is_read_anew_and_what_was_not_read_is_counted(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("a\n1\n2\n")
    reader = reader_of(Csv(path=str(log), follow=True))
    reader.drain()
    before = counters()
    with log.open("a") as file:
        file.write("3\n4")
    reader.drain()
    os.truncate(log, 0)
    with log.open("a") as file:
        file.write("a\n50\n60\n70\n")
    reader.drain()
    assert reader.arrived == Counter([1, 2, 3, 50, 60, 70])
    after = counters()
    grown = {name: after[name] - before.get(name, 0) for name in after if "file" in name}
    assert grown['tocsin_files_cut_short_total{source="csv"}'] == 1
    assert grown['tocsin_file_bytes_unread_total{source="csv"}'] == 1


def test_a_packed_file_is_read_once_it_is_whole_and_once(tmp_path: Path) -> None:
    packed = gzip.compress(b"a\n1\n2\n3\n")
    path = tmp_path / "a.csv.gz"
    path.write_bytes(packed[:-4])
    reader = reader_of(Csv(path=f"{tmp_path}/*", follow=True, rows=2))
    for _ in range(5):
        assert reader.read() is None
    with path.open("ab") as file:
        file.write(packed[-4:])
    for _ in range(3):
        reader.read()
    reader.restart()
    for _ in range(3):
        reader.read()
    assert reader.arrived == Counter([1, 2, 3])


def test_an_array_is_read_once_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1},\n')
    reader = reader_of(Jsonl(path=str(path), follow=True))
    for _ in range(4):
        assert reader.read() is None
    with path.open("a") as file:
        file.write('{"a": 2}]\n')
    for _ in range(4):
        reader.read()
    assert reader.arrived == Counter([1, 2])


def test_a_line_longer_than_any_may_be_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    reader = reader_of(Jsonl(path=str(log), follow=True))
    refused = []
    for piece in ('{"a": 1}\n{"a": "', *["x" * 3_000_000] * 4, '"}\n{"a": 2}\n'):
        with log.open("a") as file:
            file.write(piece)
        while (batch := reader.read()) is not None:
            refused += [(item.row, item.reason) for item in batch.rejected]
    reader.restart()
    reader.drain()
    assert (reader.arrived, refused) == (Counter([1, 2]), [(2, "too_long")])


def test_a_file_without_a_header_is_refused_and_tried_again_a_minute_later(tmp_path: Path) -> None:
    log = tmp_path / "app.csv"
    log.write_text("1,2\n")
    reader = reader_of(Csv(path=str(log), follow=True))
    batch = reader.read()
    assert batch is not None
    assert [(item.row, item.reason) for item in batch.rejected] == [(0, "no_header")]
    for _ in range(20):
        assert reader.read() is None
    log.unlink()
    log.write_text("a,b\n3,4\n")
    reader.clock.now += 60
    reader.drain()
    assert reader.arrived == Counter([3])


def test_a_file_that_cannot_be_read_keeps_no_other_waiting(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n")
    (tmp_path / "2.csv").write_bytes("a\n1\n".encode("utf-16"))
    (tmp_path / "3.csv").write_text("a\n3\n")
    reader = reader_of(Csv(path=f"{tmp_path}/*.csv", follow=True))
    reader.drain()
    assert reader.arrived == Counter([1, 3])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_few_files_are_open_at_once_and_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_following, "MAX_OPEN", 2)
    reader = reader_of(Csv(path=f"{tmp_path}/*.csv", follow=True))
    here = open_files()
    for turn in (0, 1):
        for number in range(9):
            with (tmp_path / f"{number}.csv").open("a") as file:
                file.write("a\n1\n" if not turn else "2\n")
        reader.drain()
    assert reader.arrived == Counter({1: 9, 2: 9})
    assert open_files() <= here + 2
    reader.source.close()


def test_a_renamed_file_is_let_go_after_a_minute_at_rest(tmp_path: Path) -> None:
    writer = Writer(tmp_path, "a,b\n")
    reader = reader_of(Csv(path=str(writer.log), follow=True))
    writer.append(writer.log, 1)
    reader.drain()
    writer.rotate(writer.written)
    before = counters().get('tocsin_files_let_go_total{source="csv"}', 0)
    reader.drain()
    reader.clock.now += 61
    reader.drain()
    assert counters()['tocsin_files_let_go_total{source="csv"}'] == before + 1


def test_reading_goes_on_where_it_was_without_reading_what_lies_before(tmp_path: Path) -> None:
    log = tmp_path / "app.csv"
    log.write_text("a,b\n" + "1,x\n" * 100_000)
    reader = reader_of(Csv(path=str(log), follow=True))
    reader.drain()
    with log.open("a") as file:
        file.write("2,x\n")
    reader.restart()
    read_before = _bytes_read()
    batch = reader.read()
    assert batch is not None
    assert (batch["a"].tolist(), batch[ROW].tolist()) == (["2"], [100_002])
    assert _bytes_read() - read_before < 200_000


def _bytes_read() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"])


def test_a_position_from_before_a_file_was_followed_goes_on_behind_its_row(tmp_path: Path) -> None:
    log = tmp_path / "app.csv"
    log.write_text("a,b\n1,x\n2,x\n3,x\n")
    reader = reader_of(Csv(path=str(log), follow=True))
    reader.position = Position("csv", {str(log): 3})
    reader.restart()
    reader.drain()
    assert reader.arrived == Counter([3])


def test_what_was_followed_is_read_on_behind_its_row_without_following(tmp_path: Path) -> None:
    log = tmp_path / "app.csv"
    log.write_text("a,b\n1,x\n2,x\n")
    reader = reader_of(Csv(path=str(log), follow=True))
    reader.drain()
    with log.open("a") as file:
        file.write("3,x\n")

    def rest() -> list[str]:
        once = Csv(path=str(log))
        once.open(reader.position)
        batch = once.read(0.0)
        assert batch is not None
        return list(batch["a"])

    assert rest() == ["3"]
    log.rename(tmp_path / "app.csv.1")
    log.write_text("a,b\n4,x\n5,x\n6,x\n")
    assert rest() == ["4", "5", "6"]


def test_dates_without_a_year_go_on_from_the_last_one_or_lie_near_today(tmp_path: Path) -> None:
    log = tmp_path / "messages"
    source = Syslog(path=str(log), follow=True)
    source._today = lambda: date(2026, 12, 30)
    reader = reader_of(source, "")
    times = []
    for line in ("Dec 31 23:59:59 ap1 x: y\n", "Jan  1 00:00:01 ap1 x: z\n", "Jan  2 00:00:01 ap1 x: z\n"):
        with log.open("a") as file:
            file.write(line)
        batch = reader.read()
        assert batch is not None
        times.append(batch["timestamp"][0][:10])
        reader.restart()
    assert times == ["2026-12-31", "2027-01-01", "2027-01-02"]


def test_a_mark_is_read_as_it_was_written() -> None:
    mark = base_growing_files.Mark(123_456_789_012, 7, 9, 3, 2, "00ff")
    (known,) = base_growing_files.known_files({mark.key(77, "a b.1 2\nc"): mark.offset})
    assert known == (77, "a b.1 2\nc", mark)


@pytest.mark.parametrize(("path", "follow", "replayable"), [("a", True, True), ("*", True, False), ("*", False, True)])
def test_files_that_grow_in_turns_are_journalled(path: str, follow: bool, replayable: bool) -> None:
    assert Csv(path=path, follow=follow).replayable is replayable
