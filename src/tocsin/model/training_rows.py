"""What a model remembers of its training rows: what is usual, a few typical rows, and enough to know a copy again.

The sketch keeps the smallest hashes of all rows. Rows whose hash lies below the largest of them are a fair sample of
any other rows, and a copy among those is found for certain.

Source: Beyer, Haas, Reinwald, Sismanis and Gemulla, On Synopses for Distinct-Value Estimation under Multiset
Operations, SIGMOD 2007 (k minimum values).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array, checked
from tocsin.errors import IntegrityError
from tocsin.kernel.run import MAX_TIME_US, FeatureMatrix
from tocsin.kernel.state import REPEATED
from tocsin.records import LABEL, Batch, Column, Mask, Matrix, Times, Vector

USUAL = (0.01, 0.99)
"""Quantiles of the training rows between which a value is usual."""
TYPICAL, CANDIDATES = 256, 320
"""Rows kept one by one: those that score lowest of so many, which stand evenly from the first to the last."""
SKETCH = 4_096

# 2^64 over the golden ratio, odd: multiplied by it, neighbouring numbers lie far apart (Knuth, TAOCP 3, 6.4).
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(29)

Hashes = NDArray[np.int64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """Arrays about the rows that a model learnt from, each of d features.

    Parameters
    ----------
    usual
        1st and 99th percentile, (2, d); NaN where training had no value.
    moments
        Mean and standard deviation of the prepared features, (2, d).
    typical
        Features of normal rows as they were computed, (k, d), NaN where missing; k is at most `TYPICAL`.
    sketch
        The smallest hashes of all rows, (k,), ascending, each once; k is at most `SKETCH`.
    counts
        Rows and entities (0: there is no such field), (2,).
    span
        Time of the first and the last row in UTC microseconds, (2,); (0,) without a clock.
    """

    usual: Matrix
    moments: Matrix
    typical: Matrix
    sketch: Hashes
    counts: NDArray[np.int64]
    span: NDArray[np.int64]

    @classmethod
    def of(
        cls, values: Matrix, prepared: Matrix, typical: Places, times: Times | None, entities: Column | None
    ) -> Self:
        """Remember rows.

        Parameters
        ----------
        values, prepared
            Features as they were computed and as the detector sees them, (n, d) each.
        typical
            Which rows are kept one by one.
        times, entities
            When they were and of whom, (n,), where the schema knows.
        """
        return cls(
            usual_ranges(values),
            np.stack((prepared.mean(axis=0), prepared.std(axis=0))),
            values[typical],
            np.unique(hashes(values))[:SKETCH],
            np.array([len(values), 0 if entities is None else len(set(entities.tolist()))], dtype=np.int64),
            np.array([] if times is None else [times.min(), times.max()], dtype=np.int64),
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], width: int) -> Self:
        """The rows of `width` features that `state` wrote.

        Raises
        ------
        IntegrityError
            If an array is missing or cannot be what it is named after.
        """
        wanted = {
            "usual": Array((2, width), missing=True),
            "moments": Array((2, width)),
            "typical": Array(("typical", width), missing=True),
            "sketch": Array(("sketch",), np.int64),
            "counts": Array((2,), np.int64, 0),
            "span": Array(("span",), np.int64, -MAX_TIME_US, MAX_TIME_US),
        }
        rows = cls(**checked(arrays, wanted, "training"))
        sound = {
            "typical": 0 < len(rows.typical) <= TYPICAL,
            "sketch": 0 < len(rows.sketch) <= SKETCH and bool((rows.sketch[1:] > rows.sketch[:-1]).all()),
            "span": len(rows.span) in (0, 2),
        }
        for name, holds in sound.items():
            if not holds:
                got = f"an array of shape {getattr(rows, name).shape}"
                raise IntegrityError(f"training.{name}", got, "what a model remembers of its training rows")
        return rows

    def sampled(self, values: Matrix) -> tuple[Mask, Mask]:
        """Which of other rows, (n, d), can be looked up here, and which are exact copies of a training row, (n,)."""
        found = hashes(values)
        whole = len(self.sketch) < SKETCH
        known = np.full(len(found), whole) | (found <= self.sketch[-1])
        return known, np.isin(found, self.sketch)


def presumed_normal(batch: Batch) -> Mask:
    """Rows that are not labelled as anomalies, (n,): known ones never become the new normal."""
    return np.asarray(batch[LABEL] != 1) if LABEL in batch else np.ones(batch.rows, dtype=bool)


def complete(matrix: FeatureMatrix, steps: int) -> Mask:
    """Rows of which a detector of so many steps can learn, (n,).

    A window that is not full yet is a value that is missing; a sequence that is not is no sequence.
    """
    return np.asarray(matrix.warm if steps > 1 else (matrix.marks & REPEATED) == 0)


def usual_ranges(values: Matrix) -> Matrix:
    """What is usual of each column of (n, d), (2, d): NaN where training had no value."""
    empty = np.isnan(values).all(axis=0)
    ranges = np.asarray(np.nanquantile(np.where(empty, 0.0, values), USUAL, axis=0))
    ranges[:, empty] = np.nan
    return ranges


def candidates(normal: Mask) -> Places:
    """Rows among which the typical ones are looked for: at most `CANDIDATES` of the normal ones, evenly spread."""
    rows = np.flatnonzero(normal) if normal.any() else np.arange(len(normal))
    return np.asarray(rows[np.unique(np.linspace(0, len(rows) - 1, CANDIDATES).astype(np.intp))])


def lowest(rows: Places, scores: Vector) -> Places:
    """Those `TYPICAL` of the rows that score lowest, in their own order."""
    return np.asarray(np.sort(rows[np.argsort(scores, kind="stable")[:TYPICAL]]))


def hashes(values: Matrix) -> Hashes:
    """One number for each row of (n, d), (n,): equal for equal rows, otherwise spread over all 64-bit numbers."""
    found = np.zeros(len(values), dtype=np.uint64)
    for column in values.T:
        plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one zero, one NaN
        found = (found ^ plain.view(np.uint64)) * _MIX
        found ^= found >> _FOLD
    return (found * _MIX).view(np.int64)
