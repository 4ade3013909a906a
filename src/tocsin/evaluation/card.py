"""The model card of a report: what a model is for, what it was made from, what it costs, and where it ends.

Source: Mitchell et al., Model Cards for Model Reporting, FAT* 2019 (arXiv 1810.03993).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.predictions import iso_times
from tocsin.evaluation.report import Report
from tocsin.records import SECOND, Times

REFERENCE_COLUMNS = 60
"""Columns of the drift reference that are shown."""
INTENDED = (
    "To ring when telemetry is unlike what it learnt from, and to say why, so that a person looks. It is made for rows "
    "with the same fields, from the same site, at the same pace."
)
NOT_INTENDED = (
    "To act on its own, to prove that nothing happened, or to judge telemetry of another site or kind without a "
    "training of its own. Unusual is not the same as harmful."
)


@dataclass(frozen=True, slots=True)
class Reference:
    """What drift is measured against: one column as the training rows had it."""

    feature: str
    usual_low: float
    usual_high: float
    """As computed: 1st and 99th percentile."""
    mean: float
    deviation: float
    """As prepared for the detector."""


def card(evidence: Evidence, report: Report) -> Iterator[tuple[str, str]]:
    """The card's lines: a title and what there is to say."""
    training = evidence.training
    rows, entities = training.counts.tolist()
    yield "What it is for", INTENDED
    yield "What it is not for", NOT_INTENDED
    whose = f" of {entities:,} entities" if entities > 1 else ""
    made = " They come from a generator." if evidence.generated else ""
    yield "Learnt from", f"{rows:,} rows{whose}{_span(training.span)}.{made}"
    if evidence.times is None:
        yield "Judged on", f"{len(evidence.truth):,} rows{_known(report)}."
    else:
        span = np.array([evidence.times.min(), evidence.times.max()])
        yield "Judged on", f"{len(evidence.truth):,} rows{_span(span)}{_known(report)}."
    yield from _words(evidence.parts)
    worth = _beside(report)
    if worth:
        yield "Beside the obvious", worth


def _known(report: Report) -> str:
    rows = report.rows
    if rows["unlabelled"] == rows["all"]:
        return ", none of them labelled"
    return f", {rows['anomalies']:,} labelled anomalies and {rows['normal']:,} labelled normal"


def _span(span: Times) -> str:
    if not len(span):
        return ""
    first, last = iso_times(span // SECOND * SECOND)
    return f" from {first} to {last}"


def _words(parts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in parts.items():
        if text:
            yield name[:1].upper() + name[1:], text


def _beside(report: Report) -> str:
    judged = [item for item in report.baselines if item.beaten is not None]
    if not judged:
        return ""
    beaten, better = (
        ", ".join(item.name.replace("_", " ") for item in judged if item.beaten is side) for side in (True, False)
    )
    return f"It ranks these rows better than: {beaten or 'nothing'}. Not better than: {better or 'none of them'}."


def reference(evidence: Evidence) -> list[Reference]:
    """The drift reference, column by column, at most `REFERENCE_COLUMNS`."""
    training = evidence.training
    columns = zip(evidence.feature_names, *training.usual, *training.moments, strict=True)
    return [Reference(name, *map(float, numbers)) for name, *numbers in list(columns)[:REFERENCE_COLUMNS]]
