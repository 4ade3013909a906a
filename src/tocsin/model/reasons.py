"""Why a row scored as it did, in words that a person can check: a feature, its value, what is usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.records import Matrix, Reason

REASONS = 3
"""Features named for a row."""
USUAL = (0.01, 0.99)
"""Quantiles of the training rows between which a value is usual."""


def usual_ranges(values: Matrix) -> Matrix:
    """What is usual of each column of (n, d), (2, d): NaN where training had no value."""
    empty = np.isnan(values).all(axis=0)
    ranges = np.asarray(np.nanquantile(np.where(empty, 0.0, values), USUAL, axis=0))
    ranges[:, empty] = np.nan
    return ranges


def strongest(
    shares: Matrix, sequences: Matrix, names: Sequence[str], usual: Matrix, units: Mapping[str, str]
) -> list[tuple[Reason, ...]]:
    """For each row those features that pushed its score up the most, strongest first.

    A feature is shown with its value in the row that weighed most: `load@2` stood two rows before the one that rings.

    Parameters
    ----------
    shares, sequences
        What each value gave to the score, and the values, (n, steps, d) with the oldest row first.
    names, units
        Of the features, (d,), and the unit of each.
    usual
        As `usual_ranges` gives it.
    """
    contributions, ago = shares.sum(axis=1), shares.shape[1] - 1 - shares.argmax(axis=1)
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :REASONS]

    def reason(row: int, column: int) -> Reason:
        name, back = names[column], int(ago[row, column])
        return Reason(
            feature=f"{name}@{back}" if back else name,
            value=float(sequences[row, -1 - back, column]),
            usual_low=float(usual[0, column]),
            usual_high=float(usual[1, column]),
            contribution=float(contributions[row, column]),
            unit=units[name],
        )

    return [tuple(reason(row, column) for column in columns) for row, columns in enumerate(order.tolist())]
