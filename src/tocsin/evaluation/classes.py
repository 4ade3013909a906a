"""Recall by the name of the anomaly."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.evaluation.measures import Figure, rate
from tocsin.records import Column, Mask

CLASSES = 200
"""Names in a report; the rarest beyond are left out."""


@dataclass(frozen=True, slots=True)
class ClassRecall:
    """How many rows of one attack were flagged."""

    name: str
    rows: int
    flagged: int
    recall: Figure


def class_recalls(names: Column, flagged: Mask) -> tuple[ClassRecall, ...]:
    """The anomalous rows by name, most frequent first; both of shape (n,)."""
    counts: dict[str, list[int]] = {}
    for name, flag in zip(names.tolist(), flagged.tolist(), strict=True):
        count = counts.setdefault(name or "(no name)", [0, 0])
        count[0] += 1
        count[1] += flag
    frequent = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:CLASSES]
    return tuple(ClassRecall(name, rows, flags, rate(flags, rows, "")) for name, (rows, flags) in frequent)
