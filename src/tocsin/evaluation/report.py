"""The report of a model on rows it was not fitted on: every figure with its interval, or the reason why it is missing.

How rows count
--------------
- Rows that are still warming up never ring: they are counted, left out of every figure about flags, and kept in the
  rankings (ROC-AUC, average precision, curves, baselines' rankings), since they have scores like any other.
- Rows of unknown label are counted and left out of everything that needs a label.
- Share of flagged rows, scores, latency and alerts need no label and are always there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin.errors import DataError
from tocsin.evaluation.baselines import Baseline, Model, baseline_scores, compare, outranked
from tocsin.evaluation.classes import ClassRecall, class_recalls
from tocsin.evaluation.events import AlertCount, EventCount, count_alerts, count_events
from tocsin.evaluation.leaks import Leaks
from tocsin.evaluation.measures import (
    NO_ANOMALY,
    Confusion,
    Figure,
    Ranking,
    Unit,
    classification,
    curve,
    flag_figures,
    missing,
    ranking_figures,
    rate,
    score_summary,
)
from tocsin.evaluation.pace import Watched, alerts_per_day, budget_factor, watched_days
from tocsin.records import Alert, Column, Mask, Matrix, Scores, Times

FORMAT = 1
"""Version of the JSON that `Report.to_json` gives."""
EXPLAINED_ROWS = 500
TOP_FEATURES = 20

_LABELLED = (*flag_figures(Confusion(0, 0, 0, 0)), "roc_auc", "average_precision", "event_recall")
UNITS: Mapping[str, Unit] = {
    **dict.fromkeys(_LABELLED, "ratio"),
    "alerts": "count",
    "alerts_per_day": "per_day",
    "budget_factor": "ratio",
    "alert_precision": "ratio",
    "false_alarms": "count",
    "anomaly_rate": "ratio",
    "latency_p50_ms": "ms",
    "latency_p99_ms": "ms",
    "train_seconds": "s",
    "peak_memory_bytes": "bytes",
}
"""Every figure of a report, in its unit."""
NEED_LABELS = frozenset((*_LABELLED, "alert_precision", "false_alarms"))
SEEN_IN_TRAINING = (
    "The rows judged here are, in whole or in part, rows that the model learnt from: these figures flatter it."
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an evaluation looks at: the rows of the test split, in time order where there is a clock."""

    scores: Scores
    labels: NDArray[np.int8] | None
    """(n,) 1 anomaly, 0 normal, -1 unknown; None without labels."""
    classes: Column | None
    """(n,) names of attacks, "" unknown."""
    times: Times | None
    entities: Column | None
    """(n,) pseudonyms."""
    origins: Column
    """(n,) where each row was read, as `file:row`."""
    features: Matrix
    """(n, d) prepared and finite."""
    feature_names: tuple[str, ...]
    explain: Callable[[NDArray[np.intp]], Matrix]
    """Row numbers (k,) -> contributions (k, d)."""
    alerts: tuple[Alert, ...]
    level: float
    """The score at which rows are flagged."""
    promise: Mapping[str, Any]
    """What became of the alert budget, as JSON values."""
    latency_ms: NDArray[np.float64]
    """Times of scoring a single row, measured by the caller."""
    train_seconds: float
    peak_memory_bytes: int
    generated: bool
    """The rows come from a generator."""
    model: str
    """Digest or version."""
    title: str
    training_moments: Matrix
    """(2, d) mean and standard deviation of the prepared training features, for the z-score baseline."""
    seed: int = 0
    seen_in_training: bool = False
    """Rows of the test were among those that the model learnt from."""
    remarks: tuple[str, ...] = ()
    """What the caller knows of the rows and a reader must know too."""
    leaks: Leaks | None = None
    """What features and relations between them tell of the label; None without labels."""

    @property
    def ready(self) -> Mask:
        """Rows that may ring, (n,)."""
        return np.asarray(self.scores.state != "warming_up")

    @property
    def truth(self) -> NDArray[np.int8]:
        """Labels, (n,), all of them -1 where there are none."""
        return np.full(len(self.scores.score), -1, np.int8) if self.labels is None else self.labels


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
    _check(evidence)
    truth, ready, flagged = evidence.truth, evidence.ready, evidence.scores.flagged
    known = truth >= 0
    judged = known & ready
    no_labels = _no_labels(evidence, known)
    confusion = None if no_labels else Confusion.count(truth[judged] == 1, flagged[judged])
    events = None if no_labels else _events(evidence, judged)
    alerts = None if no_labels else _alerts(evidence)
    results = _labelled_figures(evidence, known, confusion, events, no_labels)
    days = None if evidence.times is None else watched_days(evidence.times)
    results |= _alert_figures(evidence, alerts, days, no_labels)
    results |= _plain_figures(evidence)
    ranked = results["roc_auc"].value is not None
    baselines = _baselines(evidence, known, results, no_labels)
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
        events=events,
        alerts=alerts,
        curve=curve(Ranking.of(truth[known] == 1, evidence.scores.score[known])) if ranked else None,
        scores=score_summary(evidence.scores.score),
        baselines=baselines,
        leaks=evidence.leaks,
        importance=_importance(evidence),
        promise=dict(evidence.promise),
        notes=(*outranked(baselines), *_notes(evidence, events, days, ranked=ranked)),
    )


