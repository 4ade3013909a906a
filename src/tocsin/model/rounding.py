"""What it does to a model that its numbers are kept as float32: half the bytes, and scores that differ a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from tocsin.detectors.base import Detector
from tocsin.records import Mask, Matrix, Vector

_LEAST = 1e-12
"""Scores nearer to 0 are compared by their distance alone."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """A detector beside the one it was rounded from, on rows that neither has learnt from.

    Parameters
    ----------
    rows
        How many.
    largest, mean
        Relative difference of their scores.
    changed
        Share of the rows that one of them flags and the other does not.
    bytes_before, bytes_after
        Of the detector's arrays.
    """

    rows: int
    largest: float
    mean: float
    changed: float
    bytes_before: int
    bytes_after: int

    @classmethod
    def of(cls, exact: Detector, rounded: Detector, x: Matrix, flag: Callable[[Vector], Mask]) -> Self:
        """Compare on prepared rows or sequences; `flag` says which scores ring."""
        before, after = exact.score(x), rounded.score(x)
        apart = np.abs(after - before) / np.maximum(np.abs(before), _LEAST)
        sizes = [sum(array.nbytes for array in arrays) for arrays in (exact.state().values(), _kept(rounded))]
        changed = float(np.mean(flag(before) != flag(after)))
        return cls(len(x), float(apart.max()), float(apart.mean()), changed, *sizes)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """A sentence for the report."""
        return (
            f"The detector's numbers are kept as float32, {self.bytes_after:,} bytes in place of "
            f"{self.bytes_before:,}: on {self.rows:,} calibration rows its scores differ by {self.largest:.1e} of "
            f"themselves at most and by {self.mean:.1e} in the mean, and {self.changed:.2%} of the flags."
        )


def short(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as float32 where that loses nothing."""
    if array.dtype != np.float64:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    return narrow if np.array_equal(narrow, array, equal_nan=True) else array


def _kept(detector: Detector) -> list[np.ndarray[Any, Any]]:
    return [short(array) for array in detector.state().values()]
