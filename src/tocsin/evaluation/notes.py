"""What a reader must know to read the figures right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tocsin.evaluation.events import EventCount
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.pace import Watched

SEEN_IN_TRAINING = (
    "The rows judged here are, in whole or in part, rows that the model learnt from: these figures flatter it."
)


def notes(
    evidence: Evidence, remarks: Sequence[str], events: EventCount | None, watched: Watched | None, *, ranked: bool
) -> tuple[str, ...]:
    """Sentences, those first that make the figures worthless.

    Parameters
    ----------
    evidence
        All rows.
    remarks
        What was found to be odd about rows, labels and figures.
    events, watched
        As they were counted; None where there are none.
    ranked
        Whether there are rankings with intervals.
    """
    warming, truth = ~evidence.ready, evidence.truth
    said = []
    if evidence.seen_in_training:
        said.append(SEEN_IN_TRAINING)
    if evidence.generated:
        said.append("Made from generated data: it says how Tocsin works, not how it does on real telemetry.")
    said += [*remarks, *evidence.remarks, *(evidence.leaks.remarks if evidence.leaks else ())]
    if warming.any():
        lost = int(np.count_nonzero(warming & (truth == 1)))
        of_them = f" ({lost} of them labelled anomalies)" if evidence.labels is not None else ""
        said.append(f"{int(warming.sum())} rows were warming up{of_them}: left out of flags, kept in the rankings.")
    if evidence.labels is not None and (truth < 0).any():
        said.append(f"{int((truth < 0).sum())} rows of unknown label are left out of what needs a label.")
    if events is not None:
        said.append(f"Events are {events.kind}: {events.caught} of {events.events} hold a flagged row.")
    if watched is not None and watched.gap_days:
        said.append(watched.note)
    if ranked:
        unit = "blocks of consecutive rows" if evidence.times is not None else "rows"
        said.append(
            f"95 % intervals: Wilson for rates (rows taken as independent), bootstrap over {unit} for rankings."
        )
        said.append("Baselines flag as many rows as the model does.")
    if len(evidence.latency_ms):
        said.append(f"Latency is that of {len(evidence.latency_ms)} scorings of a single row.")
    return tuple(said)