def _check(evidence: Evidence) -> None:
    rows = len(evidence.scores.score)
    if rows == 0:
        raise DataError("evaluation", "no rows", "at least one row of the test split")
    columns = {
        "p_value": evidence.scores.p_value,
        "flagged": evidence.scores.flagged,
        "state": evidence.scores.state,
        "labels": evidence.labels,
        "classes": evidence.classes,
        "times": evidence.times,
        "entities": evidence.entities,
        "origins": evidence.origins,
        "features": evidence.features,
    }
    for name, column in columns.items():
        if column is not None and len(column) != rows:
            raise DataError(f"evaluation: {name}", f"{len(column)} rows", f"{rows}, as many as there are scores")
    for name, matrix in (("features", evidence.features), ("training_moments", evidence.training_moments)):
        if matrix.shape[1:] != (len(evidence.feature_names),):
            raise DataError(f"evaluation: {name}", f"shape {matrix.shape}", f"{len(evidence.feature_names)} columns")
    strange = int(np.count_nonzero(~np.isfinite(evidence.scores.score)))
    if strange:
        raise DataError("evaluation: score", f"{strange} of {rows} scores that are not finite", "finite scores")


def _no_labels(evidence: Evidence, known: Mask) -> str:
    if evidence.labels is None:
        return "no labels: the config names none for these rows"
    return "" if known.any() else f"no labels: all {len(known)} rows are of unknown label"


def _events(evidence: Evidence, judged: Mask) -> EventCount | None:
    times, entities, classes = (
        None if column is None else column[judged] for column in (evidence.times, evidence.entities, evidence.classes)
    )
    return count_events(evidence.truth[judged] == 1, evidence.scores.flagged[judged], times, entities, classes)


def _alerts(evidence: Evidence) -> AlertCount:
    rows = evidence.scores.flagged
    times, entities = (None if column is None else column[rows] for column in (evidence.times, evidence.entities))
    return count_alerts(evidence.alerts, evidence.truth[rows], times, entities, evidence.origins[rows])


def _labelled_figures(
    evidence: Evidence, known: Mask, confusion: Confusion | None, events: EventCount | None, no_labels: str
) -> dict[str, Figure]:
    if confusion is None:
        return {name: missing(no_labels) for name in _LABELLED}
    figures = flag_figures(confusion) | ranking_figures(
        evidence.truth[known] == 1,
        evidence.scores.score[known],
        consecutive=evidence.times is not None,
        seed=evidence.seed,
    )
    if events is None:
        return figures | {"event_recall": missing("no clock to find runs by, and no names of anomalies")}
    return figures | {"event_recall": rate(events.caught, events.events, NO_ANOMALY)}


