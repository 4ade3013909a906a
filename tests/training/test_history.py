"""Rows on their way from a source to a model: typed, hidden, labelled, in order, and counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tocsin.component import PartSpec
from tocsin.config import Config, LabelsConfig, LimitsConfig, parse
from tocsin.errors import ConfigError, DataError, LimitExceeded, SchemaError
from tocsin.privacy import Privacy
from tocsin.records import CLASS, LABEL, SECOND
from tocsin.sources.base import Tally
from tocsin.sources.csv import Csv
from tocsin.system import Project, check
from tocsin.training.history import Reader, local_part, source_of, with_path
from tocsin.training.limits import Limits

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  key: [time, host]
  fields:
    time: {dtype: time}
    host: {dtype: address, identity: true}
    load: {dtype: float}
source: {type: csv, path: "rows/*.csv", rows: 2}
"""
ROWS = """\
time,host,load,kind
1700000120,alpha,3.0,normal
1700000060,beta,2.0,normal
1700000180,alpha,4.0,Flood
1700000000,alpha,1.0,background
1700000180,alpha,4.0,flood
1700000240,beta,many,normal
"""
BEGIN = 1_700_000_000
NO_LIMITS = Limits(LimitsConfig())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.csv").write_text(ROWS, "utf-8")
    return parse(CONFIG, tmp_path / "tocsin.yaml")


@pytest.fixture
def privacy(tmp_path: Path) -> Privacy:
    return Privacy("pseudonym", tmp_path / "keys" / "site.key")


@pytest.fixture
def reader(config: Config, privacy: Privacy) -> Reader:
    return Reader(config, lambda: privacy, lambda _stage, _rows: None)


def minutes(config: Config, reader: Reader, labels: LabelsConfig | None = None) -> dict[float, tuple[int, str]]:
    """Label and class by minute."""
    batch = reader.read(source_of(config), labels, NO_LIMITS).batch
    times = ((batch["time"] / SECOND - BEGIN) / 60).tolist()
    return dict(zip(times, zip(batch[LABEL].tolist(), batch[CLASS].tolist(), strict=True), strict=True))


def test_rows_come_in_time_order_each_once_with_what_became_of_the_others(config: Config, reader: Reader) -> None:
    history = reader.read(source_of(config), None, NO_LIMITS)
    assert (history.batch["time"] / SECOND - BEGIN).tolist() == [0, 60, 120, 180]
    assert history.batch["load"].tolist() == [1, 2, 3, 4]
    tally = history.tally
    assert (tally.received, tally.passed_on, tally.duplicates, tally.quarantined) == (6, 4, 1, 1)
    assert [Path(file).name for file in tally.digests] == ["a.csv"]
    (line,) = reader.quarantine_file.read_text("utf-8").splitlines()
    assert (json.loads(line)["row"], json.loads(line)["reason"]) == (7, "not_a_number")


def test_names_are_hidden_and_lead_back_here_alone(config: Config, reader: Reader, privacy: Privacy) -> None:
    hosts = set(reader.read(source_of(config), None, NO_LIMITS).batch["host"])
    assert hosts == {privacy.pseudonym("alpha"), privacy.pseudonym("beta")}
    assert {privacy.name(host) for host in hosts} == {"alpha", "beta"}


def test_no_key_is_made_before_the_first_row(config: Config, tmp_path: Path) -> None:
    def never() -> Privacy:
        raise AssertionError("a key for nothing")

    (tmp_path / "rows" / "a.csv").write_text("time,host,load\n", "utf-8")
    reader = Reader(config, never, lambda _stage, _rows: None)
    with pytest.raises(DataError, match="0 rows received") as refused:
        reader.read(source_of(config), None, NO_LIMITS)
    assert refused.value.problem.hint == "the files hold no rows"
    assert "a.csv" not in refused.value.problem.where
    assert "rows/*.csv" in refused.value.problem.where


def test_a_column_labels_rows_and_leaves_some_out(config: Config, reader: Reader) -> None:
    labels = LabelsConfig(column="kind", normal=("normal",), ignore=("background",))
    assert minutes(config, reader, labels) == {1: (0, "normal"), 2: (0, "normal"), 3: (1, "Flood")}


def test_windows_label_the_rows_of_their_entity_by_its_name(config: Config, reader: Reader, tmp_path: Path) -> None:
    windows = [{"start": BEGIN, "end": BEGIN + 130, "entity": "alpha", "name": "overload"}]
    (tmp_path / "incidents.json").write_text(json.dumps(windows), "utf-8")
    found = minutes(config, reader, LabelsConfig(windows="incidents.json"))
    assert found == {0: (1, "overload"), 1: (0, "normal"), 2: (1, "overload"), 3: (0, "normal")}


def test_an_array_labels_rows_in_the_order_of_the_file(config: Config, reader: Reader, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "labels.txt", [0, 1, 0, 1, 0, 0])
    found = minutes(config, reader, LabelsConfig(array="labels.txt"))
    assert {minute: label for minute, (label, _) in found.items()} == {0: 1, 1: 1, 2: 0, 3: 0}


