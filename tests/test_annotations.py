"""Labels from a column, from incident windows, from an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tocsin.annotations import (
    KEEP,
    ArrayLabeller,
    ColumnLabeller,
    Window,
    label_windows,
    read_windows,
)
from tocsin.config import LabelsConfig
from tocsin.errors import DataError, SchemaError
from tocsin.records import CLASS, LABEL, ROW, Batch, Rejected

MINUTE = 60_000_000
START = 1_767_571_200_000_000
"""2026-01-05, UTC."""
OUTAGE = (Window(START, START + 5 * MINUTE),)


def raw(*labels: str) -> Batch:
    return Batch({"label": np.array(labels, dtype=object), ROW: np.arange(1, len(labels) + 1)})


def test_a_column_names_normal_rows_anomalies_and_rows_to_leave_out() -> None:
    label = ColumnLabeller(LabelsConfig(column="label", normal=("benign",), ignore=("background",)))
    found = label(raw("Benign", "scan", "Background", ""))
    assert found[LABEL].tolist()[:2] == [0, 1]
    assert found[LABEL].tolist()[3] == -1
    assert found[CLASS].tolist()[1] == "scan"
    assert found[KEEP].tolist() == [True, True, False, True]


def labelled(column: np.ndarray[Any, np.dtype[Any]], *normal: str) -> tuple[list[int], list[str]]:
    words = {"normal": normal} if normal else {}
    found = ColumnLabeller(LabelsConfig(column="label", **words))(Batch({"label": column}))
    return found[LABEL].tolist(), found[CLASS].tolist()


@pytest.mark.parametrize(
    "column",
    [
        np.array([0.0, 1.0]),
        np.array([0, 1]),
        np.array([False, True]),
        np.array(["0.0", "1.0"], dtype=object),
        np.array(["False", "True"], dtype=object),
        np.array([0.0, True], dtype=object),
    ],
)
def test_labels_mean_the_same_as_numbers_booleans_and_text(column: np.ndarray[Any, np.dtype[Any]]) -> None:
    labels, classes = labelled(column)
    assert labels == [0, 1]
    assert ".0" not in "".join(classes)
    assert labelled(column, "1", "true")[0] == [1, 0]
    assert labelled(column, "1.0", "True")[0] == [1, 0]


@pytest.mark.parametrize("missing", [None, float("nan"), "", " ", "NaN", "null", "-", np.datetime64("NaT")])
def test_a_missing_label_is_unknown_and_has_no_class(missing: object) -> None:
    column = np.array([None, "scan"], dtype=object)
    column[0] = missing
    assert labelled(column) == ([-1, 1], ["", "scan"])


def test_a_word_that_the_config_calls_normal_is_never_unknown() -> None:
    assert labelled(np.array(["None", "scan", ""], dtype=object), "none") == ([0, 1, -1], ["None", "scan", ""])
    assert labelled(np.array(["-", None, "scan"], dtype=object), "-", "") == ([0, 0, 1], ["-", "", "scan"])


def test_a_missing_label_column_lists_those_there() -> None:
    with pytest.raises(SchemaError, match="did you mean"):
        ColumnLabeller(LabelsConfig(column="lable"))(raw("x"))


def test_an_array_follows_the_rows_over_batches_and_past_lost_ones(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("0\n1\n0\n1\n1\n")
    label = ArrayLabeller(path, None)
    first = Batch({ROW: np.array([1, 3])}, [Rejected("f", 2, "ragged", "")])
    assert label(first)[LABEL].tolist() == [0, 0]
    assert label(Batch({ROW: np.array([4, 5])}))[LABEL].tolist() == [1, 1]
    with pytest.raises(DataError, match="5 labels"):
        label(Batch({ROW: np.array([6])}))


def test_a_refused_file_ends_the_use_of_an_array_since_its_rows_are_not_known(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("0\n1\n0\n")
    label = ArrayLabeller(path, None)
    label(Batch({ROW: np.array([1])}))
    with pytest.raises(DataError, match=r"a refused file \(b\.csv\)"):
        label(Batch({ROW: np.array([], dtype=np.int64)}, [Rejected("b.csv", 0, "truncated", "")]))


def test_labels_left_over_at_the_end_are_told(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("0\n1\n0\n")
    label = ArrayLabeller(path, None)
    label(Batch({ROW: np.array([1])}))
    with pytest.raises(DataError, match=r"3 labels, wanted 1, one per row"):
        label.finish()
    label(Batch({ROW: np.array([2])}, [Rejected("a.csv", 3, "ragged", "")]))
    label.finish()


@pytest.mark.parametrize("name", ["labels.npy", "labels.npz"])
def test_arrays_of_numpy_are_read(tmp_path: Path, name: str) -> None:
    values = np.array([0, 1, 1], dtype=np.uint8)
    path = tmp_path / name
    np.save(path, values) if name.endswith("npy") else np.savez(path, test_label=values)
    label = ArrayLabeller(path, "test_label")
    assert label(Batch({ROW: np.arange(3)}))[LABEL].tolist() == [0, 1, 1]


@pytest.mark.parametrize("text", ["0\n2\n", "a\n"])
def test_an_array_of_other_values_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(DataError, match="one 0 or 1 per row"):
        ArrayLabeller(path, None)


def test_windows_come_in_the_forms_people_have(tmp_path: Path) -> None:
    pair = ["2026-01-05 00:00:00", "2026-01-05T00:05:00"]
    seconds = [1_767_571_200, 1_767_571_500]
    documents = {
        "series.json": {"a/b.csv": [pair]},
        "pairs.json": [pair],
        "offsets.json": [["2026-01-05T00:00:00Z", "2026-01-05 01:05:00+01:00"]],
        "mappings.json": [{"start": pair[0], "end": pair[1]}],
        "seconds.json": [seconds],
        "milliseconds.json": [[1_000 * second for second in seconds]],
        "texts.json": [[str(second) for second in seconds]],
        "long_texts.json": [[str(1_000 * second) for second in seconds]],
    }
    for name, document in documents.items():
        (tmp_path / name).write_bytes(orjson.dumps(document))
        assert read_windows(tmp_path / name, "a/b.csv" if name.startswith("series") else None) == OUTAGE
    (tmp_path / "windows.csv").write_text("start,end,name\n20260105,2026-01-05T00:05:00,outage\n")
    assert read_windows(tmp_path / "windows.csv", None) == (Window(START, START + 5 * MINUTE, "", "outage"),)
    (tmp_path / "epochs.csv").write_text("start,end\n1767571200,1767571500000\n")
    assert read_windows(tmp_path / "epochs.csv", None) == OUTAGE


def test_windows_without_an_offset_are_in_the_timezone_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(orjson.dumps([["2026-01-05 01:00", "2026-01-05T00:05:00Z"]]))
    assert read_windows(path, None, "Europe/Berlin") == OUTAGE
    with pytest.raises(DataError, match=r"window 1 with '2026-01-05 01:00' \(mixed_time_zones\)"):
        read_windows(path, None)


def test_a_file_of_no_windows_has_none(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(b"[]")
    assert read_windows(path, None) == ()


@pytest.mark.parametrize(
    "document", [{"other": []}, [["2026-01-02", "2026-01-01"]], [{"start": "x"}], 7, [[1]], [["x", "y"]], [[0, None]]]
)
def test_what_are_no_windows_is_refused_with_the_file(tmp_path: Path, document: object) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(DataError, match=r"windows\.json"):
        read_windows(path, "mine")


def test_a_window_of_one_entity_leaves_the_others_alone() -> None:
    times = np.arange(4, dtype=np.int64) * MINUTE
    entities = np.array(["a", "b", "a", "b"], dtype=object)
    batch = label_windows(Batch({"t": times}), [Window(0, 2 * MINUTE, "a", "outage")], times, entities)
    assert batch[LABEL].tolist() == [1, 0, 1, 0]
    assert batch[CLASS].tolist() == ["outage", "normal", "outage", "normal"]


def test_windows_of_entities_need_rows_that_have_one() -> None:
    times = np.arange(4, dtype=np.int64) * MINUTE
    with pytest.raises(DataError, match='a window of entity "a"'):
        label_windows(Batch({"t": times}), [Window(0, MINUTE), Window(0, MINUTE, "a")], times, None)


def test_an_entity_of_a_window_may_be_a_number(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(orjson.dumps([{"start": "2026-01-05", "end": "2026-01-06", "entity": 0}]))
    assert read_windows(path, None)[0].entity == "0"


def test_a_table_of_events_by_node_gives_those_of_one_node(tmp_path: Path) -> None:
    path = tmp_path / "ground_truth.txt"
    path.write_text("Node,Host,Start,End,Event\nleaf1,None,1767571200,1767571500,clearBGP\nleaf2,None,1,2,flap\n")
    assert read_windows(path, "leaf1") == (Window(START, START + 5 * MINUTE, "", "clearBGP"),)
    with pytest.raises(DataError, match="one of: leaf1, leaf2"):
        read_windows(path, "leaf3")


def test_windows_are_told_by_what_they_are_and_not_by_a_name(tmp_path: Path) -> None:
    (tmp_path / "w.JSON").write_text('[["2026-01-05T00:00:00Z", "2026-01-05T00:05:00Z"]]')
    assert read_windows(tmp_path / "w.JSON", None) == OUTAGE
    (tmp_path / "w.csv").write_text("from,to\n1,2\n")
    with pytest.raises(DataError, match="columns from, to, wanted start and end among them"):
        read_windows(tmp_path / "w.csv", None)
