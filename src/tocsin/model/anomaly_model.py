"""The model: everything between a typed row and its p-value, in one piece.

It is what is trained, judged, stored and deployed. Two models with one digest give the same scores for the same
rows, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from tocsin import observe
from tocsin.component import build
from tocsin.detectors.base import Detector, Supervision
from tocsin.errors import DataError, IntegrityError, NotFittedError
from tocsin.features.base_units import units
from tocsin.kernel.program import Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.kernel.sequences import without_sequence
from tocsin.kernel.state import WARMING_UP, KernelState
from tocsin.model.bundle import Bundle, digest, read, write
from tocsin.model.design import Design
from tocsin.model.feature_cache import FeaturePass
from tocsin.model.fitted import GOLDEN_ROWS, Fitted
from tocsin.model.profile import Profile
from tocsin.model.reasons import Explainer
from tocsin.model.rounding import Rounding
from tocsin.model.training_rows import TrainingRows, candidates, complete, lowest, presumed_normal
from tocsin.preparation import Preparation
from tocsin.records import LABEL, Batch, Column, Mask, Matrix, Reason, Scores, Times, Vector, filled
from tocsin.thresholds.base import Calibration, Threshold

LEAST_ROWS = 100
"""Training rows below which nothing can be learnt that deserves to wake somebody."""
GOLDEN_TOLERANCE = 1e-9
"""Scores of the golden rows may differ by this much between machines, no more."""
ENOUGH_ROWS = 1_000
"""Rows without a single value of a column, of which training had some, that are no chance."""
SAMPLED = 2_000
"""Training rows by which it is told how often a model rings among those that it learnt from."""
DEGRADED = 0.5
"""Share of missing features beyond which most of a row is a guess."""


class AnomalyModel:
    """Schema, features, preparation, detector and threshold, fitted together and never apart.

    Parameters
    ----------
    design
        What to train.
    inputs
        SHA-256 of the files to learn from: part of the model's identity, and how it knows its own training rows again.
    """

    def __init__(self, design: Design, inputs: Collection[str] = ()) -> None:
        self.design = design
        self.detector = cast("Detector", build("detectors", design.detector, "$.detector"))
        self.threshold = cast("Threshold", build("thresholds", design.threshold, "$.threshold"))
        self.preparation = Preparation(design.preparation)
        self._kernel: Kernel | None = None
        self._training: TrainingRows | None = None
        self._profile: Profile | None = None
        self._golden = np.empty((0, 0))
        self.inputs = frozenset(inputs)
        self.code = version("tocsin")
        self.share = 1.0
        self.rounding: Rounding | None = None
        """What keeping its numbers short did to it, where it was fitted so."""

    def fit(
        self,
        train: Batch,
        calibration: Batch,
        share: float = 1.0,
        checkpoint: Callable[[str], None] = lambda _: None,
        features: FeaturePass | None = None,
    ) -> Self:
        """Learn from training rows, then set the alert level on calibration rows that follow them.

        Rows labelled as anomalies pass through the features, since they happened, but nothing is learnt from them
        unless the detector asks for labels.

        Parameters
        ----------
        train, calibration
            Typed, pseudonymised rows in time order where there is a clock.
        share
            The part of all entities that the calibration rows hold, where the split is by entity: they may ring
            that part of the budget.
        checkpoint
            Called with the name of each stage before it begins; may raise to end the training.
        features
            Takes the rows through the features, and stands behind the calibration rows afterwards.

        Raises
        ------
        DataError
            If there are too few usable rows.
        """
        checkpoint("features")
        told_apart = self.detector.supervision is Supervision.LABELLED
        learnable = np.ones(train.rows, dtype=bool) if told_apart else presumed_normal(train)
        training = train.take(learnable)
        program = self.design.program(training)
        self.detector.meet(program.outputs)
        self._kernel = Kernel(self.design.sequence(program, training), entities=self.design.entities)
        self.share = share
        features = (features or FeaturePass()).begin(self._kernel)
        matrix = features.run(train)
        rows = learnable & complete(matrix, self.detector.steps)
        values = matrix.values[rows]
        if len(values) < LEAST_ROWS:
            raise DataError(
                "training",
                f"{len(values)} usable rows",
                f"at least {LEAST_ROWS}",
                self._why_few(train.rows - training.rows, int(learnable.sum()), len(values)),
            )
        latest = self.latest(values)
        prepared = self.preparation.fit(latest, self.program.outputs).apply(latest)
        checkpoint("detector")
        labels = np.asarray(train[LABEL][rows]) if LABEL in train else None
        self.detector.fit(self.prepared(values) if self.detector.steps > 1 else prepared, labels)
        exact = self.detector
        if self.design.precision == "float32":  # before all that is learnt from its scores
            self.detector = exact.rounded()
        normal = candidates(np.ones(len(values), dtype=bool) if labels is None else labels != 1)
        typical = lowest(normal, self.detector.score(self.prepared(values[normal])))
        times, entities = self._whose(train, rows)
        self._training = TrainingRows.of(latest, prepared, typical, times, entities)
        self._golden = values[np.linspace(0, len(values) - 1, GOLDEN_ROWS).astype(int)]
        checkpoint("threshold")
        self._calibrate(calibration, features.run(calibration), exact)
        rang = self.rung(FeatureMatrix(values, matrix.marks[rows]), train.take(rows))
        self._profile = Profile.of(train.take(rows), self.design.schema, rang)
        return self

    def _why_few(self, anomalies: int, learnable: int, usable: int) -> str:
        if self.detector.steps > 1 and learnable >= LEAST_ROWS:
            steps = self.detector.steps
            return f"{self.detector!r} learns from {steps} rows of an entity that follow each other: take fewer steps"
        if anomalies > usable:
            return f"{anomalies} rows are labelled as anomalies: look at labels.normal"
        return "give more history, or look at the quarantine file if rows were refused"

    def _calibrate(self, calibration: Batch, matrix: FeatureMatrix, exact: Detector) -> None:
        rows = presumed_normal(calibration) & matrix.warm
        prepared = self.prepared(matrix.values[rows])
        scores = self.detector.score(prepared)
        times, entities = self._whose(calibration, rows)
        budget = self.design.budget
        if budget.per_day is not None:
            budget = replace(budget, per_day=budget.per_day * self.share)
        self.threshold.fit(Calibration(scores, times, entities), budget)
        if self.detector is not exact:
            self.rounding = Rounding.of(exact, self.detector, prepared, lambda s: self.threshold.flag(s, entities))

    def _whose(self, batch: Batch, rows: Mask) -> tuple[Times | None, Column | None]:
        """When the rows were and of whom, where the schema knows."""
        time, entities = self.design.schema.time, self.entities(batch)
        return batch[time][rows] if time else None, None if entities is None else entities[rows]

    def entities(self, batch: Batch) -> Column | None:
        """Of whom the rows are, (n,), where the schema knows."""
        entity = self.design.schema.entity
        return batch[entity] if entity else None

    @property
    def kernel(self) -> Kernel:
        """The compiled features."""
        if self._kernel is None:
            raise NotFittedError("model", "no features yet", hint="call fit or load first")
        return self._kernel

    @property
    def training(self) -> TrainingRows:
        """What it remembers of the rows that it learnt from."""
        if self._training is None:
            raise NotFittedError("model", "no training rows yet", hint="call fit or load first")
        return self._training

    @property
    def profile(self) -> Profile:
        """What these rows were like, field by field."""
        if self._profile is None:
            raise NotFittedError("model", "no profile yet", hint="call fit or load first")
        return self._profile

    @property
    def program(self) -> Program:
        """The features that were declared, frozen at fit; the kernel's own program also strings rows together."""
        program = self.kernel.program
        return without_sequence(program) if self.detector.steps > 1 else program

    def learnt_from(self, digests: Mapping[str, str]) -> bool:
        """Whether one of these files, with the SHA-256 of each, is among those it learnt from."""
        return not self.inputs.isdisjoint(digests.values())

    def start(self) -> KernelState:
        """Entity state before the first row."""
        return self.kernel.start()

    def features(self, batch: Batch, state: KernelState) -> FeatureMatrix:
        """Features of the rows in arrival order; moves `state`."""
        return self.kernel.run(batch, state)

    def prepared(self, values: Matrix) -> Matrix:
        """What the detector sees of a feature matrix: rows (n, d), or sequences (n, steps, d)."""
        rows, steps = len(values), self.detector.steps
        return self.preparation.apply(values.reshape(rows, steps, values.shape[1] // steps) if steps > 1 else values)

    def latest(self, values: Matrix) -> Matrix:
        """The features of each row itself, (n, d), in a matrix that may hold rows before it, too."""
        return values[:, values.shape[1] - values.shape[1] // self.detector.steps :]

    def score(self, batch: Batch, state: KernelState | None = None) -> Scores:
        """Score typed rows; entity state begins empty unless given, and moves if it is.

        Rows that are warming up are scored and never flagged.
        """
        matrix = self.features(batch, state if state is not None else self.start())
        return self.judge(matrix, self.entities(batch))

    def judge(self, matrix: FeatureMatrix, entities: Column | None = None) -> Scores:
        """Scores, p-values and flags of computed features, and of whom they are, (n,), for thresholds that ask.

        A row whose windows may lack what went before is degraded, and one that is warming up or a repeat never rings.
        """
        score = self.detector.score(self.prepared(matrix.values))
        states = filled("ready", len(score))
        rows, columns = matrix.values.shape
        gaps = np.flatnonzero(np.isnan(matrix.values))
        if len(gaps):
            states[np.bincount(gaps // columns, minlength=rows) / columns > DEGRADED] = "degraded"
        unsure = matrix.unsure
        waiting = ((matrix.marks & WARMING_UP) != 0) & ~unsure
        if matrix.marks.any():
            states[waiting], states[unsure] = "warming_up", "degraded"
        if self._lost(self.latest(matrix.values), waiting):
            states[states == "ready"] = "degraded"
        flagged = self.threshold.flag(score, entities) & matrix.warm
        return Scores(score, self.threshold.p_value(score, entities), flagged, states)

    def rung(self, matrix: FeatureMatrix, batch: Batch) -> tuple[int, int]:
        """Of an even sample of normal rows and their features: how many are flagged, and how many there are."""
        rows = np.flatnonzero(presumed_normal(batch))
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLED)).astype(np.intp))]
        chosen, entities = FeatureMatrix(matrix.values[rows], matrix.marks[rows]), self.entities(batch)
        scores = self.detector.score(self.prepared(chosen.values))
        flagged = self.threshold.flag(scores, None if entities is None else entities[rows]) & chosen.warm
        return int(np.count_nonzero(flagged)), len(rows)

    def _lost(self, values: Matrix, waiting: Mask) -> bool:
        """Whether what training had is gone: a column renamed, a collector that no longer tells."""
        if len(values) < ENOUGH_ROWS or len(there := np.flatnonzero(~waiting)) < ENOUGH_ROWS:
            return False
        gone = np.isnan(values[there[0]]) & ~np.isnan(self.training.usual[0])
        for column in np.flatnonzero(gone).tolist():
            gone[column] = np.isnan(values[there, column]).all()
        if not gone.any():
            return False
        observe.columns_lost(tuple(np.asarray(self.program.outputs)[gone].tolist()))
        return True

    def reasons(self, values: Matrix) -> list[tuple[Reason, ...]]:
        """For each row of features (n, d) those that pushed its score up the most, strongest first."""
        return self.explainer.reasons(values)

    def confidence(self, values: Matrix) -> list[float | None]:
        """For each row of features (n, d) how far those agree that score it; None where a detector stands alone."""
        agreed = self.detector.confidence(self.prepared(values)) if len(values) else None
        return [None] * len(values) if agreed is None else agreed.tolist()

    @cached_property
    def explainer(self) -> Explainer:
        """Says why rows scored as they did."""
        names, units_ = self.program.outputs, units(self.design.schema, self.program)
        typical = self.preparation.apply(self.training.typical)
        return Explainer(self.detector, self.prepared, names, units_, self.training, typical)

    @property
    def promise(self) -> Mapping[str, Any]:
        """What became of the alert budget, for all entities together: see `Threshold.promise`."""
        promised = dict(self.threshold.promise())
        if self.design.budget.per_day is not None and self.share < 1:
            promised |= {name: promised[name] / self.share for name in ("asked", "served")}
            promised["interval"] = [edge / self.share for edge in promised["interval"]]
        return promised

    @property
    def digest(self) -> str:
        """The model's identity: the same data, config and seed give the same digest."""
        fitted = self._fitted()
        return digest(fitted.content(), fitted.arrays())

    def bundle(self, notes: Mapping[str, Any]) -> Bundle:
        """The model as arrays and a manifest; `notes` is what is known about it: report, times, verdict."""
        fitted = self._fitted()
        return Bundle(fitted.content(), fitted.arrays(), notes)

    def _fitted(self) -> Fitted:
        return Fitted(
            design=self.design,
            code=self.code,
            inputs=self.inputs,
            share=self.share,
            kernel=self.kernel,
            preparation=self.preparation,
            detector=self.detector,
            threshold=self.threshold,
            training=self.training,
            profile=self.profile,
            golden=self._golden,
            golden_scores=self.replayed(),
        )

    @classmethod
    def from_bundle(cls, bundle: Bundle, outside: Collection[str] = ()) -> Self:
        """The model that a bundle holds, checked in its structure and by its golden rows.

        Parameters
        ----------
        bundle
            What `bundle` wrote.
        outside
            Parts of other packages (`package/name`) that the config on this machine names. A model alone never
            makes Tocsin import anything.

        Raises
        ------
        IntegrityError
            If any part of it does not hold together, or the golden rows score otherwise than when it was stored.
        """
        fitted = Fitted.restore(bundle, outside)
        model = cls(fitted.design, fitted.inputs)
        model.share, model.code = fitted.share, fitted.code
        model.preparation, model.detector, model.threshold = fitted.preparation, fitted.detector, fitted.threshold
        model._kernel, model._training, model._profile = fitted.kernel, fitted.training, fitted.profile
        model._golden = fitted.golden
        if not np.allclose(model.replayed(), fitted.golden_scores, rtol=0, atol=GOLDEN_TOLERANCE):
            raise IntegrityError("model", "other scores for its golden rows", "the scores it was stored with")
        return model

    def replayed(self) -> Vector:
        """What it says of its golden rows, (16,)."""
        return self.detector.score(self.prepared(self._golden))

    def save(self, folder: Path, notes: Mapping[str, Any] | None = None) -> None:
        """Write the model's files into a folder."""
        write(folder, self.bundle(notes or {}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model from a folder; see `from_bundle` for what is checked."""
        return cls.from_bundle(read(folder))
