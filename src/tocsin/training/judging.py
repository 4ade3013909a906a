"""Candidates judged on folds: each takes preparation and detector anew, all share the features where they can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tocsin.component import build
from tocsin.detectors.base import Detector, Supervision
from tocsin.errors import DataError
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.model.anomaly_model import LEAST_ROWS
from tocsin.model.design import Design
from tocsin.model.feature_cache import FeatureCache, FeaturePass
from tocsin.model.training_rows import complete, presumed_normal
from tocsin.preparation import Preparation
from tocsin.records import LABEL, Batch, Matrix, Vector
from tocsin.schema import Schema
from tocsin.synthetic.injection import Disturbances, Injected, inject
from tocsin.training.folds import Fold
from tocsin.training.objective import Answers, allowed_alerts, blocks_of, level_within

LEAST_ANOMALIES = 5
"""Labelled rows without which a fold says nothing of a candidate."""
DRAWS = 4
"""Copies of the judged rows that are disturbed, each in other places."""
MOST_WINDOWS = 100
"""Of one copy."""
ROWS_PER_WINDOW = 120
"""So few of the rows are disturbed that windows and states see a usual life around them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Computed:
    """One fold behind the features of one design; sequences (n, steps, d), also where steps is 1."""

    names: tuple[str, ...]
    learnt: Matrix
    labels: NDArray[np.int8] | None
    rows: NDArray[np.intp]
    """Judged rows that are warm, by their place among all."""
    judged: Matrix
    disturbed: tuple[tuple[Matrix, NDArray[np.intp]], ...]
    """Of each copy the disturbed rows, and their windows."""


