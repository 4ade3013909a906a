"""Tocsin beside others: the same rows for everybody, and nothing hidden of what was left out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tocsin.bench import peers
from tocsin.bench.cases import Case, named, own
from tocsin.bench.run import OURS, Judged, Result, judge
from tocsin.bench.table import document, grid, markdown, won
from tocsin.errors import DataError
from tocsin.records import Matrix


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[Matrix, np.ndarray]:
    """Three columns, every fiftieth row far out in one of them."""
    x, y = rng.normal(size=(1_500, 3)), np.arange(1_500) % 50 == 7
    x[y, 1] += 12.0
    return x, y.astype(np.int64)


def test_arrays_of_a_users_own_are_judged_beside_everybody(folder: Path, rows: tuple[Matrix, np.ndarray]) -> None:
    np.savez(folder / "mine.npz", X=rows[0], y=rows[1])
    (judged,) = judge(own(folder))
    assert judged.reason == ""
    assert {OURS, "scikit-learn IsolationForest", "random", "constant"} <= judged.results.keys()
    assert judged.results[OURS].roc_auc > 0.95 > judged.results["random"].roc_auc
    assert judged.results["constant"].roc_auc == 0.5


def test_a_table_with_a_label_needs_no_config(folder: Path, rows: tuple[Matrix, np.ndarray]) -> None:
    lines = [f"{a},{b},{c},{'attack' if label else 'normal'}" for (a, b, c), label in zip(*rows, strict=True)]
    (folder / "mine.csv").write_text("\n".join(["a,b,c,Label", *lines]), "utf-8")
    (judged,) = judge(own(folder))
    assert judged.results[OURS].roc_auc > 0.95
    assert judged.anomalies > 0


def test_a_series_is_judged_behind_the_part_that_its_name_tells(folder: Path, rng: np.random.Generator) -> None:
    values, label = rng.normal(size=2_000), np.zeros(2_000, dtype=int)
    values[1_500:1_505], label[1_500:1_505] = 40.0, 1
    lines = [f"{value},{flag}" for value, flag in zip(values, label, strict=True)]
    (folder / "001_x_tr_500_1st_1500.csv").write_text("\n".join(["Data,Label", *lines]), "utf-8")
    (judged,) = judge(own(folder))
    assert judged.rows == 1_500
    assert judged.results[OURS].vus_pr is not None
    assert judged.results[OURS].roc_auc > 0.9


def test_a_config_of_a_users_own_is_taken_as_it_is(folder: Path, rows: tuple[Matrix, np.ndarray]) -> None:
    np.savez(folder / "mine.npz", X=rows[0], y=rows[1])
    (folder / "configs").mkdir()
    (folder / "configs" / "mine.yaml").write_text(
        "version: 1\nname: mine\npreset: tabular\nsource: {type: npz, path: ../mine.npz, array: X}\n"
        "labels: {array: ../mine.npz, series: y}\ndetector: {type: robust_zscore}\n",
        "utf-8",
    )
    (judged,) = judge(own(folder / "configs"))
    assert "robust_zscore" in judged.detector
    assert judged.results[OURS].average_precision > 0.9


def test_what_cannot_be_judged_is_said_and_stops_nothing(folder: Path, rows: tuple[Matrix, np.ndarray]) -> None:
    np.savez(folder / "a_no_anomaly.npz", X=rows[0], y=np.zeros(1_500))
    np.savez(folder / "b_fifty_rows.npz", X=rows[0][:50], y=rows[1][:50])
    np.savez(folder / "c_good.npz", X=rows[0], y=rows[1])
    first, second, third = judge(own(folder))
    assert "normal rows alone" in first.reason
    assert "usable rows" in second.reason
    assert third.results
    assert "Left out" in markdown([first, second, third], ())


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.npz"])
def test_a_broken_file_stops_none_of_the_others(folder: Path, rows: tuple[Matrix, np.ndarray], name: str) -> None:
    (folder / name).write_bytes(b"label,\xff\xfe\n1,2\n")
    np.savez(folder / "b.npz", X=rows[0], y=rows[1])
    broken, good = judge(own(folder))
    assert "cannot be read" in broken.reason
    assert good.results


@pytest.mark.parametrize(
    ("header", "between"), [('a,"b, of c",c,label', ","), ("a;b;c;label", ";"), ("\ufefflabel\tb\tc\tkind", "\t")]
)
def test_a_header_is_read_as_it_was_written(
    folder: Path, rows: tuple[Matrix, np.ndarray], header: str, between: str
) -> None:
    lines = [between.join(str(int(label)) for _ in range(4)) for label in rows[1]]
    (folder / "mine.csv").write_text("\n".join([header, *lines]), "utf-8")
    (judged,) = judge(own(folder))
    assert judged.results, judged.reason


def test_two_columns_that_may_be_the_label_are_named(folder: Path) -> None:
    (folder / "mine.csv").write_text("a,class,label\n1,0,0\n", "utf-8")
    (judged,) = judge(own(folder))
    assert judged.reason.startswith("columns that may all be the label: label, class")


def test_a_config_without_labels_is_left_out(folder: Path, rows: tuple[Matrix, np.ndarray]) -> None:
    np.savez(folder / "rows.npz", x=rows[0])
    (folder / "mine.yaml").write_text(
        "version: 1\nname: mine\npreset: tabular\nsource: {type: npz, path: rows.npz, array: x}\n", "utf-8"
    )
    (judged,) = judge(own(folder))
    assert "without labels" in judged.reason


def test_what_makes_figures_worthless_is_said(folder: Path, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(1_500, 2)), np.arange(1_500) % 10 == 7
    x[y] += 12.0
    np.savez(folder / "opposite.npz", X=x, y=(~y).astype(np.int64))
    np.savez(folder / "told.npz", X=np.column_stack([rng.normal(size=1_500), y]), y=y.astype(np.int64))
    opposite, told = judge(own(folder))
    rule, turned, *_ = opposite.doubts
    assert "are anomalies" in rule
    assert "mean the opposite" in turned
    assert "column_2" in told.doubts[0]
    assert "Doubtful" in markdown([opposite, told], ())


def test_a_contender_that_fails_is_left_out_and_named(
    folder: Path, rows: tuple[Matrix, np.ndarray], rng: np.random.Generator
) -> None:
    """PyOD's PCA divides by variances of 0 where columns are made of each other, and has no finite score then."""
    np.savez(folder / "good.npz", X=rows[0], y=rows[1])
    mixed = rows[0] @ rng.normal(size=(3, 30))
    np.savez(folder / "made_of_each_other.npz", X=np.column_stack([rows[0], mixed]), y=rows[1])
    good, judged = judge(own(folder))
    assert "PyOD PCA" in good.results
    assert {OURS, "PyOD KNN", "random"} <= judged.results.keys()
    assert "PyOD PCA" not in judged.results
    assert "PyOD PCA failed (no row has a finite score)" in judged.doubts
    assert "PyOD PCA" not in document([good, judged], ())["means"][folder.name]


