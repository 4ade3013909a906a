from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson
import pytest

from tocsin import log
from tocsin.annotations import Labeller
from tocsin.errors import SchemaError
from tocsin.records import CLASS, LABEL, Batch, Column, Rejected
from tocsin.schema import Field, Schema
from tocsin.sources import base
from tocsin.sources.base import Intake, Quarantine, Tally
from tocsin.sources.csv import Csv

SCHEMA = Schema(
    fields={"id": Field(dtype="category"), "host": Field(dtype="address"), "bytes": Field(minimum=0)}, key="id"
)


def write(folder: Path, *lines: str, name: str = "rows.csv") -> str:
    (folder / name).write_text("\n".join(["id,host,bytes", *lines, ""]))
    return str(folder / "*.csv")


class ByFirstLetter(Labeller):
    """Hosts that begin with e are evil, those that begin with x are nobody's business."""

    finished = 0

    def __call__(self, batch: Batch) -> Mapping[str, Column]:
        letters = np.array([host[:1] for host in batch["host"]], dtype=object)
        return {LABEL: (letters == "e").astype(np.int8), CLASS: letters, "_keep": letters != "x"}

    def finish(self) -> None:
        self.finished += 1


def test_every_row_that_came_in_is_accounted_for(tmp_path: Path) -> None:
    path = write(tmp_path, "1,a,5", "2,b,-1", "3,c", "1,a,5", "4,x,bad", "5,e,7", "6,d,what")
    quarantine = Quarantine(tmp_path / "kept" / "quarantine.jsonl")
    intake = Intake(Csv(path=path, rows=3), SCHEMA, labels=ByFirstLetter(), quarantine=quarantine)
    rows = Batch.concatenate(intake)
    assert rows["id"].tolist() == ["1", "5"]
    assert (rows[LABEL].tolist(), rows[CLASS].tolist()) == ([0, 1], ["a", "e"])
    assert "_keep" not in rows
    tally = intake.tally
    assert (tally.received, tally.passed_on, tally.quarantined, tally.duplicates, tally.ignored) == (7, 2, 3, 1, 1)
    assert tally.reasons == {"out_of_range": 1, "wrong_number_of_fields": 1, "not_a_number": 1}
    kept = [orjson.loads(line) for line in quarantine.path.read_bytes().splitlines()]
    assert [(item["row"], item["reason"], item["raw"]) for item in kept] == [
        (4, "wrong_number_of_fields", "3,c"),
        (3, "out_of_range", '{"id":"2","host":"b","bytes":"-1"}'),
        (8, "not_a_number", '{"id":"6","host":"d","bytes":"what"}'),
    ]


def test_counters_move_with_the_tally(tmp_path: Path) -> None:
    before = log.counters()
    list(Intake(Csv(path=write(tmp_path, "1,a,5", "1,a,5", "2,b,-1", "3,x,1")), SCHEMA, labels=ByFirstLetter()))
    moved = {name: count - before.get(name, 0) for name, count in log.counters().items()}
    assert {name: count for name, count in moved.items() if count} == {
        'tocsin_rows_received_total{source="csv"}': 4,
        'tocsin_rows_passed_on_total{source="csv"}': 1,
        'tocsin_duplicates_dropped_total{source="csv"}': 1,
        'tocsin_rows_quarantined_total{reason="out_of_range",source="csv"}': 1,
        'tocsin_rows_ignored_total{source="csv"}': 1,
    }


def test_a_refused_file_is_no_row(tmp_path: Path) -> None:
    write(tmp_path, "1,a,5", name="1.csv")
    (tmp_path / "2.csv").write_text("id,id\n1,2\n")
    intake = Intake(Csv(path=f"{tmp_path}/*.csv"), SCHEMA)
    assert sum(batch.rows for batch in intake) == 1
    assert (intake.tally.received, intake.tally.quarantined, intake.tally.files_refused) == (1, 0, 1)
    assert intake.tally.reasons == {"duplicate_columns": 1}
    assert set(intake.tally.digests) == {f"{tmp_path}/1.csv", f"{tmp_path}/2.csv"}


def test_a_file_of_another_layout_is_quarantined_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "1,a,5", name="2.csv")
    (tmp_path / "1.csv").write_text("when,what\n1,2\n3,4\n")
    intake = Intake(Csv(path=f"{tmp_path}/*.csv"), SCHEMA)
    assert [batch["id"].tolist() for batch in intake] == [["1"]]
    assert intake.tally.reasons == {"missing_column": 2}


