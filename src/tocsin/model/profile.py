"""What the rows that a model learnt from were like, field by field: its drift reference.

Rows, entities and the span are among its `TrainingRows` already. Fields are told as the schema has them, before any
feature: what a feature learnt would hide that a unit has changed. No name and no single row is kept.

Source of the index: Yurdakul, Statistical Properties of Population Stability Index, Western Michigan University 2018:
where nothing has changed, the index of B bins is chi-squared with B - 1 degrees of freedom times 1/n + 1/m.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array, checked
from tocsin.calibration import codes_of
from tocsin.records import DAY, Batch, Column, Matrix, Vector
from tocsin.schema import Schema

PREFIX = "profile."
MOST_FIELDS = 256
"""Fields that are told, in the order of the schema."""
GRID = 101
"""Quantiles of a field, from the lowest value to the highest."""
BINS = 10
SMALLEST_SHARE = 0.005
"""Of a bin: half a step of the grid, so that an empty bin has a logarithm."""
CHUNKS = 20
"""Spans of equal length by which it is judged how far values depend on each other."""
CHI_SQUARED = 27.88
"""Of 9 degrees of freedom, reached by one unchanged field of a thousand."""
MONDAY = 4 * DAY
"""1970-01-05."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Arrays about d numeric fields.

    Parameters
    ----------
    quantiles
        Of each field, (`GRID`, d); NaN where it had no value. Counters by what they grow by.
    missing
        Share of rows without a value, (d,).
    independent
        How many independent values tell as much as those of the field do, (d,): rows of one host, or of one hour, say
        less than as many rows of all.
    weekdays
        Rows of each day of the week in UTC, from Monday, (7,); zeros without a clock.
    rang
        Normal rows of an even sample that the fitted model rings for, and the size of the sample, (2,).
    """

    quantiles: Matrix
    missing: Vector
    independent: Vector
    weekdays: NDArray[np.int64]
    rang: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Batch, schema: Schema, rang: tuple[int, int]) -> Self:
        """The profile of typed rows, in time order where there is a clock."""
        names = described(schema)
        codes = codes_of(rows[schema.entity] if schema.entity else None, rows.rows)
        columns = [_values(rows[name], codes, counted=schema.fields[name].kind == "counter") for name in names]
        times = rows[schema.time] if schema.time else np.empty(0, dtype=np.int64)
        groups = [codes] if schema.entity else []
        if schema.time and rows.rows:
            groups.append((times - times[0]) * CHUNKS // (times[-1] - times[0] + 1))
        return cls(
            np.array([_quantiles(column) for column in columns]).reshape(len(names), GRID).T,
            np.array([np.isnan(column).mean() if len(column) else 1.0 for column in columns]),
            np.array([_independent(column, groups) for column in columns]),
            np.bincount((times - MONDAY) // DAY % 7, minlength=7).astype(np.int64),
            np.array(rang, dtype=np.int64),
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], width: int) -> Self:
        """The profile that `state` wrote, of `width` fields; other names are left alone.

        Raises
        ------
        IntegrityError
            If an array is missing or cannot be what it is named after.
        """
        wanted = {
            "quantiles": Array((GRID, width), missing=True),
            "missing": Array((width,), least=0),
            "independent": Array((width,), least=0),
            "weekdays": Array((7,), np.int64, 0),
            "rang": Array((2,), np.int64, 0),
        }
        own = {name: arrays[PREFIX + name] for name in wanted if PREFIX + name in arrays}
        return cls(**checked(own, wanted, PREFIX.removesuffix(".")))

    def shift(self, other: Profile, field: int, place: int) -> float:
        """The population stability index of a field of `other` against one of this, in bins of this one's deciles."""
        mine, others = self.quantiles[:, field], other.quantiles[:, place]
        if np.isnan(mine).any() or np.isnan(others).any():
            return 0.0  # what is gone is told by the missing shares
        edges = np.unique(mine[BINS : GRID - 1 : BINS])
        expected, found = _shares(mine, edges), _shares(others, edges)
        return float(((found - expected) * np.log(found / expected)).sum())

    def chance(self, other: Profile, field: int, place: int) -> float:
        """The index that so few independent values reach where nothing has changed, once in a thousand fields."""
        counts = (self.independent[field], other.independent[place])
        return float(CHI_SQUARED * sum(1 / max(count, 1.0) for count in counts))


def described(schema: Schema) -> tuple[str, ...]:
    """The fields that a profile tells of, in its order: that of a manifest, which a config may have otherwise."""
    return tuple(sorted(schema.numeric))[:MOST_FIELDS]


def _values(column: Vector, codes: NDArray[np.intp], *, counted: bool) -> Vector:
    """A field as it is, or what a counter grew by since the entity's row before."""
    if not counted:
        return np.asarray(column, dtype=np.float64)
    order = np.argsort(codes, kind="stable")
    grown = np.diff(column[order], prepend=np.nan)
    grown[np.diff(codes[order], prepend=-1) != 0] = np.nan
    values = np.empty(len(column))
    values[order] = grown
    return values


def _quantiles(column: Vector) -> Vector:
    """Values that occurred, so that what often occurs is seen to."""
    present = column[~np.isnan(column)]
    if not len(present):
        return np.full(GRID, np.nan)
    return np.asarray(np.quantile(present, np.linspace(0, 1, GRID), method="inverted_cdf"))


def _independent(column: Vector, groups: list[Column]) -> float:
    """From how much further the means of groups lie apart than those of as many independent values would."""
    there = ~np.isnan(column)
    _, ranks = np.unique(column[there], return_inverse=True)
    fewest = float(len(ranks))
    if not len(ranks) or not ranks.any():
        return fewest
    for group in groups:
        _, codes, sizes = np.unique(group[there], return_inverse=True, return_counts=True)
        means = np.bincount(codes, ranks) / sizes
        if len(means) > 1:
            between = np.average((means - ranks.mean()) ** 2, weights=sizes)
            weight = len(ranks) ** 2 / float((sizes**2).sum())  # groups of equal size that tell as much
            fewest = min(fewest, weight * ranks.var() / max(between, 1e-12))
    return max(1.0, fewest)


def _shares(grid: Vector, edges: Vector) -> Vector:
    counts = np.diff(np.concatenate(([0], np.searchsorted(grid, edges, side="right"), [GRID])))
    return np.maximum(counts / GRID, SMALLEST_SHARE)