def test_a_folder_without_labels_is_refused_with_what_would_do(folder: Path) -> None:
    (folder / "rows.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(DataError, match=r"no file with labels.*\*\.npz"):
        list(own(folder))
    with pytest.raises(DataError, match="no folder"):
        list(own(folder / "rows.csv"))


def test_a_misspelt_set_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match='did you mean "adbench"'):
        list(named(("adbenhc",), folder))
    with pytest.raises(DataError, match="TOCSIN_DATA"):
        list(named(("adbench",), folder))


def test_a_contender_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyod", None)  # as Python has it for what cannot be imported
    assert peers.missing() == ("PyOD KNN", "PyOD ECOD", "PyOD HBOS", "PyOD PCA")
    assert "pip install 'tocsin[bench]'" in markdown([], peers.missing())


def test_no_label_reaches_a_model_that_is_to_learn_from_all_rows(folder: Path, rows: tuple[Matrix, np.ndarray]) -> None:
    """Turned round, the labels of the training rows change no score."""
    np.savez(folder / "right.npz", X=rows[0], y=rows[1])
    turned = rows[1].copy()
    places = (np.arange(1, len(turned) + 1) * ((5**0.5 - 1) / 2)) % 1.0
    turned[places < 0.7] = 1 - turned[places < 0.7]
    np.savez(folder / "turned.npz", X=rows[0], y=turned)
    right, wrong = judge(own(folder))
    assert right.results[OURS].average_precision == wrong.results[OURS].average_precision


