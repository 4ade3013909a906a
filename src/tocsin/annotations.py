"""What people know of the telemetry: labels in a column, incident windows, or an array beside the data."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin.config import LabelsConfig
from tocsin.errors import DataError, SchemaError, did_you_mean
from tocsin.records import CLASS, LABEL, ROW, SECOND, Batch, Column, Times

KEEP = "_keep"
"""Of a labelled raw batch: whether the row is wanted at all."""
WINDOWS_LIMIT = 1_000_000
ANOMALY, NORMAL, UNKNOWN = 1, 0, -1

Labeller = Callable[[Batch], Mapping[str, Column]]


@dataclass(frozen=True, slots=True)
class Window:
    """One incident: start and end in UTC microseconds, both inclusive; entity "" means every entity."""

    start: int
    end: int
    entity: str = ""
    name: str = "anomaly"


def column_labeller(labels: LabelsConfig) -> Labeller:
    """Labels from a column of the raw rows: normal values, values to leave out, and everything else."""
    column = labels.column or ""
    normal = {value.strip().lower() for value in labels.normal}
    ignore = {value.strip().lower() for value in labels.ignore}

    def label(batch: Batch) -> Mapping[str, Column]:
        if column not in batch:
            there = [name for name in batch if not name.startswith("_")]
            raise SchemaError(
                "labels.column",
                f'no column "{column}"',
                f"one of those present: {', '.join(there[:50])}",
                did_you_mean(column, there),
            )
        names, positions = np.unique(batch[column].astype(str), return_inverse=True)
        words = [name.strip().lower() for name in names.tolist()]
        kinds = np.array([_kind(word, normal) for word in words], dtype=np.int8)
        wanted = np.array([word not in ignore for word in words])
        return {
            LABEL: kinds[positions],
            CLASS: names.astype(object)[positions],
            KEEP: wanted[positions],
        }

    return label


def _kind(word: str, normal: set[str]) -> int:
    if word in ("", "none", "nan"):
        return UNKNOWN
    return NORMAL if word in normal else ANOMALY


def array_labeller(path: Path, key: str | None) -> Labeller:
    """Labels from a file with one 0 or 1 per row, in the order of the source.

    Rows that the source could not read still have their place in the array.
    """
    values = _read_array(path, key)
    done = 0

    def label(batch: Batch) -> Mapping[str, Column]:
        nonlocal done
        lost = np.array([item.row for item in batch.rejected if item.row], dtype=np.int64)
        rows = np.asarray(batch[ROW])
        index = done + np.arange(len(rows)) + np.searchsorted(np.sort(lost), rows)
        done += len(rows) + len(lost)
        if done > len(values):
            hint = "give the array that belongs to these rows"
            raise DataError(str(path), f"{len(values)} labels", f"at least {done}, one per row", hint)
        found = values[index]
        return {LABEL: found, CLASS: np.where(found == ANOMALY, "anomaly", "normal").astype(object)}

    return label


def _read_array(path: Path, key: str | None) -> NDArray[np.int8]:
    where = f"labels.array {path}"
    try:
        if path.suffix in (".npy", ".npz"):
            loaded = np.load(path, allow_pickle=False)
            if path.suffix == ".npz":
                if key is None or key not in loaded:
                    raise DataError(where, f"key {key!r}", f"one of: {', '.join(loaded)}", "name it as labels.series")
                loaded = loaded[key]
        else:
            with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
                loaded = np.array([float(line) for line in file if line.strip()])
    except (OSError, ValueError) as error:
        raise DataError(where, f"no readable array ({error})", "text, .npy or .npz with one 0 or 1 per row") from error
    if loaded.ndim != 1 or not np.isin(loaded, (0, 1)).all():
        raise DataError(where, f"shape {loaded.shape} with other values than 0 and 1", "one 0 or 1 per row")
    return np.asarray(loaded, dtype=np.int8)


def read_windows(path: Path, series: str | None) -> tuple[Window, ...]:
    """Incident windows from a file.

    JSON: a list of `[start, end]` pairs or of mappings with start, end and optional entity and name; or a mapping
    from series to such lists (the Numenta benchmark's form). CSV: columns start, end and optional entity, name.

    Raises
    ------
    DataError
        If the file holds something else, or a window ends before it starts.
    """
    where = f"labels.windows {path}"
    try:
        entries = _csv_windows(path) if path.suffix == ".csv" else _json_windows(path, series, where)
        windows = tuple(_window(entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(where, f"no readable windows ({error!r})", "JSON or CSV with start and end times") from error
    if len(windows) > WINDOWS_LIMIT:
        raise DataError(where, f"{len(windows)} windows", f"at most {WINDOWS_LIMIT}")
    return windows


def _json_windows(path: Path, series: str | None, where: str) -> Sequence[Any]:
    document = orjson.loads(path.read_bytes())
    if isinstance(document, dict):
        if series not in document:
            hint = did_you_mean(series or "", document) or "name one as labels.series"
            raise DataError(where, f"series {series!r}", f"one of {len(document)} series in the file", hint)
        document = document[series]
    if not isinstance(document, list):
        raise TypeError(f"a {type(document).__name__}, wanted a list of windows")
    return document


def _csv_windows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _window(entry: Any) -> Window:
    if isinstance(entry, Mapping):
        start, end = _moment(entry["start"]), _moment(entry["end"])
        window = Window(start, end, str(entry.get("entity") or ""), str(entry.get("name") or "anomaly"))
    else:
        start, end = entry
        window = Window(_moment(start), _moment(end))
    if window.end < window.start:
        raise ValueError(f"a window that ends before it starts: {entry}")
    return window


def _moment(value: object) -> int:
    if isinstance(value, int | float):
        return round(value * SECOND)
    moment = datetime.fromisoformat(str(value).strip())
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * SECOND)


def label_windows(batch: Batch, windows: Sequence[Window], times: Times, entities: Column | None) -> Batch:
    """The batch with `_label` and `_class`: anomaly inside a window of its entity, normal elsewhere."""
    labels = np.zeros(batch.rows, dtype=np.int8)
    classes = np.full(batch.rows, "normal", dtype=object)
    for window in _relevant(windows, times):
        inside = (times >= window.start) & (times <= window.end)
        if window.entity and entities is not None:
            inside &= entities == window.entity
        labels[inside] = ANOMALY
        classes[inside] = window.name
    return batch.replace({LABEL: labels, CLASS: classes})


def _relevant(windows: Sequence[Window], times: Times) -> Iterator[Window]:
    if times.size:
        first, last = times.min(), times.max()
        yield from (window for window in windows if window.end >= first and window.start <= last)
