"""The pictures of a report, as PNG files. Needs the extra `report`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from tocsin.component import optional_packages
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.incidents import incidents
from tocsin.evaluation.measures import Confusion, Figure
from tocsin.evaluation.report import Report
from tocsin.records import DAY

with optional_packages("evaluation.plots"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.ticker import MaxNLocator

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey.
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8a8f98", "#22262b"
INCHES, DOTS_PER_INCH = (6.4, 4.4), 150
BINS = 60
DAYS_DRAWN = 400
DELAY_TICKS = {0: "at once", 1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3_600: "1 h", 86_400: "1 d"}
LONGEST_NAME = 32
"""Characters of a feature's name beside its bar."""
UNDRAWABLE = "?"
"""Stands for control characters and for those that the font lacks."""


def draw(evidence: Evidence, report: Report, folder: Path) -> tuple[Path, ...]:
    """Write the pictures into `folder`; those that need labels are left out without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    if report.confusion is not None:
        pictures["confusion_matrix"] = _confusion_matrix(report.confusion)
    if report.curve is not None:
        pictures["roc_curve"] = _roc_curve(report, report.curve)
        pictures["precision_recall_curve"] = _precision_recall_curve(report, report.curve)
    if report.calibration is not None:
        pictures["calibration"] = _calibration(report, report.calibration)
    if (delays := _delays(evidence)) is not None:
        pictures["detection_delay"] = delays
    if (days := _alerts_by_day(evidence)) is not None:
        pictures["alerts_by_day"] = days
    pictures["score_distribution"] = _score_distribution(evidence)
    pictures["feature_importance"] = _feature_importance(report)
    paths = []
    for name, canvas in pictures.items():
        if report.generated:
            canvas.text(0.99, 0.985, "generated data", ha="right", va="top", fontsize=9, color=ORANGE)
        path = folder / f"{name}.png"
        canvas.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
        paths.append(path)
    return tuple(paths)


def _axes(title: str, x: str, y: str) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=INCHES, layout="constrained", facecolor="white")
    axes = canvas.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e3e5e8", linewidth=0.8)
    axes.set_axisbelow(True)
    return canvas, axes


def _confusion_matrix(counts: Confusion) -> Canvas:
    canvas, axes = _axes("Confusion matrix", "what the model said", "what the label says")
    table = np.array([[counts.tn, counts.fp], [counts.fn, counts.tp]])
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.set_xticks([0, 1], ["normal", "anomaly"])
    axes.set_yticks([0, 1], ["normal", "anomaly"], rotation=90, va="center")
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if shares[row, column] > 0.5 else INK
        text = f"{count:,} rows\n{shares[row, column]:.1%} of {('normal rows', 'anomalies')[row]}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13, linespacing=1.5)
    return canvas


def _roc_curve(report: Report, curve: Mapping[str, list[float]]) -> Canvas:
    canvas, axes = _axes("ROC curve", "false positive rate (share of normal rows)", "recall (share of anomalous rows)")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance")
    label = f"model, AUC {_with_interval(report.results['roc_auc'])}"
    axes.plot([0, *curve["false_positive_rate"]], [0, *curve["recall"]], color=BLUE, linewidth=2, label=label)
    _operating_point(axes, report, "false_positive_rate", "recall")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.legend(loc="lower right", framealpha=0.9, edgecolor="none")
    return canvas


def _precision_recall_curve(report: Report, curve: Mapping[str, list[float]]) -> Canvas:
    title, x, y = "Precision and recall", "recall (share of anomalous rows)", "precision (share of flagged rows)"
    canvas, axes = _axes(title, x, y)
    known = report.rows["anomalies"] + report.rows["normal"]
    chance = report.rows["anomalies"] / known
    axes.axhline(chance, color=GREY, linestyle="--", linewidth=1, label=f"chance, {chance:.3f}")
    label = f"model, average precision {_with_interval(report.results['average_precision'])}"
    recall, precision = [0.0, *curve["recall"]], [curve["precision"][0], *curve["precision"]]
    axes.step(recall, precision, where="pre", color=BLUE, linewidth=2, label=label)
    _operating_point(axes, report, "recall", "precision")
    axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.03))
    axes.legend(loc="lower left", framealpha=0.9, edgecolor="none")
    return canvas


def _operating_point(axes: Axes, report: Report, x: str, y: str) -> None:
    figures = report.figures
    if x in figures and y in figures:
        axes.plot(figures[x], figures[y], "o", color=ORANGE, markersize=8, label="where rows are flagged", zorder=3)


def _with_interval(figure: Figure) -> str:
    if figure.low is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _calibration(report: Report, shares: Mapping[str, list[float]]) -> Canvas:
    canvas, axes = _axes("Are p-values what they say?", "p-value", "share of normal rows at or below it")
    expected, observed = np.array(shares["expected"]), np.array(shares["observed"])
    low, seen = float(expected[0]), observed > 0
    axes.plot([low, 1], [low, 1], color=GREY, linestyle="--", linewidth=1, label="as expected")
    axes.plot(expected[seen], observed[seen], color=BLUE, linewidth=2, label="normal rows of the test")
    axes.set(xscale="log", yscale="log", xlim=(low, 1.1), ylim=(low / 2, 1.5))
    level_p = report.promise.get("level_p")
    if isinstance(level_p, float) and low < level_p < 1:
        axes.axvline(level_p, color=ORANGE, linestyle=":", linewidth=1.5, label=f"flagged from p {level_p:.2g}")
    axes.legend(loc="upper left", framealpha=0.9, edgecolor="none")
    return canvas


def _delays(evidence: Evidence) -> Canvas | None:
    """What share of the labelled incidents had rung so long after they began; None without a clock or incidents."""
    found = incidents(evidence)
    if not found or evidence.times is None:
        return None
    canvas, axes = _axes("How soon incidents rang", "time since the incident began", "share of all incidents")
    delays = np.sort([item.delay_s for item in found if item.delay_s is not None])
    shares = np.arange(1, len(delays) + 1) / len(found)
    end = max([60.0, *delays.tolist()]) * 1.2
    axes.step([0, *delays, end], [0, *shares, len(delays) / len(found)], where="post", color=BLUE, linewidth=2)
    axes.set_xscale("symlog", linthresh=1.0)
    ticks = [seconds for seconds in DELAY_TICKS if seconds <= end]
    axes.set_xticks(ticks, [DELAY_TICKS[seconds] for seconds in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlim=(0, end), ylim=(0, 1.03))
    never = f"{len(found) - len(delays)} of {len(found)} never rang"
    axes.text(0.98, 0.04, never, transform=axes.transAxes, ha="right", color=INK)
    return canvas


def _alerts_by_day(evidence: Evidence) -> Canvas | None:
    """Alerts by the day on which they began; None without a clock, without alerts, or over too many days to draw."""
    starts = [alert.start // DAY for alert in evidence.alerts if alert.start is not None]
    if not starts or evidence.times is None:
        return None
    first, last = int(evidence.times.min()) // DAY, int(evidence.times.max()) // DAY
    if not 0 < last - first < DAYS_DRAWN:
        return None
    canvas, axes = _axes("Alerts by day", "day (UTC)", "alerts")
    counts = np.bincount(np.array(starts) - first, minlength=last - first + 1)
    axes.bar(np.arange(first, last + 1).astype("datetime64[D]"), counts, color=BLUE, width=0.8)
    served = evidence.promise.get("served")
    if evidence.promise.get("unit") == "alerts/day" and isinstance(served, float):
        axes.axhline(served, color=ORANGE, linestyle=":", linewidth=1.5, label=f"budget, {served:.3g} a day")
        canvas.legend(loc="outside lower center", frameon=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))  # whole days, never hours between two bars
    axes.xaxis.set_major_formatter(lambda day, _: str(np.datetime64(round(day), "D"))[5:])
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", rotation=30)
    return canvas


def _score_distribution(evidence: Evidence) -> Canvas:
    canvas, axes = _axes("Scores", "score (higher = more anomalous)", "share of the rows of a kind (log scale)")
    scores, truth = evidence.scores.score, evidence.truth
    kinds = {"normal": (truth == 0, BLUE), "anomaly": (truth == 1, ORANGE), "unknown": (truth < 0, GREY)}
    # Scores that are nearly one are drawn wider than they lie: bins have to differ.
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, max(high, low + 1e-9 * max(1.0, abs(low))), BINS + 1)
    for name, (chosen, colour) in kinds.items():
        rows = int(chosen.sum())
        if rows:
            shares = np.histogram(scores[chosen], edges)[0] / rows
            label = f"{name}, {rows:,} rows"
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.25)
            axes.stairs(shares, edges, color=colour, linewidth=1.6, label=label)
    axes.set_yscale("log")
    if edges[0] <= evidence.level <= edges[-1]:
        axes.axvline(
            evidence.level, color=INK, linestyle=":", linewidth=1.5, label=f"flagged from {evidence.level:.4g}"
        )
    canvas.legend(loc="outside lower center", ncols=len(kinds) + 1, frameon=False)
    return canvas


def _feature_importance(report: Report) -> Canvas:
    canvas, axes = _axes("What weighed most in flagged rows", "mean absolute contribution, in the detector's unit", "")
    names = [shortened(item.feature) for item in report.importance]
    places = np.arange(len(names))
    axes.barh(places, [item.contribution for item in report.importance], color=BLUE, height=0.7)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return canvas


def shortened(name: str) -> str:
    """A feature's name as the pictures can show it."""
    text = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    drawn = _drawable()
    text = "".join(sign if sign.isprintable() and ord(sign) in drawn else UNDRAWABLE for sign in text)
    # matplotlib would read a pair of dollar signs as mathematics.
    return text.replace("$", r"\$")


@cache
def _drawable() -> frozenset[int]:
    """Code points that the font of the pictures has a glyph for."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
