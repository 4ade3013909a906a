from __future__ import annotations

from collections import Counter
from pathlib import Path

from tocsin.checks.source import batches_of
from tocsin.records import FILE, ROW, Batch
from tocsin.sources.zeek import Zeek

HEAD = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"


def read(folder: Path, text: str) -> list[Batch]:
    (folder / "conn.log").write_text(text)
    return batches_of(Zeek(path=str(folder / "conn.log")))


def test_a_labelled_day_of_a_real_network_is_read_whole(data: Path) -> None:
    folder = data / "zeek_stratosphere" / "008-zeek-mixed" / "data"
    (batch,) = batches_of(Zeek(path=str(folder / "conn.log.labeled.gz")))
    assert batch.rows == 5_663
    assert batch.rejected == ()
    assert Counter(batch["label"].tolist()).keys() == {"Benign", "Malicious", "Background"}
    assert batch["id.orig_h"][0] == "147.32.81.167"
    assert batch[ROW][0] == 9
    assert batch["service"].tolist().count(None) > 1_000
    assert set(batch["tunnel_parents"].tolist()) == {""}


def test_every_log_of_the_collection_is_read(data: Path) -> None:
    batches = batches_of(Zeek(path=str(data / "zeek_stratosphere" / "**" / "*.gz")))
    assert len({batch[FILE][0] for batch in batches}) == 15  # three more hold no row
    assert not any(batch.rejected for batch in batches)


def test_the_header_says_what_separates_and_what_is_unset(tmp_path: Path) -> None:
    text = "#separator \\x3b\n#unset_field;?\n#empty_field;none\n#fields;ts;host\n1.5;?\n2.5;none\n3.5;-\n"
    (batch,) = read(tmp_path, text)
    assert batch["host"].tolist() == [None, "", "-"]


def test_escaped_separators_come_back_as_they_were(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, HEAD + "#fields\tts\tagent\n1.0\ta\\x09b\\x23\\xc3\\xa9\n")
    assert batch["agent"].tolist() == ["a\tb#\\xc3\\xa9"]


def test_a_header_in_mid_file_starts_another_batch_only_if_it_differs(tmp_path: Path) -> None:
    first, second, other = "#fields\tts\thost\n", "1.0\ta\n#close\t2026\n", "#fields\tts\thost\tport\n"
    batches = read(tmp_path, HEAD + first + second + HEAD + first + second + HEAD + other + "2.0\tb\t53\n")
    assert [(list(batch)[:-2], batch.rows) for batch in batches] == [(["ts", "host"], 2), (["ts", "host", "port"], 1)]


def test_a_row_with_missing_fields_is_refused_alone(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, HEAD + "#fields\tts\thost\n1.0\n2.0\tb\n")
    assert batch["host"].tolist() == ["b"]
    assert [(item.row, item.reason, item.detail) for item in batch.rejected] == [
        (7, "wrong_number_of_fields", "1 fields, wanted 2")
    ]


def test_a_log_in_json_is_refused_with_the_name_of_its_source(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, '{"ts":1.0,"uid":"C1"}\n')
    assert [(item.row, item.reason, item.detail) for item in batch.rejected] == [
        (0, "wrong_format", "a log in JSON; `type: jsonl` reads it")
    ]


def test_what_has_no_fields_line_is_no_zeek_log(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, "a,b\n1,2\n")
    assert batch.rejected[0].detail == "no #fields line before the first row"


def test_types_that_do_not_match_the_fields_refuse_the_file(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, HEAD + "#fields\tts\thost\n#types\ttime\n1.0\ta\n")
    assert [(item.row, item.reason) for item in batch.rejected] == [(0, "bad_header")]
