"""Arrays of NumPy files: rows of numbers, nothing that could run, nothing that could fill the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tocsin.checks.source import batches_of
from tocsin.errors import DataError
from tocsin.records import ROW
from tocsin.sources.npz import Npz


def test_a_real_series_is_read_whole(data: Path) -> None:
    source = Npz(path=str(data / "asd" / "omi-1.npz"), array="train", rows=1_000)
    batches = batches_of(source)
    assert sum(batch.rows for batch in batches) == 8_640
    assert [name for name in batches[0] if not name.startswith("_")] == [f"column_{place}" for place in range(1, 20)]
    with np.load(data / "asd" / "omi-1.npz") as arrays:
        np.testing.assert_array_equal(np.concatenate([batch["column_7"] for batch in batches]), arrays["train"][:, 6])


def test_training_and_test_of_one_file_are_two_inputs(data: Path) -> None:
    one, other = (Npz(path=str(data / "asd" / "omi-1.npz"), array=array) for array in ("train", "test"))
    batches_of(one), batches_of(other)
    assert set(one.digests.values()).isdisjoint(other.digests.values())


def test_a_series_of_one_column_and_a_column_with_a_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", load=np.array([1, 2, 3]))
    (batch,) = batches_of(Npz(path=str(tmp_path / "one.npz"), array="load", columns=("load",)))
    assert (batch["load"].tolist(), batch[ROW].tolist()) == ([1, 2, 3], [1, 2, 3])


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([{"a": 1}], dtype=object), "Object arrays cannot be loaded"),
        (np.array(["a", "b"]), "wanted numbers"),
        (np.zeros((2, 2, 2)), "of shape"),
        (np.zeros((2, 1_100)), "at most 1024 columns"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_with_its_file(tmp_path: Path, array: object, told: str) -> None:
    np.savez(tmp_path / "odd.npz", x=array)  # type: ignore[arg-type]  # any of these may stand in a file
    (batch,) = batches_of(Npz(path=str(tmp_path / "odd.npz"), array="x"))
    (refused,) = batch.rejected
    assert (batch.rows, refused.row, refused.reason) == (0, 0, "wrong_format")
    assert told in refused.detail


def test_an_array_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.zeros((2, 2)), test=np.zeros((2, 2)))
    (batch,) = batches_of(Npz(path=str(tmp_path / "a.npz"), array="trian"))
    assert batch.rejected[0].detail == "no array 'trian', wanted one of: train, test"


def test_a_lone_array_and_other_files_are_refused_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    (tmp_path / "b.npy").write_bytes(b"nothing of the kind")
    np.savez(tmp_path / "c.npz", x=np.zeros((2, 2)))
    batches = batches_of(Npz(path=str(tmp_path / "*"), array="x"))
    assert [item.reason for batch in batches for item in batch.rejected] == ["wrong_format", "wrong_format"]
    assert sum(batch.rows for batch in batches) == 2


def test_an_array_that_unpacks_to_more_than_fits_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.sources.npz.MAX_BYTES", 1_000)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((1_000, 10)))
    (batch,) = batches_of(Npz(path=str(tmp_path / "bomb.npz"), array="x"))
    assert "an array of 80,128 bytes, wanted at most 1,000" in batch.rejected[0].detail


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)))
    (batch,) = batches_of(Npz(path=str(tmp_path / "a.npz"), array="x", columns=("a", "b")))
    assert batch.rejected[0].reason == "wrong_format"
    with pytest.raises(ValueError, match="twice"):
        Npz(path="a.npz", array="x", columns=("a", "a"))


def test_a_closed_source_is_not_read() -> None:
    with pytest.raises(DataError):
        Npz(path="a.npz", array="x").read(0.0)


def test_a_damaged_member_is_refused_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(4_000.0).reshape(-1, 2))
    whole = (tmp_path / "a.npz").read_bytes()
    middle = len(whole) // 2
    (tmp_path / "a.npz").write_bytes(whole[:middle] + b"\xff" * 64 + whole[middle + 64 :])
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 2)))
    batches = batches_of(Npz(path=str(tmp_path / "*.npz"), array="x"))
    assert [item.file for batch in batches for item in batch.rejected] == [str(tmp_path / "a.npz")]
    assert sum(batch.rows for batch in batches) == 3
