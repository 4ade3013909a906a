"""What test rows share with the rows that a model learnt from: exact copies, and their time.

A model can know a copy by heart; its figures on copies say nothing of rows it will meet. Test rows that lie within
the time that was learnt from share its incidents, whoever's rows they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.measures import Figure, missing, rate
from tocsin.evaluation.predictions import iso_times

MANY_COPIES = 0.05
"""Share of copies that a reader must know of."""


def copied_figure(evidence: Evidence) -> Figure:
    """Share of the test rows that are exact copies of a training row in all features; a sample where there are many."""
    if evidence.copies is None:
        return missing("not measured")
    known, copies = evidence.copies
    looked_up = int(np.count_nonzero(known))
    share = rate(int(np.count_nonzero(copies)), looked_up, "no test row could be looked up in the sample that is kept")
    return share if known.all() else share.remarked(f"of the {looked_up:,} that could be looked up")


def overlap_remarks(evidence: Evidence, copied: Figure) -> Iterator[str]:
    """A sentence for each thing that is shared; none where rows are known to be those learnt from."""
    if evidence.seen_in_training:
        return
    if copied.value is not None and copied.value > MANY_COPIES:
        yield (
            f"{copied.value:.0%} of the test rows are exact copies of rows that the model learnt from"
            f"{_anomalies(evidence)}: figures say less of rows that it will meet."
        )
    span = evidence.training.span
    if evidence.times is None or evidence.counted_clock or not len(span):
        return
    inside = int(np.count_nonzero((evidence.times >= span[0]) & (evidence.times <= span[1])))
    if inside:
        first, last = iso_times(span)
        yield (
            f"{inside:,} of {len(evidence.times):,} test rows lie within the time that the model learnt from ({first} "
            f"to {last}): what happened then it has seen, if from other rows."
        )


def _anomalies(evidence: Evidence) -> str:
    copies = np.zeros(0, bool) if evidence.copies is None else evidence.copies[1]
    odd = int(np.count_nonzero(evidence.truth[: len(copies)][copies] == 1))
    return f" ({odd:,} of them labelled anomalies)" if odd else ""
