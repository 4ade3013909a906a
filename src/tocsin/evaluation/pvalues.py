"""Whether p-values are what they say: of normal rows, a share of p lies at or below p.

Too many small ones, and the alert budget does not hold on rows like these; too few, and the level could be lower.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tocsin.evaluation.measures import NO_NORMAL, Figure, missing, rate
from tocsin.records import Vector

TAIL = 0.01
"""The p-value at which the figure looks: about where alerts come from, and still many rows."""
POINTS = 60


def pvalue_figures(p_values: Vector) -> dict[str, Figure]:
    """How far the shares are from what was expected.

    `calibration_error` is the largest difference at any p (Kolmogorov and Smirnov's distance); `calibration_tail` the
    share at or below 0.01, over 0.01: 1 is right, 3 says three times as many rows as expected.

    Parameters
    ----------
    p_values
        Of the rows labelled normal that may ring, (n,).
    """
    if not len(p_values):
        return {"calibration_error": missing(NO_NORMAL), "calibration_tail": missing(NO_NORMAL)}
    ascending, rows = np.sort(p_values), len(p_values)
    reached, before = np.arange(1, rows + 1) / rows, np.arange(rows) / rows
    # Equal p-values are one step: only its ends are compared.
    last = np.append(ascending[1:] != ascending[:-1], True)
    first = np.append(True, last[:-1])
    error = max(np.abs(reached - ascending)[last].max(), np.abs(before - ascending)[first].max())
    tail = rate(int(np.count_nonzero(p_values <= TAIL)), rows, NO_NORMAL)
    share, low, high = (edge / TAIL for edge in (tail.value, tail.low, tail.high) if edge is not None)
    return {"calibration_error": Figure(float(error)), "calibration_tail": Figure(share, low, high)}


def calibration_curve(p_values: Vector) -> Mapping[str, list[float]] | None:
    """Expected and observed share of normal rows at or below p, evenly in log p; None without rows."""
    if not len(p_values):
        return None
    expected = np.geomspace(max(1 / len(p_values), 1e-6), 1.0, POINTS)
    observed = np.searchsorted(np.sort(p_values), expected, side="right") / len(p_values)
    return {"expected": expected.tolist(), "observed": observed.tolist()}
