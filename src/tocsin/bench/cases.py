"""What is learnt from and judged on, as configs: the sets of the field that this machine has, and a user's own files.

One preset stands for each kind of data and no parameter is set per set: what differs is where the files are, how far
apart rows without a clock lie, and how much of a file comes first.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import yaml

from tocsin.config import Config, load, parse
from tocsin.errors import DataError, did_you_mean, visible

LABELS = ("label", "is_anomaly", "anomaly", "outlier", "class", "attack")
"""Columns of a user's files that are taken for the label, in any case of letters."""
_TIMES = ("timestamp", "time", "date", "datetime", "ts")
_SPLIT_IN_NAME = re.compile(r"_tr_(\d+)_")
"""Names of TSB-AD say how many rows come before the first that is judged."""
_FIRST_PART = {"train": 0.2, "calibration": 0.1}


@dataclass(frozen=True, slots=True)
class Case:
    """One model to learn, and the rows to judge it on."""

    set: str
    name: str
    values: Mapping[str, Any] | Path
    """What a config says, or the config's file."""
    normal_only: bool = False
    """Learn from rows that are labelled normal; otherwise from all, and be told no label."""
    refused: str = ""
    """Why nothing can be made of the file."""

    def config(self, folder: Path) -> Config:
        """The case as a config that keeps what it writes in a folder.

        Raises
        ------
        DataError
            If nothing can be made of the file.
        ConfigError
            If there is no valid config in it.
        """
        if self.refused:
            raise DataError(self.name, self.refused, "a file with rows and one label for each")
        if isinstance(self.values, Path):
            return load(self.values)
        values = {"version": 1, "name": "bench", **self.values}
        return parse(yaml.safe_dump(values), folder / "tocsin.yaml")


def named(names: tuple[str, ...], data: Path) -> Iterator[Case]:
    """The cases of named sets in a folder of data, in order; every set that is there if none is named.

    Raises
    ------
    DataError
        If there is no set of that name, or the folder does not hold it.
    """
    data = data.resolve()
    there = [name for name in SETS if (data / _FOLDERS.get(name, name)).is_dir()]
    for name in names or there:
        if name not in SETS:
            raise DataError("bench", f'no set "{name}"', f"one of: {', '.join(SETS)}", did_you_mean(name, SETS))
        if name not in there:
            hint = "set TOCSIN_DATA to the folder that holds it, or give files of your own with --data"
            raise DataError("bench", f"no folder {data / _FOLDERS.get(name, name)}", f"the set {name}", hint)
        yield from SETS[name](data / _FOLDERS.get(name, name))


def own(folder: Path) -> Iterator[Case]:
    """A case for each config and each file with labels in a folder of a user.

    ``*.yaml``            a config with labels
    ``*.npz``             arrays `X` and `y`, or `train`, `test` and `test_label`
    ``*.csv``, ``.csv.gz``  a header, and a column that is called as one of `LABELS`

    Raises
    ------
    DataError
        If nothing of the kind is there.
    """
    if not folder.is_dir():
        raise DataError(f"bench {folder}", "no folder", "a folder of files with labels")
    folder = folder.resolve()
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    cases = [case for path in found if (case := _whole(path, folder)) is not None]
    if not cases:
        wanted = f"configs (*.yaml), arrays (*.npz), or *.csv with a column {', '.join(LABELS)}"
        raise DataError(f"bench {folder}", "no file with labels", wanted)
    yield from cases


def _whole(path: Path, folder: Path) -> Case | None:
    """A file that is broken is a case without figures: it stops none of the others."""
    name = visible(str(path.relative_to(folder)))
    try:
        return _of_file(path, name, folder)
    except (OSError, EOFError, BadZipFile, zlib.error, UnicodeDecodeError, csv.Error) as error:
        return Case(folder.name, name, {}, refused=f"a file that cannot be read ({error})")


def _of_file(path: Path, name: str, folder: Path) -> Case | None:
    if path.suffix in (".yaml", ".yml"):
        return Case(folder.name, name, path)
    if path.suffix == ".npz":
        with ZipFile(path) as arrays:
            held = {array.removesuffix(".npy") for array in arrays.namelist()}
        if held >= {"X", "y"}:
            return Case(folder.name, name, _rows(path))
        return Case(folder.name, name, _metrics(path, 60)) if held >= {"train", "test", "test_label"} else None
    return _of_csv(path, name, folder.name) if path.name.endswith((".csv", ".csv.gz")) else None


