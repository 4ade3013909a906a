"""Telemetry that is not as it should be: used as far as it can be, and told otherwise."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def rows(site: Path) -> Path:
    """The site's only file of telemetry."""
    return site / "data" / "rows.csv"


@pytest.fixture
def train(tocsin: Run) -> Callable[[], tuple[int, dict[str, Any], str]]:
    """Exit code, what became of the rows or what was wrong, and what was said beside."""

    def call() -> tuple[int, dict[str, Any], str]:
        done = tocsin("train", "--no-plots", "--json")
        document = json.loads(done.stdout)
        return done.returncode, document.get("rows") or document["error"], done.stderr

    return call


Train = Callable[[], tuple[int, dict[str, Any], str]]


def quarantined(site: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (site / "quarantine.jsonl").read_text("utf-8").splitlines()]


def told(error: dict[str, Any], where: str, got: str, wanted: str, hint: str) -> bool:
    """Whether an error has these four parts."""
    parts = {"where": where, "got": got, "wanted": wanted, "hint": hint}
    return all(part in error[name] for name, part in parts.items())


def test_a_missing_column_lists_those_that_are_there(configure: Callable[..., Path], train: Train, site: Path) -> None:
    configure(("packets:", "packetz:"), ("packets]", "packetz]"))
    code, error, _ = train()
    assert code == 1
    present = "one of those present: time, host, bytes, packets, label"
    assert told(error, "field packetz", "no column 'packetz'", present, 'did you mean "packets"?')
    assert not (site / "registry").exists()


def test_a_missing_label_column_lists_those_that_are_there(configure: Callable[..., Path], train: Train) -> None:
    configure(("column: label", "column: lable"))
    code, error, _ = train()
    assert code == 1
    assert told(error, "labels.column", 'no column "lable"', "one of those present: time, ", 'did you mean "label"?')


@pytest.mark.parametrize("kept", [0, 1])
def test_a_file_without_rows_is_told_so(kept: int, rows: Path, lines: list[str], train: Train) -> None:
    rows.write_text("\n".join(lines[:kept]), "utf-8")
    code, error, _ = train()
    assert code == 1
    assert told(error, "source csv data/*.csv", "0 rows received", "rows that fit", "the files hold no rows")


def test_no_file_is_told_with_what_is_there(configure: Callable[..., Path], train: Train) -> None:
    configure(("data/*.csv", "data/*.tsv"))
    code, error, _ = train()
    assert code == 1
    assert told(error, "csv", "no file matching 'data/*.tsv'", "a file", "looked in ")
    assert "which holds rows.csv" in error["hint"]
    configure(("data/*.csv", "dato/*.csv"))
    assert train()[1]["hint"].endswith("dato, which is no folder")


def test_when_no_row_fits_the_reasons_are_named(rows: Path, lines: list[str], train: Train, site: Path) -> None:
    rows.write_text("\n".join([lines[0], *(line.rsplit(",", 2)[0] + ",many,normal" for line in lines[1:])]), "utf-8")
    code, error, _ = train()
    assert code == 1
    got = "1200 rows received, 1200 of them quarantined, none left"
    assert told(error, "source csv", got, "rows that fit the schema", "the reasons are in quarantine.jsonl")
    assert Counter(entry["reason"] for entry in quarantined(site)) == {"not_a_number": 1_200}
    assert quarantined(site)[0]["detail"] == "packets: got 'many', wanted a whole number"


def test_too_few_rows_are_told_with_how_many_it_takes(rows: Path, lines: list[str], train: Train, site: Path) -> None:
    rows.write_text("\n".join(lines[:61]), "utf-8")
    code, error, _ = train()
    assert code == 1
    assert told(error, "training", "36 usable rows", "at least 100", "give more history")
    assert not (site / "registry").exists()


def test_a_constant_column_is_warned_of_and_training_goes_on(rows: Path, lines: list[str], train: Train) -> None:
    rows.write_text("\n".join([lines[0], *(re.sub(r",\d+,(\w+)$", r",7,\1", line) for line in lines[1:])]), "utf-8")
    code, counted, said = train()
    assert (code, counted["passed_on"]) == (0, 1_200)
    assert re.search(r"Constant columns kept out of the scaler.*first=\['packets'\]", said)


