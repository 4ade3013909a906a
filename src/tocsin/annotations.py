"""What people know of the telemetry: labels in a column, incident windows, or an array beside the data."""

from __future__ import annotations

import csv
import gzip
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin.config import LabelsConfig
from tocsin.errors import DataError, SchemaError, did_you_mean
from tocsin.records import CLASS, LABEL, ROW, Batch, Column, Times
from tocsin.schema import MISSING, TIME_PROBLEMS, parse_times

KEEP = "_keep"
"""Of a labelled raw batch: whether the row is wanted at all."""
WINDOWS_LIMIT = 1_000_000
ANOMALY, NORMAL, UNKNOWN = 1, 0, -1

_UNKNOWN_WORDS = frozenset(word.lower() for word in MISSING)
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
"""A whole number as a column of floats writes it."""


@dataclass(frozen=True, slots=True)
class Window:
    """One incident: start and end in UTC microseconds, both inclusive; entity "" means every entity."""

    start: int
    end: int
    entity: str = ""
    name: str = "anomaly"


class Labeller(ABC):
    """Tells what is known of the rows of one source, batch after batch."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Mapping[str, Column]:
        """Raw rows -> `_label` and `_class`, aligned with them, and perhaps `_keep`."""

    def finish(self) -> None:  # noqa: B027  # most labels have nothing to say at the end
        """Called once the source has ended, to say what cannot be right."""


class ColumnLabeller(Labeller):
    """Labels from a column of the raw rows: normal values, values to leave out, and everything else.

    A missing value is unknown, unless the config calls it normal.
    """

    def __init__(self, labels: LabelsConfig) -> None:
        self._column = labels.column or ""
        self._normal = frozenset(_text(value).lower() for value in labels.normal)
        self._ignore = frozenset(_text(value).lower() for value in labels.ignore)

    def __call__(self, batch: Batch) -> Mapping[str, Column]:
        """The labels of these rows.

        Raises
        ------
        SchemaError
            If the column is absent.
        """
        if self._column not in batch:
            there = [name for name in batch if not name.startswith("_")]
            raise SchemaError(
                "labels.column",
                f'no column "{self._column}"',
                f"one of those present: {', '.join(there[:50])}",
                did_you_mean(self._column, there),
            )
        texts = [_text(value) for value in batch[self._column].tolist()]
        known = {text: self._known(text) for text in set(texts)}
        classes = np.empty(len(texts), dtype=object)
        classes[:] = [known[text].name for text in texts]
        return {
            LABEL: np.array([known[text].label for text in texts], dtype=np.int8),
            CLASS: classes,
            KEEP: np.array([known[text].keep for text in texts], dtype=bool),
        }

    def _known(self, text: str) -> _Known:
        word = text.lower()
        missing = word in _UNKNOWN_WORDS
        label = NORMAL if word in self._normal else UNKNOWN if missing else ANOMALY
        return _Known(label, "" if not text or label == UNKNOWN else text, word not in self._ignore)


class _Known(NamedTuple):
    label: int
    name: str
    keep: bool


def _text(value: object) -> str:
    """A label as text, the same whether its column was read as text, numbers or booleans; "" = missing."""
    if value is None or value != value:  # noqa: PLR0124  # NaN of any type
        return ""
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


class ArrayLabeller(Labeller):
    """Labels from a file with one 0 or 1 per row, in the order of the source.

    Rows that the source could not read still have their place in the array.

    Parameters
    ----------
    path
        Text, `.npy` or `.npz`.
    key
        The array's name in a `.npz`.
    """

    def __init__(self, path: Path, key: str | None) -> None:
        self._where = f"labels.array {path}"
        self._values = _read_array(path, key, self._where)
        self._done = 0

    def __call__(self, batch: Batch) -> Mapping[str, Column]:
        """The labels of these rows.

        Raises
        ------
        DataError
            If there are more rows than labels, or a file was refused: nobody knows how many rows it had.
        """
        if refused := [item.file for item in batch.rejected if not item.row]:
            hint = "repair the file, or take it and its labels away"
            raise DataError(self._where, f"a refused file ({refused[0]})", "every file whole, to count its rows", hint)
        lost = np.array([item.row for item in batch.rejected], dtype=np.int64)
        rows = np.asarray(batch[ROW])
        index = self._done + np.arange(len(rows)) + np.searchsorted(np.sort(lost), rows)
        self._done += len(rows) + len(lost)
        if self._done > len(self._values):
            raise self._misfit(f"at least {self._done}")
        found = self._values[index]
        return {LABEL: found, CLASS: np.where(found == ANOMALY, "anomaly", "normal").astype(object)}

    def finish(self) -> None:
        """All labels are used up.

        Raises
        ------
        DataError
            If some are left over.
        """
        if self._done < len(self._values):
            raise self._misfit(str(self._done))

    def _misfit(self, wanted: str) -> DataError:
        hint = "give the array that belongs to these rows"
        return DataError(self._where, f"{len(self._values)} labels", f"{wanted}, one per row", hint)


def _read_array(path: Path, key: str | None, where: str) -> NDArray[np.int8]:
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


def read_windows(path: Path, series: str | None, timezone: str | None = None) -> tuple[Window, ...]:
    """Incident windows from a file.

    JSON: a list of `[start, end]` pairs or of mappings with start, end and optional entity and name; or a mapping
    from series to such lists (the Numenta benchmark's form). All other text is CSV: columns start, end and optional
    entity (or node) and name (or event), in letters of either case; with a series, the windows of that entity alone,
    for telemetry that is all its own. Times are written as a schema's times may be; those without an offset are in
    `timezone`.

    Raises
    ------
    DataError
        If the file holds something else, or a window ends before it starts.
    """
    where = f"labels.windows {path}"
    try:
        text = path.read_text("utf-8-sig")
        is_json = text.lstrip()[:1] in ("[", "{")
        entries = (_json_windows if is_json else _csv_windows)(text, series, where)
        parts = [_parts(entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(where, f"no readable windows ({error!r})", "JSON or CSV with start and end times") from error
    if len(parts) > WINDOWS_LIMIT:
        raise DataError(where, f"{len(parts)} windows", f"at most {WINDOWS_LIMIT}")
    raw = np.empty(2 * len(parts), dtype=object)
    raw[:] = [*(part[0] for part in parts), *(part[1] for part in parts)]
    times, problems = parse_times(raw, timezone)
    for row in np.flatnonzero(problems != "")[:1].tolist():
        number = row % len(parts) + 1
        raise DataError(where, f"window {number} with {raw[row]!r} ({problems[row]})", TIME_PROBLEMS[problems[row]])
    starts, ends = times[: len(parts)].tolist(), times[len(parts) :].tolist()
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        if end < start:
            raise DataError(where, f"window {number}, which ends before it starts", "start and end in this order")
    return tuple(Window(start, end, *part[2:]) for start, end, part in zip(starts, ends, parts, strict=True))


def _json_windows(text: str, series: str | None, where: str) -> Sequence[Any]:
    document = orjson.loads(text)
    if isinstance(document, dict):
        if series not in document:
            hint = did_you_mean(series or "", document) or "name one as labels.series"
            raise DataError(where, f"series {series!r}", f"one of {len(document)} series in the file", hint)
        document = document[series]
    if not isinstance(document, list):
        raise TypeError(f"a {type(document).__name__}, wanted a list of windows")
    return document


def _csv_windows(text: str, series: str | None, where: str) -> list[dict[str, str]]:
    reader = csv.DictReader(StringIO(text, newline=""))
    names = [str(name).strip().lower() for name in reader.fieldnames or ()]
    if not {"start", "end"} <= set(names):
        raise DataError(where, f"columns {', '.join(names) or '(none)'}", "start and end among them")
    rows = [{str(key).strip().lower(): value for key, value in row.items()} for row in reader]
    windows = [
        {
            "start": row["start"],
            "end": row["end"],
            "entity": row.get("entity") or row.get("node") or "",
            "name": row.get("name") or row.get("event") or "",
        }
        for row in rows
    ]
    if series is None:
        return windows
    entities = {window["entity"] for window in windows}
    if series not in entities:
        hint = did_you_mean(series, entities)
        raise DataError(where, f"series {series!r}", f"one of: {', '.join(sorted(entities))}", hint)
    return [{**window, "entity": ""} for window in windows if window["entity"] == series]


def _parts(entry: Any) -> tuple[Any, Any, str, str]:
    if isinstance(entry, Mapping):
        entity = entry.get("entity")
        return entry["start"], entry["end"], "" if entity is None else str(entity), str(entry.get("name") or "anomaly")
    start, end = entry
    return start, end, "", "anomaly"


def label_windows(batch: Batch, windows: Sequence[Window], times: Times, entities: Column | None) -> Batch:
    """The batch with `_label` and `_class`: anomaly inside a window of its entity, normal elsewhere.

    Raises
    ------
    DataError
        If a window names an entity and the rows have none.
    """
    if entities is None and (named := next((window for window in windows if window.entity), None)):
        hint = "set schema.entity to the field that holds it"
        raise DataError("labels.windows", f'a window of entity "{named.entity}"', "windows without entity", hint)
    labels = np.zeros(batch.rows, dtype=np.int8)
    classes = np.full(batch.rows, "normal", dtype=object)
    for window in _relevant(windows, times):
        inside = (times >= window.start) & (times <= window.end)
        if window.entity:
            inside &= entities == window.entity
        labels[inside] = ANOMALY
        classes[inside] = window.name
    return batch.replace({LABEL: labels, CLASS: classes})


def _relevant(windows: Sequence[Window], times: Times) -> Iterator[Window]:
    if times.size:
        first, last = times.min(), times.max()
        yield from (window for window in windows if window.end >= first and window.start <= last)
