"""Every figure of a report: its unit, and how it is measured from the evidence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tocsin.calibration import codes_of
from tocsin.evaluation.events import DELAYS, AlertCount, Events, delay_figures
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.fidelity import FIGURES as FIDELITY
from tocsin.evaluation.fidelity import fidelity_figures
from tocsin.evaluation.measures import (
    NO_ANOMALY,
    Confusion,
    Figure,
    Unit,
    flag_figures,
    missing,
    ranking_figures,
    rate,
)
from tocsin.evaluation.overlap import copied_figure
from tocsin.evaluation.pace import Watched, alerts_per_day, budget_factor
from tocsin.evaluation.pvalues import pvalue_figures
from tocsin.evaluation.ranges import range_figures
from tocsin.evaluation.top_alerts import RATES, top_alert_figures
from tocsin.evaluation.volume import volume_figure

_LABELLED: Mapping[str, Unit] = {
    **dict.fromkeys(flag_figures(Confusion(0, 0, 0, 0)), "ratio"),
    "roc_auc": "ratio",
    "average_precision": "ratio",
    "vus_pr": "ratio",
    "range_precision": "ratio",
    "range_recall": "ratio",
    "event_recall": "ratio",
    **dict.fromkeys(RATES, "ratio"),
    **dict.fromkeys(DELAYS, "s"),
    "calibration_error": "ratio",
    "calibration_tail": "ratio",
    "alert_precision": "ratio",
    "false_alarms": "count",
    "false_alarms_per_day": "per_day",
}
UNITS: Mapping[str, Unit] = {
    **_LABELLED,
    "alerts": "count",
    "alerts_per_day": "per_day",
    "budget_factor": "ratio",
    "anomaly_rate": "ratio",
    "copied_rows": "ratio",
    **dict.fromkeys(FIDELITY, "ratio"),
    "latency_p50_ms": "ms",
    "latency_p99_ms": "ms",
    "train_seconds": "s",
    "peak_memory_bytes": "bytes",
}
"""Every figure of a report, in its unit."""
_UNBOUNDED = ("budget_factor", "calibration_tail", "deletion_gain")
MOST: Mapping[str, float] = {name: 1.0 for name, unit in UNITS.items() if unit == "ratio" and name not in _UNBOUNDED}
"""The most that a figure can be, where that is not without end: shares of something."""
NEED_LABELS = frozenset(_LABELLED)
NO_EVENTS = "no clock to find runs by, and no names of anomalies"


def measure(
    evidence: Evidence,
    confusion: Confusion | None,
    events: Events | None,
    alerts: AlertCount | None,
    watched: Watched | None,
) -> dict[str, Figure]:
    """Every figure by name, in the order of `UNITS`.

    Parameters
    ----------
    evidence
        Checked.
    confusion, events, alerts
        Of the judged rows; None without labels, `events` also where there is nothing to find any by.
    watched
        The days that hold rows; None without a clock.
    """
    figures = _plain(evidence, watched) | fidelity_figures(evidence)
    if confusion is None or alerts is None:
        figures |= {name: missing(evidence.unlabelled, unit) for name, unit in _LABELLED.items()}
    else:
        figures |= flag_figures(confusion)
        figures |= _rankings(evidence) | _events(evidence, events, watched) | _false_alarms(alerts, watched)
        normal = evidence.judged & (evidence.truth == 0)
        figures |= pvalue_figures(evidence.scores.p_value[normal])
    return {name: figures[name] for name in UNITS}


def _rankings(evidence: Evidence) -> dict[str, Figure]:
    """What rows, volumes and ranges say; the last two need neighbours."""
    known, seed = evidence.known, evidence.seed
    anomalous, scores = evidence.truth[known] == 1, evidence.scores.score[known]
    figures = ranking_figures(anomalous, scores, consecutive=evidence.times is not None, seed=seed)
    if evidence.times is None:
        return figures | dict.fromkeys(("vus_pr", "range_precision", "range_recall"), missing("no clock"))
    codes = codes_of(evidence.entities, len(known))
    judged = evidence.judged
    return {
        **figures,
        "vus_pr": volume_figure(anomalous, scores, codes[known], seed),
        **range_figures(evidence.truth[judged] == 1, evidence.scores.flagged[judged], codes[judged], seed),
    }


def _events(evidence: Evidence, events: Events | None, watched: Watched | None) -> dict[str, Figure]:
    figures = dict(top_alert_figures(evidence, events, watched))
    if events is None:
        return figures | {"event_recall": missing(NO_EVENTS)} | dict.fromkeys(DELAYS, missing(NO_EVENTS, "s"))
    flagged = evidence.scores.flagged[evidence.judged]
    figures["event_recall"] = rate(int(events.caught(flagged).sum()), events.count, NO_ANOMALY)
    if evidence.times is None:
        return figures | dict.fromkeys(DELAYS, missing("no clock", "s"))
    return figures | delay_figures(events, flagged, evidence.times[evidence.judged], evidence.seed)


def _false_alarms(alerts: AlertCount, watched: Watched | None) -> dict[str, Figure]:
    return {
        "alert_precision": rate(alerts.right, alerts.right + alerts.wrong, "no alert on labelled rows"),
        "false_alarms": Figure(alerts.wrong, unit="count"),
        "false_alarms_per_day": alerts_per_day(alerts.wrong, watched),
    }


def _plain(evidence: Evidence, watched: Watched | None) -> dict[str, Figure]:
    """What needs no labels."""
    ready, latency = evidence.ready, evidence.latency_ms
    p50, p99 = np.percentile(latency, [50, 99]).tolist() if len(latency) else (None, None)
    measured = "" if len(latency) else "not measured"
    return {
        "alerts": Figure(len(evidence.alerts), unit="count"),
        "alerts_per_day": alerts_per_day(len(evidence.alerts), watched),
        "budget_factor": budget_factor(evidence.promise),
        "anomaly_rate": rate(
            int(np.count_nonzero(evidence.scores.flagged & ready)), int(ready.sum()), "every row was warming up"
        ),
        "copied_rows": copied_figure(evidence),
        "latency_p50_ms": Figure(p50, reason=measured, unit="ms"),
        "latency_p99_ms": Figure(p99, reason=measured, unit="ms"),
        "train_seconds": _positive(evidence.train_seconds, "s"),
        "peak_memory_bytes": _positive(evidence.peak_memory_bytes, "bytes"),
    }


def _positive(value: float, unit: Unit) -> Figure:
    return Figure(value, unit=unit) if value > 0 else missing("not measured", unit)
