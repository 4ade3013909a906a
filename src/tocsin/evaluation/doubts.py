"""Labels and scores that cannot be what they are taken for: said before anybody reads a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.measures import Figure
from tocsin.records import Mask

OPPOSITE_AUC = 0.3
"""A ranking as bad as this is a good one of the other side."""
SORTED_SHARE = 0.05
"""Blocks of equal labels, of as many as mixed rows would have, below which rows are sorted by label or by time."""
MIXED_BLOCKS = 40
"""Blocks that mixed rows would have, fewer of which tell nothing."""


def doubts(evidence: Evidence, results: Mapping[str, Figure]) -> Iterator[str]:
    """A sentence for each thing that looks wrong, with the next step.

    Parameters
    ----------
    evidence
        All rows.
    results
        The figures measured so far.
    """
    scores, anomalous = evidence.scores.score, evidence.truth[evidence.known] == 1
    if len(scores) > 1 and (scores == scores[0]).all():
        yield "Every row has the same score: the model tells nothing apart. Look at its features and its training rows."
    if not len(anomalous):
        return
    anomalies, normal = int(anomalous.sum()), int((~anomalous).sum())
    if not anomalies or not normal:
        side, other = ("normal", "caught") if normal else ("an anomaly", "called an anomaly by mistake")
        yield (
            f"All {len(anomalous):,} labelled rows are {side}: nothing here says what would be {other}. "
            "Look at labels.normal if the rows hold both."
        )
        return
    if anomalies > normal:
        yield (
            f"More rows are labelled anomalies ({anomalies:,}) than normal ({normal:,}): they are not rare here. "
            f"Chance alone has an average precision of {anomalies / len(anomalous):.2f}, and alerts a day say little. "
            "Look at labels.normal if that is a surprise."
        )
    area = results["roc_auc"]
    if area.value is not None and area.value < OPPOSITE_AUC and (area.high is None or area.high < 0.5):
        yield (
            f"The rows labelled normal score higher than the anomalies (ROC-AUC {area.value:.2f}): the labels may mean "
            "the opposite. Look at labels.normal."
        )
    if evidence.times is None:
        yield from _blocks(anomalous)


def _blocks(anomalous: Mask) -> Iterator[str]:
    """Without a clock rows count as mixed; if their labels say otherwise, neighbours resemble each other."""
    rows, anomalies = len(anomalous), int(anomalous.sum())
    blocks = 1 + int(np.count_nonzero(anomalous[1:] != anomalous[:-1]))
    mixed = 1 + 2 * anomalies * (rows - anomalies) / rows
    if mixed >= MIXED_BLOCKS and blocks < SORTED_SHARE * mixed:
        yield (
            f"The labels come in {blocks:,} blocks, where mixed rows would have about {mixed:,.0f}: the files are "
            "sorted by label, or a series whose clock is not declared. Rows of one block resemble each other, so the "
            "intervals are too narrow, and a split by rows puts neighbours on both sides."
        )