def _alert_figures(
    evidence: Evidence, alerts: AlertCount | None, watched: Watched | None, no_labels: str
) -> dict[str, Figure]:
    right, wrong = (0, 0) if alerts is None else (alerts.right, alerts.wrong)
    return {
        "alerts": Figure(len(evidence.alerts), unit="count"),
        "alerts_per_day": alerts_per_day(len(evidence.alerts), watched),
        "budget_factor": budget_factor(evidence.promise),
        "alert_precision": rate(right, right + wrong, no_labels or "no alert on labelled rows"),
        "false_alarms": missing(no_labels, "count") if alerts is None else Figure(wrong, unit="count"),
    }


def _plain_figures(evidence: Evidence) -> dict[str, Figure]:
    ready, latency = evidence.ready, evidence.latency_ms
    p50, p99 = np.percentile(latency, [50, 99]).tolist() if len(latency) else (None, None)
    measured = "" if len(latency) else "not measured"
    return {
        "anomaly_rate": rate(
            int(np.count_nonzero(evidence.scores.flagged & ready)), int(ready.sum()), "every row was warming up"
        ),
        "latency_p50_ms": Figure(p50, reason=measured, unit="ms"),
        "latency_p99_ms": Figure(p99, reason=measured, unit="ms"),
        "train_seconds": _positive(evidence.train_seconds, "s"),
        "peak_memory_bytes": _positive(evidence.peak_memory_bytes, "bytes"),
    }


def _positive(value: float, unit: Unit) -> Figure:
    return Figure(value, unit=unit) if value > 0 else missing("not measured", unit)


def _classes(evidence: Evidence, judged: Mask) -> tuple[ClassRecall, ...]:
    if evidence.classes is None:
        return ()
    chosen = judged & (evidence.truth == 1)
    return class_recalls(evidence.classes[chosen], evidence.scores.flagged[chosen])


def _baselines(evidence: Evidence, known: Mask, results: Mapping[str, Figure], no_labels: str) -> tuple[Baseline, ...]:
    rng = np.random.default_rng(evidence.seed)
    if no_labels:
        names = ("random", "constant", "last_value", "zscore")
        return tuple(Baseline(name, None, None, None, None, None, no_labels) for name in names)
    entities = evidence.entities if evidence.times is not None else None
    scores = baseline_scores(evidence.features, evidence.training_moments, entities, rng)
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


def _notes(evidence: Evidence, events: EventCount | None, watched: Watched | None, *, ranked: bool) -> tuple[str, ...]:
    warming, truth = ~evidence.ready, evidence.truth
    notes = []
    if evidence.seen_in_training:
        notes.append(SEEN_IN_TRAINING)
    if evidence.generated:
        notes.append("Made from generated data: it says how Tocsin works, not how it does on real telemetry.")
    notes += [*evidence.remarks, *(evidence.leaks.remarks if evidence.leaks else ())]
    if warming.any():
        lost = int(np.count_nonzero(warming & (truth == 1)))
        of_them = f" ({lost} of them labelled anomalies)" if evidence.labels is not None else ""
        notes.append(f"{int(warming.sum())} rows were warming up{of_them}: left out of flags, kept in the rankings.")
    if evidence.labels is not None and (truth < 0).any():
        notes.append(f"{int((truth < 0).sum())} rows of unknown label are left out of what needs a label.")
    if events is not None:
        notes.append(f"Events are {events.kind}: {events.caught} of {events.events} hold a flagged row.")
    if watched is not None and watched.gap_days:
        notes.append(watched.note)
    if ranked:
        unit = "blocks of consecutive rows" if evidence.times is not None else "rows"
        notes.append(
            f"95 % intervals: Wilson for rates (rows taken as independent), bootstrap over {unit} for rankings."
        )
        notes.append("Baselines flag as many rows as the model does.")
    if len(evidence.latency_ms):
        notes.append(f"Latency is that of {len(evidence.latency_ms)} scorings of a single row.")
    return tuple(notes)
