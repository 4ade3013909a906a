"""Labels that lie in the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tocsin.evaluation.comparison import Comparison
from tocsin.evaluation.gates.base import SHARE, Asked, Case, gate
from tocsin.records import Judgement


@gate("< 0.9999", within=SHARE)
def leak(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A column that ranks every anomaly before every normal row is the label itself: all figures are then worthless.

    Not asked again of a column that a person let pass with the champion.
    """
    single = (case.report.get("leaks") or {}).get("single")
    if single is None:
        yield asked.skipped("too few labelled rows to tell")
        return
    if case.champion is not None and case.champion.leak == single["column"]:
        yield asked.skipped(f"{single['column']} told as much when the champion was judged")
        return
    yield asked.judged(single["roc_auc"], f"ROC-AUC of {single['column']} alone ({single['by']})")


def telling_column(report: Mapping[str, Any]) -> str:
    """The column that is a label by what the report of another model gave as JSON; empty if there is none."""
    single = (report.get("leaks") or {}).get("single")
    bound = Comparison.parse(leak.wanted, leak.unit)
    return str(single["column"]) if single and not bound.holds(single["roc_auc"]) else ""