def test_a_label_column_that_no_row_has_is_told(config: Config, reader: Reader) -> None:
    with pytest.raises(SchemaError, match='no column "kin"') as refused:
        reader.read(source_of(config), LabelsConfig(column="kin"), NO_LIMITS)
    assert refused.value.problem.hint == 'did you mean "kind"?'


def test_when_no_row_is_left_the_quarantine_is_named(config: Config, reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "rows" / "a.csv").write_text("time,host,load\nyesterday,alpha,1\n", "utf-8")
    with pytest.raises(DataError, match="1 rows received, 1 of them quarantined, none left") as refused:
        reader.read(source_of(config), None, NO_LIMITS)
    assert str(reader.quarantine_file) in refused.value.problem.hint


def test_if_every_file_was_refused_the_reasons_are_named(config: Config, reader: Reader) -> None:
    folder = config.resolve("rows")
    (folder / "a.csv").write_bytes(gzip.compress(ROWS.encode())[:10])
    (folder / "b.csv").write_text("time,time\n1,2\n", "utf-8")
    with pytest.raises(DataError) as refused:
        reader.read(source_of(config), None, NO_LIMITS)
    problem = refused.value.problem
    assert problem.got.startswith("2 files refused (duplicate_columns, truncated), 0 rows received")
    assert problem.hint == f"the reasons are in {reader.quarantine_file}"


def test_windows_are_in_the_timezone_of_the_schema(config: Config, privacy: Privacy, tmp_path: Path) -> None:
    (tmp_path / "windows.json").write_text('[["2023-11-14 23:14:20", "2023-11-14 23:14:20"]]', "utf-8")
    zoned = parse(
        CONFIG.replace("  time: time\n", "  time: time\n  timezone: Europe/Berlin\n"), tmp_path / "tocsin.yaml"
    )
    reader = Reader(zoned, lambda: privacy, lambda _stage, _rows: None)
    batch = reader.read(source_of(zoned), LabelsConfig(windows="windows.json"), NO_LIMITS).batch
    assert batch["time"][batch[LABEL] == 1].tolist() == [(BEGIN + 60) * SECOND]


def test_a_limit_ends_the_reading(config: Config, reader: Reader) -> None:
    late = iter([0.0, *[100.0] * 10])
    with pytest.raises(LimitExceeded, match="before the next batch"):
        reader.read(source_of(config), None, Limits(LimitsConfig(train_time=10.0), lambda: next(late)))


def test_progress_is_told_as_rows_come(config: Config, privacy: Privacy) -> None:
    told: list[tuple[str, int]] = []
    reader = Reader(config, lambda: privacy, lambda stage, rows: told.append((stage, rows)))
    assert sum(batch.rows for batch in reader.batches(source_of(config), None, Tally())) == 4
    assert {stage for stage, _ in told} == {"reading"}
    assert [rows for _, rows in told] == sorted(rows for _, rows in told)


def test_paths_are_seen_from_the_config(config: Config, tmp_path: Path) -> None:
    source = local_part("sources", source_of(config), config)
    assert isinstance(source, Csv)
    assert source.path == str(tmp_path / "rows" / "*.csv")
    absolute = local_part("sources", PartSpec("csv", {"path": "/somewhere/else.csv"}), config)
    assert isinstance(absolute, Csv)
    assert absolute.path == "/somewhere/else.csv"


def test_other_files_are_read_as_the_source_reads_its_own() -> None:
    spec = PartSpec("csv", {"path": "a.csv", "delimiter": ";"})
    assert with_path(spec, "b.csv") == PartSpec("csv", {"path": "b.csv", "delimiter": ";"})


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.csv.gz", "csv"), ("a.jsonl.gz", "jsonl"), ("a.json", "jsonl"), ("a.parquet", "parquet")],
)
def test_beside_a_source_of_no_files_the_ending_tells_how_to_read(name: str, kind: str) -> None:
    assert with_path(PartSpec("synthetic", {"days": 3}), name) == PartSpec(kind, {"path": name})


def test_a_config_without_a_source_is_told_how_to_name_one() -> None:
    with pytest.raises(ConfigError) as refused:
        source_of(parse(CONFIG.partition("source:")[0]))
    assert refused.value.problem.where == "$.source"
    assert "for example" in refused.value.problem.hint


def test_all_of_a_source_that_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    text = "version: 1\nname: a\npreset: hosts\nsource: {type: host}\n"
    config = parse(text, tmp_path / "tocsin.yaml")
    with pytest.raises(ConfigError, match="a source that never ends, host"):
        Project(config).train()
    with pytest.raises(ConfigError, match="set `samples`"):
        Project(config).rows()


def test_a_query_that_fills_no_field_is_told_with_the_nearest_one() -> None:
    source = "source: {{type: prometheus, url: 'http://localhost:1', queries: {}}}\n"
    text = "version: 1\nname: a\npreset: services\n" + source
    check(parse(text.format("{event_count: up, error_rate: up}")))
    with pytest.raises(ConfigError) as refused:
        check(parse(text.format("{event_count: up, error_rte: up}")))
    assert refused.value.problem.where.endswith("$.source")
    assert refused.value.problem.got == 'a column "error_rte"'
    assert refused.value.problem.hint == 'did you mean "error_rate"?'
