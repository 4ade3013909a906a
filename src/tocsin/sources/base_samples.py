"""From the answers to range queries to rows: one per entity and instant, one column per query.

Source: Prometheus, "HTTP API", Range queries and Range vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin.errors import LimitExceeded
from tocsin.records import FILE, ROW, Batch, Column, Mask, Rejected, Vector

MAX_ENTITIES = 9_999
"""Entities at one time: their number within a row's number has four digits."""
PLACES = 10_000
"""A row's number is its instant in seconds times this, plus 1 for the first entity, 2 for the second, ..."""
TIME = "timestamp"
_MAX_RAW = 1_024

Places = NDArray[np.int64]


class Malformed(Exception):
    """An answer that the documented form does not allow."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants that are asked for: `steps` of them from `first` on, in seconds since 1970."""

    first: int
    step: int
    steps: int

    @property
    def last(self) -> int:
        """The latest of them."""
        return self.first + self.step * (self.steps - 1)


@dataclass(frozen=True, slots=True)
class Samples:
    """What one query answered; `series`, `at` and `values` have an element for each of the n samples."""

    labels: tuple[Mapping[str, str], ...]
    """Of each series."""
    series: Places
    """Whose sample it is."""
    at: Places
    """Its place in the grid."""
    values: Vector
    """NaN where the answer says so."""


def read_samples(data: Any, grid: Grid) -> Samples:
    """The `data` of an answer, without what lies before or behind the grid.

    Raises
    ------
    Malformed
        If it is no matrix of numbers at the instants of the grid.
    """
    try:
        if data["resultType"] != "matrix":
            raise Malformed(f"a result of type {data['resultType']!r}, wanted a matrix")
        return _samples(data["result"], grid)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error


def _samples(result: list[Any], grid: Grid) -> Samples:
    if any("histograms" in one for one in result):
        raise Malformed("native histograms, wanted numbers; take histogram_quantile(...) or histogram_count(...)")
    pairs = [pair for one in result for pair in one["values"]]
    times = np.array([float(moment) for moment, _ in pairs])
    values = np.array([float(text) for _, text in pairs])
    labels = tuple({str(name): str(text) for name, text in one["metric"].items()} for one in result)
    series = np.repeat(np.arange(len(result)), [len(one["values"]) for one in result])
    inside = (times >= grid.first) & (times <= grid.last)
    places = (times[inside] - grid.first) / grid.step
    if (places != np.rint(places)).any():
        raise Malformed("samples at other instants than those asked for")
    return Samples(labels, series[inside], places.astype(np.int64), values[inside])


def batches(  # noqa: PLR0913  # two of what, four of how
    answers: Mapping[str, Samples], grid: Grid, *, label: str | None, file: str, behind: int, rows: int
) -> Iterator[Batch]:
    """The rows of one grid behind a row, ordered by time and entity, at most `rows` of them at once.

    An entity has a row wherever any query has a sample of it; what the others lack is NaN. Where a query has two
    samples for one row, or samples of no entity, the row is refused.

    Raises
    ------
    LimitExceeded
        If there are more than 9,999 entities.
    """
    entities = sorted({_entity(one, label) for samples in answers.values() for one in samples.labels})
    if len(entities) > MAX_ENTITIES:
        got, hint = f'{len(entities):,} values of the label "{label}"', "select or aggregate in the queries"
        raise LimitExceeded(file, got, f"at most {MAX_ENTITIES:,}", hint)
    cells = {name: _cells(samples, entities, label) for name, samples in answers.items()}
    there = np.unique(np.concatenate(list(cells.values())))
    table = _Table(there, grid, entities, label, file)
    for name, samples in answers.items():
        table.add(name, samples, np.searchsorted(there, cells[name]))
    fresh = np.flatnonzero(table.row > behind)
    for start in range(0, len(fresh), rows):
        yield table.batch(fresh[start : start + rows])


def _entity(labels: Mapping[str, str], label: str | None) -> str:
    return labels.get(label, "") if label else ""


def _cells(samples: Samples, entities: list[str], label: str | None) -> Places:
    """One number for each pair of instant and entity, ascending with both."""
    number = {entity: place for place, entity in enumerate(entities)}
    whose = np.array([number[_entity(one, label)] for one in samples.labels], dtype=np.int64)
    return samples.at * len(entities) + whose[samples.series]


class _Table:
    """The rows of one grid, column after column."""

    def __init__(self, cells: Places, grid: Grid, entities: list[str], label: str | None, file: str) -> None:
        at, self._whose = np.divmod(cells, max(len(entities), 1))
        self._seconds = grid.first + at * grid.step
        self.row: Places = self._seconds * PLACES + (np.arange(len(at)) - np.searchsorted(at, at)) + 1
        self._entities = entities
        self._label = label
        self._file = file
        self._columns: dict[str, Column] = {}
        self._refused: dict[int, Rejected] = {}

    def add(self, name: str, samples: Samples, places: Places) -> None:
        column = np.full(len(self.row), np.nan)
        column[places] = samples.values
        self._columns[name] = column
        how_many = np.bincount(places, minlength=len(column))
        wrong = np.flatnonzero(self._is_wrong(how_many))
        order = np.argsort(places, kind="stable")
        starts = np.searchsorted(places[order], wrong)
        for place, start in zip(wrong.tolist(), starts.tolist(), strict=True):
            shown = [samples.labels[one] for one in samples.series[order[start : start + how_many[place]][:2]].tolist()]
            self._refused.setdefault(place, self._rejected(name, place, int(how_many[place]), shown))

    def batch(self, places: NDArray[np.intp]) -> Batch:
        rejected = [self._refused[place] for place in places.tolist() if place in self._refused]
        kept = places[[place not in self._refused for place in places.tolist()]]
        columns: dict[str, Column] = {TIME: self._seconds[kept].astype("datetime64[s]")}
        if self._label:
            columns[self._label] = np.array(self._entities, dtype=object)[self._whose[kept]]
        columns |= {name: column[kept] for name, column in self._columns.items()}
        return Batch(
            {**columns, FILE: np.full(len(kept), self._file, dtype=object), ROW: self.row[kept]},
            rejected,
        )

    def _is_wrong(self, how_many: Places) -> Mask:
        nobody = self._label is not None and self._entities[:1] == [""]
        return np.asarray((how_many > 1) | ((how_many > 0) & (self._whose == 0) & nobody))

    def _rejected(self, name: str, place: int, series: int, shown: list[Mapping[str, str]]) -> Rejected:
        entity = self._entities[self._whose[place]]
        moment = datetime.fromtimestamp(int(self._seconds[place]), UTC).isoformat()
        advice = f"aggregate: sum by ({self._label}) (...)" if self._label else "aggregate: sum(...), or name an entity"
        if self._label and not entity:
            reason, got = "no_entity", f'a series without the label "{self._label}"'
        else:
            whose = f' of {self._label}="{entity}"' if self._label else ""
            reason, got = "ambiguous", f"{series} series{whose}, wanted one"
        raw = orjson.dumps(shown).decode()[:_MAX_RAW]
        return Rejected(self._file, int(self.row[place]), reason, f"{name} at {moment}: {got}; {advice}", raw)
