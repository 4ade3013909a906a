"""The figures of a bench as one JSON document and one Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from tocsin.bench.run import OURS, Judged

FIGURES = ("average_precision", "roc_auc", "vus_pr", "seconds")
EXPLAINED = (
    "Mean average precision / ROC-AUC over the cases of each set (how many), and VUS-PR where rows have a time. "
    "Thresholds play no part, and no parameter was set per set."
)


def document(judged: Sequence[Judged], missing: Sequence[str]) -> dict[str, Any]:
    """Every figure of every case, and the means over the cases of a set, as JSON values.

    Parameters
    ----------
    judged
        In the order in which they were judged.
    missing
        Contenders that were not there to be asked.
    """
    return {
        "format": 1,
        "means": {of: _means(cases) for of, cases in _by_set(judged).items()},
        "cases": [asdict(case) for case in judged],
        "missing": list(missing),
    }


def grid(judged: Sequence[Judged]) -> list[list[str]]:
    """Contenders down, sets across, the heads first; each cell the mean figures, the best of a set in bold."""
    sets = _by_set(judged)
    means = {of: _means(cases) for of, cases in sets.items()}
    contenders = dict.fromkeys(name for mean in means.values() for name in mean)
    heads = [f"{of} ({sum(1 for case in cases if case.results)})" for of, cases in sets.items()]
    return [["", *heads], *([name, *(_cell(name, mean) for mean in means.values())] for name in contenders)]


def remarks(judged: Sequence[Judged], missing: Sequence[str]) -> list[str]:
    """What a reader of the table must know: generated rows, cases left out or in doubt, contenders not asked."""
    lines = [f"{of} is made from generated rows." for of in sorted({case.set for case in judged if case.generated})]
    lines += _grouped("Left out", ((case.reason, case) for case in judged if case.reason))
    lines += _grouped("Doubtful", ((doubt, case) for case in judged for doubt in case.doubts))
    if missing:
        lines.append(f"Not installed, so not asked: {', '.join(missing)} (pip install 'tocsin[bench]').")
    return lines


def markdown(judged: Sequence[Judged], missing: Sequence[str]) -> str:
    """The grid as a Markdown table, and what is to be known of it."""
    heads, *rows = (f"| {' | '.join(row)} |" for row in grid(judged))
    rule = f"|---|{'---|' * len(_by_set(judged))}"
    said = [f"- {line}" for line in remarks(judged, missing)]
    return "\n".join([EXPLAINED, "", heads, rule, *rows, *([""] if said else []), *said]) + "\n"


def _grouped(word: str, said: Iterable[tuple[str, Judged]]) -> list[str]:
    """A line for each thing that is said, and of what."""
    cases: dict[str, list[Judged]] = {}
    for what, case in said:
        cases.setdefault(what.rstrip("."), []).append(case)
    return [f"{word}: {_those(of)}: {what}." for what, of in cases.items()]


def _those(cases: Sequence[Judged]) -> str:
    if len(cases) == 1:
        return f"{cases[0].set} {cases[0].name}"
    return f"{len(cases)} cases of {', '.join(_by_set(cases))}"


def _by_set(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    sets: dict[str, list[Judged]] = {}
    for case in judged:
        sets.setdefault(case.set, []).append(case)
    return sets


def _means(cases: Sequence[Judged]) -> dict[str, dict[str, float]]:
    results = [case.results for case in cases if case.results]
    found: dict[str, dict[str, float]] = {}
    # A mean of fewer cases than the others' would not compare.
    for name in [name for name in results[0] if all(name in result for result in results)] if results else ():
        columns = {figure: [getattr(result[name], figure) for result in results] for figure in FIGURES}
        found[name] = {figure: fmean(values) for figure, values in columns.items() if None not in values}
    return found


def _cell(name: str, means: dict[str, dict[str, float]]) -> str:
    if name not in means:
        return "—"
    best = max(mean["average_precision"] for mean in means.values())
    mine = means[name]["average_precision"]
    shown = (means[name][figure] for figure in FIGURES[:-1] if figure in means[name])
    text = " / ".join(f"{value:.3f}" for value in shown)
    return f"**{text}**" if mine == best else text


def won(judged: Sequence[Judged]) -> tuple[int, int]:
    """Sets in which Tocsin has the highest mean average precision, and all that were judged."""
    means = [mean for cases in _by_set(judged).values() if (mean := _means(cases))]
    best = [max(mean, key=lambda name: mean[name]["average_precision"]) for mean in means]
    return best.count(OURS), len(means)
