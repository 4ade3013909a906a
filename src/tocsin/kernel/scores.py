"""How far a value lies from what its entity did just before, in deviations of the window before it.

The window is that of `tocsin.kernel.windows`. It is read before the row enters it, so that an outlier does not hide
itself by widening the deviation it is measured with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tocsin.kernel.windows import MAX_PANES, PaneWindow
from tocsin.records import Column, Mask, Matrix, Times

_NAN = float("nan")


class ZScore:
    """The operation `zscore`: (value - mean) / std (ddof 1) of one window, within -clip and +clip.

    Missing and warming up below `min_count` values in the window. Where all its values are the same, the same value
    again is 0 away and any other is the full clip away.
    """

    reads: np.dtype[Any] = np.dtype(np.float64)
    arity: tuple[int, ...] = (1,)
    width = 1

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._pane_us, self._panes = int(constants["pane_us"]), int(constants["panes"])
        self._min_count, self._clip = int(constants["min_count"]), float(constants["clip"])
        self._include_current = bool(constants["include_current"])
        if self._pane_us < 1 or not 1 <= self._panes <= MAX_PANES:
            raise ValueError(f"wanted pane_us of at least 1 and 1 to {MAX_PANES} panes")
        if self._min_count < 2 or not 0.0 < self._clip < np.inf:
            raise ValueError("wanted min_count of at least 2 and a finite clip above 0")

    def new_cell(self) -> PaneWindow:
        """A window that has seen nothing."""
        return PaneWindow()

    def run(self, cells: Sequence[PaneWindow], times: Times, inputs: Sequence[Column], out: Matrix, warm: Mask) -> None:
        """Move the windows row by row, write (n, 1) into `out`, and False into `warm` below `min_count`."""
        numbers, panes, after = (times // self._pane_us).tolist(), self._panes, self._include_current
        windows = []
        for cell, number, value in zip(cells, numbers, inputs[0].tolist(), strict=True):
            # A missing value moves the window and stays out of it.
            before = cell.add(number, _NAN, panes)
            including = cell.add(number, value, panes)
            windows.append(including if after else before)
        count, mean, squares = np.array(windows).T[:3]
        enough = count >= self._min_count
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            deviation = np.sqrt(squares / np.where(enough, count - 1.0, np.nan))
            distance = inputs[0] - mean
            score = np.where(distance == 0.0, distance, distance / deviation)
        # A mean or a deviation beyond the largest number tells nothing.
        known = enough & np.isfinite(distance) & np.isfinite(deviation)
        out[:, 0] = np.where(known, np.clip(score, -self._clip, self._clip), np.nan)
        warm &= enough | np.isnan(inputs[0])
