"""Which training rows a detector holds back from itself, to see how it does on rows that it did not learn."""

from __future__ import annotations

import numpy as np

from tocsin.detectors.base import Labels
from tocsin.records import Mask

BLOCKS = 20
"""Neighbouring rows are alike: whole runs of rows are held out, never single ones."""
EVERY = 4


def held_out(y: Labels) -> Mask:
    """The rows of y (n,) to hold out: of each label every fourth of 20 blocks of its rows, in their order."""
    held = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        block = np.arange(len(rows)) * min(BLOCKS, len(rows)) // len(rows)
        held[rows] = block % EVERY == EVERY - 1
    return held
