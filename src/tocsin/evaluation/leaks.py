"""How much one column, or one relation between columns, gives of the label away.

Data that somebody made often do: an anomaly made by multiplying a column after others were computed from it is found by
any model, and by none on real telemetry. A figure of a supervised model means something only beside what the best
single column and the best relation reach on the same rows.

Source: Kaufman, Rosset, Perlich and Stitelman, Leakage in Data Mining, ACM TKDD 6(4), 2012.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tocsin.evaluation.measures import Ranking, roc_auc
from tocsin.evaluation.relations import Relation, best_relation
from tocsin.records import Column, Mask, Vector

ROWS = 20_000
"""Of each side, that single columns are judged on, up to twice as many: evenly from the first to the last."""
FEWEST = 10
"""Rows of each side; fewer are told apart by chance, by some column or relation of so many."""
TELLING_AUC = 0.99
TELLING_RELATION = 0.95
"""Balanced accuracy."""

By = Literal["high", "low", "missing", "present", "whole", "fraction", "tens", "no tens", "name"]


@dataclass(frozen=True, slots=True)
class Single:
    """How well one column alone ranks the anomalies first."""

    column: str
    by: By
    """What of it points to an anomaly: high or low values, the missing ones at that end which tells more; that it is
    missing or there; that it is a whole number, a fraction, a multiple of ten or none; or its name."""
    roc_auc: float


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the best column and the best relation tell of the label; None where there is too little to tell apart."""

    single: Single | None
    relation: Relation | None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of figures must know: how far one column goes, and each that goes too far."""
        remarks, single, relation = [], self.single, self.relation
        if single:
            remarks.append(
                f"One column alone ranks these rows with a ROC-AUC of {single.roc_auc:.4f}: "
                f"{single.column} ({single.by})."
                + (" The figures of a model say little beside it." if single.roc_auc > TELLING_AUC else "")
            )
        if relation and relation.balanced_accuracy > TELLING_RELATION:
            remarks.append(
                f"The anomalies are the rows that {'break' if relation.broken else 'keep'} {relation.text} (precision "
                f"{relation.precision:.4f}, recall {relation.recall:.4f}): either the labels leak into the columns, or "
                "one kind of rows is all alike here."
            )
        return tuple(remarks)


def find_leaks(columns: Mapping[str, Column], anomalous: Mask) -> Leaks:
    """Hold every column and every relation between columns against the label.

    Times are left out, since labels begin at some time. Relations are tried between columns of numbers.

    Parameters
    ----------
    columns
        Numbers, truth values or names, (n,) each, in time order where there is a clock; NaN and "" mean missing.
    anomalous
        The label, (n,).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> used, total, attacked = rng.integers(1, 100, 500), rng.integers(100, 200, 500), np.arange(500) % 20 == 0
    >>> share = used / total * np.where(attacked, 1.2, 1.0)
    >>> find_leaks({"used": used, "total": total, "share": share}, attacked).relation.text
    'total * share = used'
    """
    columns = {name: column for name, column in columns.items() if column.dtype.kind != "M"}
    sides = np.flatnonzero(anomalous), np.flatnonzero(~anomalous)
    if min(map(len, sides)) < FEWEST:
        return Leaks(None, None)
    rows = np.sort(np.concatenate([side[:: max(1, len(side) // ROWS)] for side in sides]))
    singles = [single for name, column in columns.items() for single in _singles(name, column[rows], anomalous[rows])]
    numbers = {name: column for name, column in columns.items() if column.dtype.kind in "fiub"}
    return Leaks(
        max(singles, key=lambda single: single.roc_auc, default=None),
        best_relation(numbers, anomalous),
    )


def _singles(name: str, column: Column, anomalous: Mask) -> Iterator[Single]:
    if column.dtype.kind in "OU":
        yield from _both(name, column == "", anomalous, "missing", "present")
        yield Single(name, "name", _area(_shares(column, anomalous), anomalous))
        return
    values = column.astype(np.float64)
    lost = np.isnan(values)
    yield from _both(name, lost, anomalous, "missing", "present")
    for place in (-np.inf, np.inf) if lost.any() else (0.0,):
        yield from _both(name, np.where(lost, place, values), anomalous, "high", "low")
    with np.errstate(invalid="ignore"):  # infinity is no whole number
        yield from _both(name, values % 1 == 0, anomalous, "whole", "fraction")
        yield from _both(name, values % 10 == 0, anomalous, "tens", "no tens")


def _both(name: str, values: Column, anomalous: Mask, up: By, down: By) -> Iterator[Single]:
    area = _area(values, anomalous)
    yield Single(name, up, area) if area >= 0.5 else Single(name, down, 1 - area)


def _area(values: Column, anomalous: Mask) -> float:
    # Ranks instead of values: infinite ones have a place too.
    _, ranks = np.unique(values, return_inverse=True)
    ranking = Ranking.of(anomalous, ranks.astype(np.float64))
    return float(roc_auc(ranking.anomalies, ranking.normals))


def _shares(names: Column, anomalous: Mask) -> Vector:
    """The share of anomalies that each row's name has in the other half of the rows."""
    _, codes = np.unique(names.astype(str), return_inverse=True)
    shares = np.zeros(len(codes))
    early = np.arange(len(codes)) < len(codes) // 2
    for half in (early, ~early):
        rows = np.bincount(codes[~half], minlength=codes.max() + 1)
        odd = np.bincount(codes[~half], anomalous[~half], minlength=codes.max() + 1)
        usual = anomalous[~half].sum() / max(1, np.count_nonzero(~half))
        shares[half] = ((odd + usual) / (rows + 1))[codes[half]]
    return shares
