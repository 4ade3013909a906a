"""Labels from a column, from incident windows, from an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from tocsin.annotations import (
    KEEP,
    Window,
    array_labeller,
    column_labeller,
    label_windows,
    read_windows,
)
from tocsin.config import LabelsConfig
from tocsin.errors import DataError, SchemaError
from tocsin.records import CLASS, LABEL, ROW, Batch, Rejected

MINUTE = 60_000_000


def raw(*labels: str) -> Batch:
    return Batch({"label": np.array(labels, dtype=object), ROW: np.arange(1, len(labels) + 1)})


def test_a_column_names_normal_rows_anomalies_and_rows_to_leave_out() -> None:
    label = column_labeller(LabelsConfig(column="label", normal=("benign",), ignore=("background",)))
    found = label(raw("Benign", "scan", "Background", ""))
    assert found[LABEL].tolist()[:2] == [0, 1]
    assert found[LABEL].tolist()[3] == -1
    assert found[CLASS].tolist()[1] == "scan"
    assert found[KEEP].tolist() == [True, True, False, True]


def test_a_missing_label_column_lists_those_there() -> None:
    with pytest.raises(SchemaError, match="did you mean"):
        column_labeller(LabelsConfig(column="lable"))(raw("x"))


def test_an_array_follows_the_rows_over_batches_and_past_lost_ones(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("0\n1\n0\n1\n1\n")
    label = array_labeller(path, None)
    first = Batch({ROW: np.array([1, 3])}, [Rejected("f", 2, "ragged", "")])
    assert label(first)[LABEL].tolist() == [0, 0]
    assert label(Batch({ROW: np.array([4, 5])}))[LABEL].tolist() == [1, 1]
    with pytest.raises(DataError, match="5 labels"):
        label(Batch({ROW: np.array([6])}))


@pytest.mark.parametrize("name", ["labels.npy", "labels.npz"])
def test_arrays_of_numpy_are_read(tmp_path: Path, name: str) -> None:
    values = np.array([0, 1, 1], dtype=np.uint8)
    path = tmp_path / name
    np.save(path, values) if name.endswith("npy") else np.savez(path, test_label=values)
    label = array_labeller(path, "test_label")
    assert label(Batch({ROW: np.arange(3)}))[LABEL].tolist() == [0, 1, 1]


@pytest.mark.parametrize("text", ["0\n2\n", "a\n"])
def test_an_array_of_other_values_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(DataError, match="one 0 or 1 per row"):
        array_labeller(path, None)


def test_windows_come_in_the_forms_people_have(tmp_path: Path) -> None:
    wanted = (Window(0, 5 * MINUTE),)
    pair = ["1970-01-01 00:00:00", "1970-01-01T00:05:00Z"]
    documents = {
        "series.json": {"a/b.csv": [pair]},
        "pairs.json": [pair],
        "mappings.json": [{"start": pair[0], "end": pair[1]}],
        "numbers.json": [[0, 300]],
    }
    for name, document in documents.items():
        (tmp_path / name).write_bytes(orjson.dumps(document))
        assert read_windows(tmp_path / name, "a/b.csv" if name.startswith("series") else None) == wanted
    (tmp_path / "windows.csv").write_text("start,end,name\n1970-01-01,1970-01-01T00:05:00,outage\n")
    assert read_windows(tmp_path / "windows.csv", None)[0].name == "outage"


@pytest.mark.parametrize("document", [{"other": []}, [["2026-01-02", "2026-01-01"]], [{"start": "x"}], 7, [[1]]])
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