def test_if_no_file_has_the_columns_the_schema_says_what_is_absent(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id,hots,bytes\n1,2,3\n")
    with pytest.raises(SchemaError, match='did you mean "hots"') as raised:
        list(Intake(Csv(path=f"{tmp_path}/*.csv"), SCHEMA))
    assert raised.value.problem.where == f"{tmp_path}/1.csv: field host"


def test_empty_files_end_the_reading_without_an_error(tmp_path: Path) -> None:
    intake = Intake(Csv(path=write(tmp_path)), SCHEMA)
    assert list(intake) == []
    assert intake.tally == Tally(digests=intake.tally.digests)


def test_duplicates_are_found_across_batches_and_files(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        write(tmp_path, "1,a,5", "2,b,5", "1,c,5", name=name)
    intake = Intake(Csv(path=f"{tmp_path}/*.csv", rows=1), SCHEMA)
    assert [batch["host"].tolist() for batch in intake] == [["a"], ["b"]]
    assert intake.tally.duplicates == 4


@pytest.mark.parametrize("optional", ["id", "part"])
def test_a_row_that_lacks_a_part_of_its_key_is_never_a_duplicate(tmp_path: Path, optional: str) -> None:
    fields = {
        "id": Field(dtype="category", optional=optional == "id"),
        "part": Field(dtype="integer", optional=optional == "part"),
    }
    lines = {"id": [",5", ",5", "1,5", "1,5"], "part": ["1,", "1,", "1,5", "1,5"]}[optional]
    (tmp_path / "rows.csv").write_text("\n".join(["id,part", *lines, ""]))
    intake = Intake(Csv(path=f"{tmp_path}/rows.csv"), Schema(fields=fields, key=("id", "part")))
    assert sum(batch.rows for batch in intake) == 3
    assert intake.tally.duplicates == 1


def test_labels_are_told_of_the_end_of_the_source_but_not_of_a_stop(tmp_path: Path) -> None:
    labels = ByFirstLetter()
    path = write(tmp_path, "1,a,5", "2,a,5")
    for _ in Intake(Csv(path=path, rows=1), SCHEMA, labels=labels):
        break
    assert labels.finished == 0
    list(Intake(Csv(path=path, rows=1), SCHEMA, labels=labels))
    assert labels.finished == 1


def test_only_the_latest_keys_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_KEYS", 2)
    intake = Intake(Csv(path=write(tmp_path, "1,a,5", "2,a,5", "3,a,5", "1,a,5", "3,a,5")), SCHEMA)
    assert [batch["id"].tolist() for batch in intake] == [["1", "2", "3", "1"]]


def test_valid_rows_alone_are_pseudonymised(tmp_path: Path) -> None:
    def pseudonymise(batch: Batch) -> Batch:
        return batch.replace({"host": np.array([f"p{host}" for host in batch["host"]], dtype=object)})

    quarantine = Quarantine(tmp_path / "quarantine.jsonl")
    path = write(tmp_path, "1,a,5", "2,,5")
    (batch,) = Intake(Csv(path=path), SCHEMA, pseudonymise=pseudonymise, quarantine=quarantine)
    assert batch["host"].tolist() == ["pa"]
    assert "pa" not in quarantine.path.read_text()


@pytest.mark.parametrize(("word", "generated"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_generated_rows_are_noticed(tmp_path: Path, word: str, generated: bool) -> None:
    (tmp_path / "1.csv").write_text(f"id,host,bytes,tocsin_generated\n1,a,5,{word}\n")
    intake = Intake(Csv(path=f"{tmp_path}/1.csv"), SCHEMA)
    list(intake)
    assert intake.tally.generated is generated


def test_a_batch_is_acknowledged_when_the_next_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "1,a,5", "2,a,5")
    source = Csv(path=path, rows=1)
    batches = iter(Intake(source, SCHEMA))
    next(batches)
    assert source._behind == {}
    next(batches)
    assert source._behind == {f"{tmp_path}/rows.csv": 2}


def test_a_stopped_intake_closes_its_source(tmp_path: Path) -> None:
    source = Csv(path=write(tmp_path, "1,a,5", "2,a,5"), rows=1)
    for _ in Intake(source, SCHEMA):
        break
    with pytest.raises(Exception, match="read of a closed source"):
        source.read(0.0)


def test_the_quarantine_is_for_its_owner_alone_and_has_a_limit(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine.jsonl", limit_bytes=250)
    before = log.counters().get("tocsin_quarantine_full_total", 0)
    for row in range(1, 9):
        quarantine.add([Rejected("rows.csv", row, "out_of_range", "too high", "x" * 20)])
    assert stat.S_IMODE(quarantine.path.stat().st_mode) == 0o600
    kept = [orjson.loads(line)["row"] for line in quarantine.path.read_bytes().splitlines()]
    assert kept == [1, 2]
    assert quarantine.path.stat().st_size <= 250
    assert log.counters()["tocsin_quarantine_full_total"] == before + 1


def test_a_quarantine_without_rows_makes_no_file(tmp_path: Path) -> None:
    Quarantine(tmp_path / "quarantine.jsonl").add([])
    assert not (tmp_path / "quarantine.jsonl").exists()


def test_a_row_from_the_future_is_refused_for_as_long_as_its_time_has_not_come(tmp_path: Path) -> None:
    lines = ["id,time", "1,2026-03-02T10:00:00Z", "2,2036-03-02T10:00:00Z", "3,soon", "4,2026-03-02T10:05:01Z"]
    (tmp_path / "rows.csv").write_text("\n".join([*lines, ""]), "utf-8")
    schema = Schema(fields={"id": Field(), "time": Field(dtype="time")}, time="time")
    moment = 1_772_445_900_000_000  # 10:05 of that day
    intake = Intake(Csv(path=str(tmp_path / "*.csv")), schema, latest=lambda: moment)
    assert Batch.concatenate(intake)["id"].tolist() == [1.0]
    assert intake.tally.reasons == {"in_the_future": 2, "not_a_time": 1}
    late = Intake(Csv(path=str(tmp_path / "*.csv")), schema, latest=lambda: moment + 1_000_000)
    assert Batch.concatenate(late)["id"].tolist() == [1.0, 4.0]
