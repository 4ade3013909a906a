"""`features.keep: auto`: columns that only hide anomalies from the detector are set aside before it learns.

Backward elimination of groups of columns (Guyon and Elisseeff, JMLR 3, 2003), judged as `tocsin tune` judges: what is
learnt from the first half of the training rows finds labelled or injected anomalies in the second half. The calibration
and the test rows are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tocsin import log, observe
from tocsin.config import SplitConfig
from tocsin.errors import TocsinError
from tocsin.model.catalogue import Column, columns
from tocsin.model.design import Design
from tocsin.model.feature_cache import FeatureCache
from tocsin.records import Batch, Matrix
from tocsin.training.folds import folds
from tocsin.training.judging import Judging, can_rank
from tocsin.training.objective import Answers, gain

MOST_FIELDS = 16
"""Fields of which each, with all that comes of it, is a group of its own; where there are more, features alone are."""
SEED = 0
"""Of what is injected and of what is drawn to tell how sure a gain is."""

Names = frozenset[str]
Ask = Callable[[Names], Answers | None]
"""Columns -> how the detector does with them alone; None if it cannot do with them."""


def selected(design: Design, train: Batch, split: SplitConfig, cache: FeatureCache | None = None) -> Design:
    """The design as it is, or, where it says `keep: auto`, with further columns set aside.

    First go columns that are constant in the rows to learn from or repeat another, if nothing is lost by it. Then
    go groups, the most harmful first, each only if that is surely a gain: all that one kind of feature derives, or all
    that comes of one field.

    Parameters
    ----------
    design
        What is to be trained.
    train
        The training rows, in time order where there is a clock.
    split
        Whether rows are divided by time or by entity.
    cache
        Of features.

    Raises
    ------
    DataError
        If there are too few rows to learn from one half of them.
    """
    if design.features.keep == "all":
        return design
    halves = list(folds(train, design.schema, split, 1))
    judging = Judging(halves, can_rank(halves), SEED, cache)
    with log.quiet():
        names, learnt = judging.learnt(design, 0)
        kept = _eliminated(names, _idle(names, learnt), _groups(design, names), _asked(judging, design, names))
    aside = tuple(name for name in names if name not in kept)
    if aside:
        observe.columns_set_aside(aside)
    features = design.features.model_copy(update={"aside": (*design.features.aside, *aside)})
    return replace(design, features=features)


def _asked(judging: Judging, design: Design, names: tuple[str, ...]) -> Ask:
    def ask(kept: Names) -> Answers | None:
        try:
            return judging.answers(design, 0, [name for name in names if name in kept])
        except TocsinError:  # a detector may need a column by its name
            return None

    return ask


def _eliminated(names: tuple[str, ...], idle: Names, groups: Sequence[Names], ask: Ask) -> Names:
    """The columns that stay."""
    kept, best = frozenset(names), ask(frozenset(names))
    if best is None:
        return kept
    if idle and (without := ask(kept - idle)) and without.value() >= best.value():
        kept, best = kept - idle, without
    alone = [(found.value(), group) for group in groups if kept - group and (found := ask(kept - group))]
    for _, group in sorted(alone, key=lambda found: -found[0]):
        rest = kept - group
        if rest and rest < kept and (found := ask(rest)) and gain(best, found, SEED).sure:
            kept, best = rest, found
    return kept


def _idle(names: tuple[str, ...], learnt: Matrix) -> Names:
    """Columns that never change, or are the same as one before them in every row."""
    seen: set[bytes] = set()
    found = set()
    for name, column in zip(names, learnt.T, strict=True):
        content = column.tobytes()
        if content in seen or not (column != column[:1]).any() or np.isnan(column).all():
            found.add(name)
        seen.add(content)
    return frozenset(found)


def _groups(design: Design, names: tuple[str, ...]) -> list[Names]:
    """Columns by the feature that derives them, and by the field that they come of; each group once."""
    known = {column.name: column for column in columns(design)}
    by_feature = _by(names, lambda name: known[name].group if name in known else name.partition("=")[0])
    by_field = _by(names, lambda name: _origin(name, known))
    chosen = [*by_feature, *(by_field if len(by_field) <= MOST_FIELDS else ())]
    return [group for group in dict.fromkeys(chosen) if len(group) < len(names)]


def _by(names: tuple[str, ...], key: Callable[[str], str]) -> list[Names]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return [frozenset(group) for group in found.values()]


def _origin(name: str, known: Mapping[str, Column]) -> str:
    """The first field that a column is computed from."""
    while name in known and known[name].inputs:
        name = known[name].inputs[0]
    return name.partition("=")[0]
