"""What every threshold must hold to: each check is given a class and an empty folder.

A check that fails raises AssertionError with a sentence that says what was found. The scores are exchangeable, so
what a threshold promises of them can be told exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tocsin.calibration import rows_band
from tocsin.checks.mutants import survives
from tocsin.checks.part import require
from tocsin.errors import DataError, NotFittedError
from tocsin.records import Mask, Vector
from tocsin.thresholds.base import REACH, AlertBudget, Calibration, Threshold

_ROWS = 20_000
_RATE = 0.01
_BAND = 0.9999
"""One honest threshold in ten thousand fails the check of its share."""


def _scores(seed: int, rows: int = _ROWS) -> Vector:
    return np.random.default_rng(seed).gumbel(size=rows)


def _fitted(kind: type[Threshold], folder: Path) -> Threshold:
    return kind.example(folder).fit(Calibration(_scores(0)), AlertBudget(per_row=_RATE))


def check_p_values_are_greater_than_0_and_at_most_1(kind: type[Threshold], folder: Path) -> None:
    """Also far outside of what was seen."""
    p = _fitted(kind, folder).p_value(np.concatenate([_scores(1), [-1e300, 1e300]]))
    require((p > 0).all() and (p <= 1).all(), f"p-values from {p.min()} to {p.max()}, wanted (0, 1]")


def check_a_higher_score_is_never_less_anomalous(kind: type[Threshold], folder: Path) -> None:
    """P-values fall and flags only appear as scores grow."""
    threshold, scores = _fitted(kind, folder), np.sort(_scores(1))
    require((np.diff(threshold.p_value(scores)) <= 0).all(), "a p-value that grows with the score")
    flags: Mask = threshold.flag(scores)
    require((np.diff(flags.astype(int)) >= 0).all(), "a flag that goes out as the score grows")


def check_a_score_means_the_same_in_any_batch(kind: type[Threshold], folder: Path) -> None:
    """Alone, among others, once more."""
    threshold, scores = _fitted(kind, folder), _scores(1, 300)
    p, flags = threshold.p_value(scores), threshold.flag(scores)
    alone = np.concatenate([threshold.p_value(scores[row : row + 1]) for row in range(len(scores))])
    require((p == alone).all(), "a p-value that depends on the batch")
    alone = np.concatenate([threshold.flag(scores[row : row + 1]) for row in range(len(scores))])
    require((flags == alone).all(), "a flag that depends on the batch")
    require((threshold.p_value(scores) == p).all(), "a p-value that later scores moved")


def check_restoring_the_state_gives_the_same_decisions(kind: type[Threshold], folder: Path) -> None:
    """P-values, flags and promise, from parameters and state alone."""
    threshold, scores = _fitted(kind, folder), _scores(1)
    again = kind.restore(threshold.parameters(), threshold.state())
    require((again.p_value(scores) == threshold.p_value(scores)).all(), "other p-values after restore")
    require((again.flag(scores) == threshold.flag(scores)).all(), "other flags after restore")
    require(again.promise() == threshold.promise(), "another promise after restore")


def check_a_hostile_state_is_refused_or_harmless(kind: type[Threshold], folder: Path) -> None:
    """A model may come from anywhere: no array in it makes a p-value or a flag that is none."""
    threshold, scores = _fitted(kind, folder), _scores(1, 5)

    def judges(restored: Threshold) -> None:
        p, flags = restored.p_value(scores), restored.flag(scores)
        require(((p > 0) & (p <= 1)).all() and flags.dtype == np.bool_, f"p-values {p} and flags {flags}")

    survives(threshold.state(), lambda state: kind.restore(threshold.parameters(), state), judges, kind.__name__)


def check_the_promised_share_is_flagged(kind: type[Threshold], folder: Path) -> None:
    """On as many fresh rows the count lies in the 99.99 % beta-binomial band of the rate that is served."""
    threshold = _fitted(kind, folder)
    flagged, promise = int(threshold.flag(_scores(1)).sum()), threshold.promise()
    low, high = rows_band(round(promise["served"] * _ROWS), _ROWS, _BAND)
    require(low <= flagged <= high, f"{flagged} of {_ROWS} rows flagged, wanted {low} to {high}")
    kept = promise["state"] == "fixed" or promise["served"] == promise["asked"] == _RATE
    require(kept, f"{promise['served']:g} served of a rate of {_RATE:g} that the rows allow")


def check_a_larger_budget_flags_what_a_smaller_one_does(kind: type[Threshold], folder: Path) -> None:
    """`ease` is at most 1 for flagged rows and for no others, and falls as scores grow."""
    threshold, scores = _fitted(kind, folder), np.sort(_scores(1))
    ease = threshold.ease(scores)
    require(((ease <= 1.0) == threshold.flag(scores)).all(), "ease tells other rows than those that are flagged")
    require((ease[1:] <= ease[:-1]).all(), "a higher score that needs a larger budget")
    require((ease >= 1.0 / REACH).all(), f"an ease of {ease.min():g}, wanted at least {1.0 / REACH:g}")


def check_entities_that_were_never_seen_are_judged(kind: type[Threshold], folder: Path) -> None:
    """As those without a name, whatever the threshold knows of others."""
    threshold, scores = _fitted(kind, folder), _scores(1, 300)
    strangers = np.full(len(scores), "never seen", dtype=object)
    same = (threshold.p_value(scores, strangers) == threshold.p_value(scores)).all()
    require(same and (threshold.flag(scores, strangers) == threshold.flag(scores)).all(), "strangers judged otherwise")


def check_fewer_than_100_rows_are_refused(kind: type[Threshold], folder: Path) -> None:
    """With a DataError, as the contract of `fit` says."""
    try:
        kind.example(folder).fit(Calibration(_scores(0, 99)), AlertBudget(per_row=_RATE))
    except DataError:
        return
    raise AssertionError("99 calibration rows were accepted")


def check_nothing_is_decided_before_fit(kind: type[Threshold], folder: Path) -> None:
    """A threshold that knows nothing says so."""
    try:
        kind.example(folder).p_value(_scores(0, 1))
    except NotFittedError:
        return
    raise AssertionError("a p-value before fit")


CHECKS: tuple[Callable[[type[Threshold], Path], None], ...] = (
    check_p_values_are_greater_than_0_and_at_most_1,
    check_a_higher_score_is_never_less_anomalous,
    check_a_score_means_the_same_in_any_batch,
    check_restoring_the_state_gives_the_same_decisions,
    check_a_hostile_state_is_refused_or_harmless,
    check_the_promised_share_is_flagged,
    check_a_larger_budget_flags_what_a_smaller_one_does,
    check_entities_that_were_never_seen_are_judged,
    check_fewer_than_100_rows_are_refused,
    check_nothing_is_decided_before_fit,
)