def _of_csv(path: Path, name: str, of: str) -> Case | None:
    """A series if it has a time or says in its name where its first part ends; rows of no order otherwise."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig") as file:
        line = file.readline()
        rows = sum(1 for _ in file)
    delimiter = max(",;\t", key=line.count)
    header = [word.strip() for word in next(csv.reader([line], delimiter=delimiter), [])]
    columns = {word.lower(): word for word in header}
    known = [columns[word] for word in LABELS if word in columns]
    if not known:
        return None
    if len(known) > 1:  # the others would tell the label
        return Case(of, name, {}, refused=f"columns that may all be the label: {', '.join(known)}")
    label, source = known[0], {"type": "csv", "path": str(path), "delimiter": delimiter}
    labels = {"column": label, "normal": ["0", "0.0", "normal", "benign", "false"]}
    clock = next((columns[word] for word in _TIMES if word in columns), None)
    first = _SPLIT_IN_NAME.search(path.name)
    if clock is None and first is None:
        return Case(of, name, {"preset": "tabular", "source": source, "labels": labels})
    time = {"timestamp": {"aliases": [clock]} if clock else {"interval_s": 60}}
    share = min(int(first[1]) / max(rows, 1), 0.9) if first else sum(_FIRST_PART.values())
    return Case(
        of,
        name,
        {
            "preset": "hosts/metrics",
            "schema": {"fields": time},
            "source": source,
            "labels": labels,
            "split": {"train": share * 2 / 3, "calibration": share / 3},
        },
    )


def _rows(path: Path) -> dict[str, Any]:
    """Rows of no order, 70 % of them to learn from, spread over the file."""
    return {
        "preset": "tabular",
        "source": {"type": "npz", "path": str(path), "array": "X"},
        "labels": {"array": str(path), "series": "y"},
        "split": {"train": 0.5, "calibration": 0.2},
    }


def _metrics(path: Path, interval_s: int) -> dict[str, Any]:
    return {
        "preset": "hosts/metrics",
        "schema": {"fields": {"timestamp": {"interval_s": interval_s}}},
        "source": {"type": "npz", "path": str(path), "array": "train"},
        "test": {"array": "test"},
        "test_labels": {"array": str(path), "series": "test_label"},
    }


def _adbench(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("*.npz")):
        yield Case("adbench", path.stem, _rows(path))


def _smd(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("*.npz")):
        yield Case("smd", path.stem, _metrics(path, 60))


def _asd(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("*.npz")):
        yield Case("asd", path.stem, _metrics(path, 300))


def _jumpstarter(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "train").glob("*.csv.gz")):
        columns = [f"metric_{place}" for place in range(1, 20)]
        yield Case(
            "jumpstarter",
            path.name.removesuffix(".csv.gz"),
            {
                "preset": "hosts/metrics",
                "schema": {"fields": {"timestamp": {"interval_s": 60}}},
                "source": {"type": "csv", "path": str(path), "columns": columns},
                "test": {"path": str(folder / "test" / path.name)},
                "test_labels": {"array": str(folder / "test_label" / path.name)},
            },
        )


def _nab(folder: Path) -> Iterator[Case]:
    """The first 15 % of a series come before what is judged, as the benchmark has it."""
    for path in sorted((folder / "data").rglob("*.csv.gz")):
        series = str(path.relative_to(folder / "data")).removesuffix(".gz")
        yield Case(
            "nab",
            series,
            {
                "preset": "kpi",
                "source": {"type": "csv", "path": str(path)},
                "labels": {"windows": str(folder / "labels" / "combined_windows.json"), "series": series},
                "split": {"train": 0.1, "calibration": 0.05},
            },
        )


def _nsl_kdd(folder: Path) -> Iterator[Case]:
    for test in ("KDDTest+", "KDDTest-21"):
        values = {
            "preset": "flows/nsl_kdd",
            "source": {"path": str(folder / "KDDTrain+_20Percent.txt.gz")},
            "test": {"path": str(folder / f"{test}.txt.gz")},
        }
        yield Case("nsl_kdd", test, values, normal_only=True)


def _zeek(folder: Path) -> Iterator[Case]:
    days = [str(folder / f"{day}-zeek-mixed" / "data" / "conn.log.labeled.gz") for day in ("008", "010")]
    values = {
        "preset": "flows/zeek",
        "source": {"path": days[0]},
        "test": {"path": days[1]},
        "labels": {"column": "label", "normal": ["benign"], "ignore": ["background"]},
    }
    yield Case("zeek", "008 to 010", values, normal_only=True)


SETS: Mapping[str, Callable[[Path], Iterator[Case]]] = {
    "adbench": _adbench,
    "asd": _asd,
    "jumpstarter": _jumpstarter,
    "nab": _nab,
    "nsl_kdd": _nsl_kdd,
    "smd": _smd,
    "zeek": _zeek,
}
_FOLDERS = {"jumpstarter": "jumpstarter_d2", "zeek": "zeek_stratosphere"}