@dataclass
class Judging:
    """Folds on which candidates are judged.

    Parameters
    ----------
    folds
        What to learn from and what to judge on.
    ranked
        By labelled anomalies; by injected ones otherwise.
    seed
        Of what is injected.
    cache
        Where features of rows lie that earlier runs computed.
    """

    folds: Sequence[Fold]
    ranked: bool
    seed: int = 0
    cache: FeatureCache | None = None
    _known: dict[tuple[int, str], _Computed] = field(default_factory=dict)
    _copies: dict[int, tuple[Injected, ...]] = field(default_factory=dict)

    def answers(self, design: Design, number: int, columns: Sequence[str] | None = None) -> Answers:
        """How a design does on one fold, or with these of its columns alone.

        Raises
        ------
        TocsinError
            If nothing can be learnt from the rows, or the parts refuse them.
        """
        fold, computed = self.folds[number], self._computed(design, number)
        names = computed.names if columns is None else tuple(columns)
        places = [computed.names.index(name) for name in names]
        candidate = _Candidate(design, names).fit(computed.learnt[..., places], computed.labels)
        scores = candidate.score(computed.judged[..., places])
        labels = _labels(fold.judge)[computed.rows]
        schema, usual = design.schema, labels < 1
        rows = fold.judge.take(computed.rows[usual])
        by_time = design.budget.per_day is not None and schema.time is not None
        level = level_within(
            scores[usual],
            rows[schema.time] if by_time and schema.time else None,
            rows[schema.entity] if schema.entity else None,
            design.budget.cooldown_s,
            allowed_alerts(design.budget, _usual(fold), schema, fold.share),
        )
        blocks = blocks_of(fold.judge.rows)[computed.rows]
        if self.ranked:
            wanted, known = labels == 1, labels == 0
            of_wanted, of_normal = blocks[wanted], blocks[known]
            count = int(blocks_of(fold.judge.rows)[-1]) + 1
            return Answers(level, scores[wanted], of_wanted, scores[known], of_normal, count, ranked=True)
        peaks = self._peaks(candidate, computed, number, places)
        numbers = np.arange(len(peaks))
        return Answers(level, peaks, numbers, scores[usual], blocks[usual], len(peaks), ranked=False)

    def learnt(self, design: Design, number: int) -> tuple[tuple[str, ...], Matrix]:
        """The columns of a design, and what is learnt from in a fold, (n, d), before preparation."""
        computed = self._computed(design, number)
        return computed.names, computed.learnt[:, -1]

    def _peaks(self, candidate: _Candidate, computed: _Computed, number: int, places: list[int]) -> Vector:
        """The highest score in each disturbed window of all copies; minus infinity where no row was warm."""
        peaks = []
        for copy, (values, windows) in zip(self._copies[number], computed.disturbed, strict=True):
            highest = np.full(len(copy.kinds), -np.inf)
            np.maximum.at(highest, windows, candidate.score(values[..., places]))
            peaks.append(highest)
        return np.concatenate(peaks)

    def _disturbed(self, schema: Schema, number: int) -> tuple[Injected, ...]:
        if number not in self._copies:
            usual = _usual(self.folds[number])
            windows = max(1, min(MOST_WINDOWS, usual.rows // ROWS_PER_WINDOW))
            seeds = np.random.SeedSequence([self.seed, number]).generate_state(DRAWS).tolist()
            self._copies[number] = tuple(
                inject(usual, schema, Disturbances(windows=windows, seed=seed)) for seed in seeds
            )
        return self._copies[number]

    def _computed(self, design: Design, number: int) -> _Computed:
        key = (number, f"{design.features.model_dump_json()} {design.steps}")
        if key not in self._known:
            if len(self._known) >= len(self.folds):  # features are searched, too: those of the last trial are enough
                self._known.clear()
            self._known[key] = self._compute(design, number)
        return self._known[key]

    def _compute(self, design: Design, number: int) -> _Computed:
        fold = self.folds[number]
        detector = cast("Detector", build("detectors", design.detector, "$.detector"))
        told_apart = detector.supervision is Supervision.LABELLED
        learnable = np.ones(fold.learn.rows, dtype=bool) if told_apart else presumed_normal(fold.learn)
        training = fold.learn.take(learnable)
        program = design.program(training)
        kernel = Kernel(design.sequence(program, training), entities=design.entities)
        shape = (detector.steps, len(program.outputs))

        def behind(batch: Batch) -> tuple[FeatureMatrix, FeatureMatrix]:
            """Features of the rows to learn from, and of others that follow them."""
            features = FeaturePass(self.cache).begin(kernel)
            return features.run(fold.learn), features.run(batch)

        before, judged = behind(fold.judge)
        usable = learnable & complete(before, detector.steps)
        if usable.sum() < LEAST_ROWS:
            got = f"{usable.sum()} usable rows to learn from in a fold"
            raise DataError("tune", got, f"at least {LEAST_ROWS}", "give more history, or fewer folds as tune.folds")
        disturbed = []
        for copy in () if self.ranked else self._disturbed(design.schema, number):
            _, matrix = behind(copy.batch)
            touched = (copy.windows >= 0) & matrix.warm
            disturbed.append((matrix.values[touched].reshape(-1, *shape), copy.windows[touched]))
        rows = np.flatnonzero(judged.warm)
        return _Computed(
            program.outputs,
            before.values[usable].reshape(-1, *shape),
            np.asarray(fold.learn[LABEL][usable]) if LABEL in fold.learn else None,
            rows,
            judged.values[rows].reshape(-1, *shape),
            tuple(disturbed),
        )


class _Candidate:
    """Preparation and detector of a design, as a model fits them, on sequences (n, steps, d) of computed features."""

    def __init__(self, design: Design, names: Sequence[str]) -> None:
        self._names = names
        self._preparation = Preparation(design.preparation)
        self._detector = cast("Detector", build("detectors", design.detector, "$.detector"))
        self._detector.meet(names)

    def fit(self, values: Matrix, labels: NDArray[np.int8] | None) -> _Candidate:
        self._preparation.fit(values[:, -1], self._names)
        self._detector.fit(self._prepared(values), labels)
        return self

    def score(self, values: Matrix) -> Vector:
        return self._detector.score(self._prepared(values))

    def _prepared(self, values: Matrix) -> Matrix:
        return self._preparation.apply(values if self._detector.steps > 1 else values[:, 0])


def _usual(fold: Fold) -> Batch:
    return fold.judge.take(presumed_normal(fold.judge))


def _labels(rows: Batch) -> NDArray[np.int8]:
    return np.asarray(rows[LABEL]) if LABEL in rows else np.full(rows.rows, -1, dtype=np.int8)


def can_rank(folds: Sequence[Fold]) -> bool:
    """Whether the judged rows of all folds hold enough labelled anomalies, and normal rows beside them."""
    labels = [_labels(fold.judge) for fold in folds]
    return all((found == 1).sum() >= LEAST_ANOMALIES and (found == 0).any() for found in labels)
