"""The report of a model on rows it was not fitted on: every figure with its interval, or the reason why it is missing.

How rows count
--------------
- Rows that are still warming up never ring: they are counted, left out of every figure about flags, and kept in the
  rankings (ROC-AUC, average precision, curves, baselines' rankings), since they have scores like any other.
- Rows of unknown label are counted and left out of everything that needs a label.
- Share of flagged rows, scores, latency and alerts need no label and are always there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import orjson

from tocsin.evaluation.baselines import Baseline, Model, baseline_scores, compare, outranked
from tocsin.evaluation.classes import ClassRecall, class_recalls
from tocsin.evaluation.doubts import doubts
from tocsin.evaluation.events import AlertCount, EventCount, count_alerts, judged_events
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.figures import measure
from tocsin.evaluation.leaks import Leaks
from tocsin.evaluation.measures import Confusion, Figure, Ranking, classification, curve, score_summary
from tocsin.evaluation.notes import notes
from tocsin.evaluation.overlap import overlap_remarks
from tocsin.evaluation.pace import watched_days
from tocsin.evaluation.pvalues import calibration_curve
from tocsin.records import Mask

FORMAT = 1
"""Version of the JSON that `Report.to_json` gives."""
EXPLAINED_ROWS = 500
TOP_FEATURES = 20


@dataclass(frozen=True, slots=True)
class Importance:
    """Mean absolute contribution of a feature, in the detector's own unit."""

    feature: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything measured. `to_json` has one key per field here, `results` under the name `figures`."""

    title: str
    model: str
    generated: bool
    seen_in_training: bool
    level: float
    rows: Mapping[str, int]
    """`all`, `ready`, `warming_up`, `unlabelled`, `anomalies`, `normal`, and `judged`: ready with a known label."""
    results: Mapping[str, Figure]
    """Every figure by name, also those without a value."""
    confusion: Confusion | None
    classification: Mapping[str, Mapping[str, float | None]] | None
    classes: tuple[ClassRecall, ...]
    """Most frequent first."""
    events: EventCount | None
    alerts: AlertCount | None
    curve: Mapping[str, list[float]] | None
    """`level`, `false_positive_rate`, `recall`, `precision`, thinned."""
    calibration: Mapping[str, list[float]] | None
    """Shares of normal rows at or below p-values, `expected` and `observed`."""
    scores: Mapping[str, float]
    baselines: tuple[Baseline, ...]
    leaks: Leaks | None
    importance: tuple[Importance, ...]
    """Over the flagged rows, or the top 1 % of scores where nothing was flagged; strongest first."""
    promise: Mapping[str, Any]
    notes: tuple[str, ...]
    """What a reader must know to read the figures right."""

    @property
    def figures(self) -> Mapping[str, float]:
        """The figures that have a value."""
        return {name: figure.value for name, figure in self.results.items() if figure.value is not None}

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values; what is infinite or unknown is null."""
        document = {
            "format": FORMAT,
            "figures": self.results,
            **{field.name: getattr(self, field.name) for field in fields(self) if field.name != "results"},
        }
        plain: dict[str, Any] = orjson.loads(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
        return plain


def evaluate(evidence: Evidence) -> Report:
    """Measure a model on rows it was not fitted on.

    Raises
    ------
    DataError
        If there are no rows, columns differ in length or a score is not finite.
    """
    evidence.check()
    truth, ready, known, judged = evidence.truth, evidence.ready, evidence.known, evidence.judged
    labelled = bool(known.any())
    confusion = Confusion.count(truth[judged] == 1, evidence.scores.flagged[judged]) if labelled else None
    events = judged_events(evidence) if labelled else None
    alerts = _alerts(evidence) if labelled else None
    watched = None if evidence.times is None else watched_days(evidence.times)
    results = measure(evidence, confusion, events, alerts, watched)
    ranked = results["roc_auc"].value is not None
    baselines = _baselines(evidence, results)
    caught = None if events is None else events.tally(evidence.scores.flagged[judged])
    remarks = (
        *doubts(evidence, results),
        *outranked(baselines),
        *overlap_remarks(evidence, results["copied_rows"]),
    )
    return Report(
        title=evidence.title,
        model=evidence.model,
        generated=evidence.generated,
        seen_in_training=evidence.seen_in_training,
        level=evidence.level,
        rows={
            "all": len(truth),
            "ready": int(ready.sum()),
            "warming_up": int((~ready).sum()),
            "unlabelled": int((~known).sum()),
            "anomalies": int((truth == 1).sum()),
            "normal": int((truth == 0).sum()),
            "judged": int(judged.sum()),
        },
        results=results,
        confusion=confusion,
        classification=None if confusion is None else classification(confusion),
        classes=_classes(evidence, judged),
        events=caught,
        alerts=alerts,
        curve=curve(Ranking.of(truth[known] == 1, evidence.scores.score[known])) if ranked else None,
        calibration=calibration_curve(evidence.scores.p_value[judged & (truth == 0)]),
        scores=score_summary(evidence.scores.score),
        baselines=baselines,
        leaks=evidence.leaks,
        importance=_importance(evidence),
        promise=dict(evidence.promise),
        notes=notes(evidence, remarks, caught, watched, ranked=ranked),
    )


def _alerts(evidence: Evidence) -> AlertCount:
    rows = evidence.scores.flagged
    times, entities = (None if column is None else column[rows] for column in (evidence.times, evidence.entities))
    return count_alerts(evidence.alerts, evidence.truth[rows], times, entities, evidence.origins[rows])


def _classes(evidence: Evidence, judged: Mask) -> tuple[ClassRecall, ...]:
    if evidence.classes is None:
        return ()
    chosen = judged & (evidence.truth == 1)
    return class_recalls(evidence.classes[chosen], evidence.scores.flagged[chosen])


def _baselines(evidence: Evidence, results: Mapping[str, Figure]) -> tuple[Baseline, ...]:
    rng, known = np.random.default_rng(evidence.seed), evidence.known
    if no_labels := evidence.unlabelled:
        names = ("random", "constant", "last_value", "zscore")
        return tuple(Baseline(name, None, None, None, None, None, no_labels) for name in names)
    entities = evidence.entities if evidence.times is not None else None
    scores = baseline_scores(evidence.features, evidence.training.moments, entities, rng)
    ready = evidence.ready[known]
    flags = int(np.count_nonzero(evidence.scores.flagged[known] & ready))
    return compare(
        {name: column[known] for name, column in scores.items()},
        evidence.truth[known] == 1,
        ready,
        Model(results["roc_auc"].value, results["average_precision"].value, flags),
        rng,
    )


def _importance(evidence: Evidence) -> tuple[Importance, ...]:
    rows = np.flatnonzero(evidence.scores.flagged & evidence.ready)
    if not len(rows):
        top = max(1, len(evidence.scores.score) // 100)
        rows = np.argsort(evidence.scores.score, kind="stable")[-top:]
    if len(rows) > EXPLAINED_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, EXPLAINED_ROWS).astype(np.intp)]
    mean = np.abs(evidence.explain(rows)).mean(axis=0)
    strongest = np.argsort(-mean, kind="stable")[:TOP_FEATURES]
    return tuple(Importance(evidence.feature_names[column], float(mean[column])) for column in strongest)