def test_constant_columns_alone_cannot_be_learnt_from(rows: Path, lines: list[str], train: Train) -> None:
    rows.write_text(
        "\n".join([lines[0], *(re.sub(r",[^,]+,\d+,(\w+)$", r",5,7,\1", line) for line in lines[1:])]), "utf-8"
    )
    code, error, _ = train()
    assert code == 1
    assert told(error, "preparation", "constant columns only", "at least one that varies in training", "")


def test_cells_that_are_no_number_never_become_zero(rows: Path, lines: list[str], train: Train, site: Path) -> None:
    cells = ["inf", "NaN", "", "1e999", "-5", "0x10"]
    bad = {100 * place + 1: cell for place, cell in enumerate(cells, 1)}
    fields = [line.split(",") for line in lines]
    for place, cell in bad.items():
        fields[place][2] = cell
    rows.write_text("\n".join(map(",".join, fields)), "utf-8")
    code, counted, _ = train()
    assert code == 0
    assert (counted["passed_on"], counted["quarantined"]) == (1_194, 6)
    assert {entry["row"] - 1: entry["reason"] for entry in quarantined(site)} == dict(
        zip(bad, ["not_finite", "missing", "missing", "not_finite", "out_of_range", "not_a_number"], strict=True)
    )
    assert counted["reasons"] == {"not_finite": 2, "missing": 2, "out_of_range": 1, "not_a_number": 1}


def test_times_of_two_kinds_are_not_mixed(rows: Path, lines: list[str], train: Train, site: Path) -> None:
    mixed = [line.replace("+00:00", "") if place % 100 == 50 else line for place, line in enumerate(lines)]
    rows.write_text("\n".join(mixed), "utf-8")
    code, counted, _ = train()
    assert code == 0
    assert counted["reasons"] == {"mixed_time_zones": 12}
    assert "or set schema.timezone" in quarantined(site)[0]["detail"]


def test_offsets_name_one_moment_whatever_they_are(
    rows: Path, lines: list[str], tocsin: Run, configure: Callable[..., Path]
) -> None:
    def scored(text: list[str]) -> str:
        rows.write_text("\n".join(text), "utf-8")
        tocsin("score", rows, "--output", "scores.csv")
        return Path("scores.csv").read_text("utf-8")

    tocsin("train", "--no-plots")
    moved = [line.replace("T00:", "T05:", 1).replace("+00:00", "+05:00") if "T00:" in line else line for line in lines]
    assert scored(moved) == scored(lines)


def test_a_byte_order_mark_is_no_part_of_a_name(rows: Path, lines: list[str], train: Train) -> None:
    rows.write_text("\n".join(lines), "utf-8-sig")
    code, counted, _ = train()
    assert (code, counted["passed_on"], counted["quarantined"]) == (0, 1_200, 0)


def test_a_compressed_file_that_breaks_off_gives_the_rows_before_the_break(
    rows: Path, train: Train, site: Path
) -> None:
    packed = gzip.compress(rows.read_bytes())
    rows.unlink()
    (site / "data" / "broken.csv").write_bytes(packed[: len(packed) * 3 // 4])
    code, counted, said = train()
    assert code == 0
    assert 600 < counted["passed_on"] < 1_200
    assert counted["files_refused"] == 1
    assert re.search(r"File refused.*broken\.csv.*truncated", said)
    (entry,) = [entry for entry in quarantined(site) if entry["row"] == 0]
    assert (entry["reason"], entry["detail"]) == ("truncated", "the compressed file breaks off")


def test_one_broken_file_stops_no_other(site: Path, train: Train) -> None:
    (site / "data" / "noise.csv").write_bytes(b"\x1f\x8b" + bytes(range(200)))
    (site / "data" / "other.csv").write_text("colour,taste\nred,sweet\n", "utf-8")
    code, counted, _ = train()
    assert code == 0
    assert (counted["passed_on"], counted["quarantined"], counted["files_refused"]) == (1_200, 1, 1)
    assert counted["reasons"]["missing_column"] == 1
