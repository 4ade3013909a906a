"""A report as one HTML file that needs nothing else: no script, no other file, no network. Needs the extra `report`."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.component import optional_packages
from tocsin.evaluation.card import card, reference
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.incidents import foremost, incidents
from tocsin.evaluation.judge import GATES
from tocsin.evaluation.measures import Figure, Unit
from tocsin.evaluation.notes import SEEN_IN_TRAINING
from tocsin.evaluation.predictions import iso_times
from tocsin.evaluation.report import Report
from tocsin.model.reasons import leading
from tocsin.records import SECOND, Mask, Verdict

with optional_packages("evaluation.page"):
    from jinja2 import Environment, StrictUndefined

WORST = 10
NONE = "—"
PSEUDONYM = re.compile(r"[0-9a-f]{32}")
PSEUDONYM_SHOWN = 8
"""Characters of a pseudonym that tell it from the others on a page."""

_FORMATS: dict[Unit, str] = {
    "ratio": "{:.4f}",
    "count": "{:,.0f}",
    "per_day": "{:,.2f} a day",
    "ms": "{:,.3g} ms",
    "bytes": "{:,.1f} MB",
}
_SCALES: dict[Unit, float] = {"bytes": 1e6}
_WORDS = {
    "roc_auc": "ROC-AUC",
    "roc_curve": "ROC curve",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "train_seconds": "Training time",
    "zscore": "Z-score",
    "budget_factor": "Budget served / asked",
    "interval": "90 % interval",
    "level_p": "p-value of the level",
    "vus_pr": "VUS-PR",
    "detection_delay_p50_seconds": "Detection delay, median",
    "detection_delay_p95_seconds": "Detection delay, 95th percentile",
    "copied_rows": "Copies of training rows",
    "calibration_error": "Largest error of p-values",
    "calibration_tail": "Rows at p of 0.01, times expected",
    "fidelity_top3": "Cleared without the top 3 reasons",
    "fidelity_random3": "Cleared without any 3 features",
    "deletion_gain": "Reasons over random order",
}


@dataclass(frozen=True, slots=True)
class WorstRow:
    """One row that a person should look at."""

    origin: str
    place: str
    """The origin without its folder."""
    time: str
    entity: str
    short_entity: str
    """A pseudonym's beginning; any other name whole."""
    name: str
    """Of its class."""
    score: float
    p_value: float
    flagged: str
    state: str
    """Empty where it is ready."""
    reasons: tuple[str, ...]


def write_page(evidence: Evidence, report: Report, verdict: Verdict | None, plots: Sequence[Path], path: Path) -> None:
    """Write the report as a page; `verdict` None says that the model was not judged."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "shown": shown,
        "interval": interval,
        "words": words,
        "decimals": decimals,
        "plain": plain,
        "moment": moment,
        "whose": whose,
        "lasting": lasting,
    }
    template = environment.from_string(files("tocsin.evaluation").joinpath("report.html").read_text("utf-8"))
    truth, score, flagged = evidence.truth, evidence.scores.score, evidence.scores.flagged
    page = template.render(
        report=report,
        verdict=verdict,
        gates=GATES,
        plots=[(words(plot.stem), b64encode(plot.read_bytes()).decode()) for plot in plots],
        seen_in_training=SEEN_IN_TRAINING,
        remarks=any(figure.reason for figure in report.results.values() if figure.value is not None),
        absent=_absent(report.results),
        card=list(card(evidence, report)),
        reference=reference(evidence),
        width=len(evidence.feature_names),
        incidents=foremost(incidents(evidence)),
        promise={name: text for name, value in report.promise.items() if name != "level" and (text := plain(value))},
        misses=_worst(evidence, (truth == 1) & ~flagged & evidence.ready, score),
        false_alarms=_worst(evidence, (truth == 0) & flagged & evidence.ready, -score),
        unknown=_worst(evidence, truth < 0, -score),
    )
    path.write_text(page, encoding="utf-8")


def _absent(results: Mapping[str, Figure]) -> list[str]:
    """A sentence for each reason why figures have no value."""
    names: dict[str, list[str]] = {}
    for name, figure in results.items():
        if figure.value is None:
            names.setdefault(figure.reason, []).append(words(name))
    return [f"No value for {', '.join(figures)} ({reason})." for reason, figures in names.items()]


def _worst(evidence: Evidence, kind: Mask, order: NDArray[np.float64]) -> list[WorstRow]:
    """The rows of a kind that come first in ascending `order`."""
    chosen = np.flatnonzero(kind)
    rows = chosen[np.argsort(order[chosen], kind="stable")[:WORST]]
    if not len(rows):
        return []
    contributions = evidence.explain(rows)
    named = leading(contributions)
    times = [""] * len(rows) if evidence.times is None else list(map(moment, evidence.times[rows].tolist()))
    entities = [""] * len(rows) if evidence.entities is None else [str(name) for name in evidence.entities[rows]]
    return [
        WorstRow(
            origin=str(evidence.origins[row]),
            place=PurePath(str(evidence.origins[row])).name,
            time=times[place],
            entity=entities[place],
            short_entity=whose(entities[place]),
            name="" if evidence.classes is None else str(evidence.classes[row]),
            score=float(evidence.scores.score[row]),
            p_value=float(evidence.scores.p_value[row]),
            flagged="yes" if evidence.scores.flagged[row] else "no",
            state="" if evidence.scores.state[row] == "ready" else str(evidence.scores.state[row]).replace("_", " "),
            reasons=tuple(
                f"{evidence.feature_names[column]} {contributions[place, column]:+.3g}" for column in named[place]
            ),
        )
        for place, row in enumerate(rows.tolist())
    ]


def shown(figure: Figure) -> str:
    """A figure as a person reads it, with its unit."""
    if figure.value is None:
        return NONE
    if figure.unit == "s":
        return lasting(figure.value)
    return _FORMATS[figure.unit].format(figure.value / _SCALES.get(figure.unit, 1))


def interval(figure: Figure) -> str:
    """The 95 % interval, or the empty string."""
    if figure.low is None or figure.high is None:
        return ""
    if figure.unit == "s":
        return f"{lasting(figure.low)} to {lasting(figure.high)}"
    return f"{figure.low:,.4f} to {figure.high:,.4f}"


def moment(micros: int) -> str:
    """UTC microseconds as a person reads them, to the second."""
    return iso_times(np.array([micros // SECOND * SECOND]))[0].replace("T", " ").removesuffix("Z")


def whose(entity: str) -> str:
    """A pseudonym's beginning; any other name whole."""
    return entity[:PSEUDONYM_SHOWN] if PSEUDONYM.fullmatch(entity) else entity


def lasting(seconds: float) -> str:
    """A span of time in the largest unit of which there is one."""
    unit, size = next((pair for pair in (("d", 86_400), ("h", 3_600), ("min", 60)) if seconds >= pair[1]), ("s", 1))
    return f"{seconds / size:.3g} {unit}"


def words(name: str) -> str:
    """`false_positive_rate` -> `False positive rate`."""
    text = name.removesuffix("_ms").removesuffix("_bytes")
    return _WORDS.get(text, text[:1].upper() + text[1:].replace("_", " "))


def plain(value: Any) -> str:
    """A value of a promise in four figures; nothing for None."""
    if isinstance(value, int | float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, list | tuple):
        return " to ".join(map(plain, value))
    return "" if value is None else str(value)


def decimals(value: float | None) -> str:
    """A share to four places, a dash for none."""
    return NONE if value is None else f"{value:.4f}"