def test_means_are_over_the_cases_of_a_set_and_the_best_is_bold() -> None:
    one = Judged("s", "1", 10, 1, results={OURS: Result(0.9, 0.5, None, 1.0), "random": Result(0.5, 0.1, None, 0.0)})
    two = Judged("s", "2", 10, 1, results={OURS: Result(0.7, 0.3, None, 1.0), "random": Result(0.5, 0.1, None, 0.0)})
    assert grid([one, two]) == [["", "s (2)"], [OURS, "**0.400 / 0.800**"], ["random", "0.100 / 0.500"]]
    assert won([one, two]) == (1, 1)
    assert document([one, two], ())["means"]["s"][OURS]["average_precision"] == pytest.approx(0.4)


def test_generated_rows_are_called_so() -> None:
    judged = Judged("mine", "x", 10, 1, generated=True, results={OURS: Result(0.9, 0.5, None, 1.0)})
    assert "mine is made from generated rows." in markdown([judged], ())


def test_the_verb_writes_both_documents(
    folder: Path, tocsin: Callable[..., Any], rows: tuple[Matrix, np.ndarray]
) -> None:
    (folder / "data").mkdir()
    np.savez(folder / "data" / "mine.npz", X=rows[0], y=rows[1])
    done = tocsin("bench", "--data", "data")
    assert done.returncode == 0
    assert "Highest average precision in" in done.stdout
    assert orjson.loads((folder / "bench" / "bench.json").read_bytes())["means"]["data"][OURS]["roc_auc"] > 0.9
    assert (folder / "bench" / "bench.md").read_text("utf-8").startswith("Mean average precision")
    assert tocsin("bench", "adbench", "--data", "data").returncode == 2


def test_named_sets_are_found_where_the_real_data_lie(data: Path) -> None:
    cases = list(named((), data))
    assert {case.set for case in cases} == {"adbench", "asd", "jumpstarter", "nab", "nsl_kdd", "smd", "zeek"}
    wanted = Case("asd", "omi-1", {})
    found = next(case for case in cases if (case.set, case.name) == (wanted.set, wanted.name))
    (judged,) = judge([found])
    assert judged.results[OURS].average_precision > judged.results["random"].average_precision


def test_what_is_said_of_many_cases_is_said_once() -> None:
    doubted = [Judged("s", str(at), 10, 1, doubts=("half of it is doubtful",)) for at in range(3)]
    assert "- Doubtful: 3 cases of s: half of it is doubtful.\n" in markdown(doubted, ())


def test_a_clock_gives_no_label_away(folder: Path, rng: np.random.Generator) -> None:
    """Labels begin at some time."""
    label = np.arange(1_000) >= 900
    values = rng.normal(size=1_000) + 3.0 * label
    lines = [
        f"{1_700_000_000 + 60 * at},{value},{flag:d}"
        for at, (value, flag) in enumerate(zip(values, label, strict=True))
    ]
    (folder / "mine.csv").write_text("\n".join(["timestamp,load,label", *lines]), "utf-8")
    (judged,) = judge(own(folder))
    assert judged.results
    assert not [doubt for doubt in judged.doubts if "timestamp" in doubt]
