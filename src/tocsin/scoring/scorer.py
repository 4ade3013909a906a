"""A model at work on rows that follow each other: scores, and alerts through the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tocsin.alerts import AlertPolicy, flagged_rows
from tocsin.kernel.run import FeatureMatrix
from tocsin.kernel.state import KernelState
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.observe import swapping
from tocsin.records import SECOND, Alert, Batch, Mask, Scores
from tocsin.scoring.isolation import Isolation
from tocsin.scoring.ordering import EventTime, Released


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of a batch."""

    batch: Batch
    matrix: FeatureMatrix
    scores: Scores
    alerts: tuple[Alert, ...]
    generated: bool
    """The rows, or those that the model learnt from, come from a generator."""
    spared: bool = False
    """The model failed on them, and the one before it judged them."""
    failed: int = 0
    """Rows that came with these and that nothing could be said of."""


class Scorer:
    """Keeps entity state and open episodes from batch to batch.

    Parameters
    ----------
    model
        Fitted.
    policy
        Turns flags into alerts; its state moves with every batch.
    """

    def __init__(self, model: AnomalyModel, policy: AlertPolicy) -> None:
        self.model = model
        self.policy = policy
        self._state: KernelState | None = None
        self.order = _order(model)
        """Holds rows back where the features wait for late ones; None where they do not."""
        self.spare: Scorer | None = None
        """Judges rows that the model fails on, by the same features; without one, such a failure is raised."""
        self.isolation: Isolation | None = None
        """Sets rows apart on which a part raises. It costs a copy of all that rows move, so there is one only then."""

    @property
    def state(self) -> KernelState:
        """What the features remember; room for it is taken with the first row, unless it comes from another scorer."""
        if self._state is None:
            self._state = self.model.start()
        return self._state

    @state.setter
    def state(self, state: KernelState) -> None:
        self._state = state

    def stream(self, batches: Iterable[Batch], generated: Callable[[], bool] = lambda: False) -> Iterator[Scored]:
        """Score batches as they come, and at the end what was held back.

        Parameters
        ----------
        batches
            Typed rows.
        generated
            Whether any of the rows so far came from a generator; asked once a batch is there.
        """
        for batch in batches:
            self.policy.generated |= generated()
            yield from self.take(batch)
        yield from self.flush()

    def take(self, batch: Batch) -> Iterator[Scored]:
        """What becomes of the next rows, or, if the features wait for late rows, of those that waited for them.

        Raises
        ------
        Exception
            Whatever a part raises without an `isolation`: the state is then of no use.
        ModelBroken
            If no row can be scored.
        """
        if self.order is None:
            yield from self._each(batch, np.zeros(batch.rows, dtype=bool))
        else:
            yield from self._each(*_in_turn(self.order.push(batch)))

    def _each(self, rows: Batch, late: Mask) -> Iterator[Scored]:
        if not rows.rows:
            return
        if self.isolation is None:
            yield self.judged(rows, late)
            return
        scored, failed = self.isolation.scored(self.judged, self._set_aside, rows, late)
        if scored is not None:
            yield replace(scored, failed=failed)

    def _set_aside(self, rows: Batch) -> Callable[[], None]:
        """Keep what these rows may move; what is answered gives it back."""
        kernel, kept, policy = self.model.kernel, self.model.kernel.keep(rows, self.state), self.policy.state()

        def give_back() -> None:
            kernel.give_back(kept, self.state)
            self.policy.restore(policy)

        return give_back

    def flush(self) -> Iterator[Scored]:
        """What becomes of rows that are held back: nothing older will come."""
        if self.order is not None:
            rest = self.order.flush()
            yield from self._each(rest, np.zeros(rest.rows, dtype=bool))

    def score(self, batch: Batch) -> Scored:
        """Score typed rows in arrival order; alerts are those that ring because of them."""
        return self.judged(batch, np.zeros(batch.rows, dtype=bool))

    def judged(self, batch: Batch, late: Mask) -> Scored:
        """Score rows in their order; those that are too late are decided on where they came, and move nothing."""
        matrix = features_of(self.model, self.state, batch, late)
        try:
            scores = self.model.judge(matrix, self.model.entities(batch))
        except Exception as error:  # whatever a model raises: rows are not lost to it while another can judge them
            if self.spare is None:
                raise
            swapping.rows_failed(batch.rows, f"{type(error).__name__}: {error}")
            scored = decide(self.spare.model, self.policy, batch, matrix)
            shown = self.spare.policy.model
            return replace(scored, alerts=tuple(replace(alert, model=shown) for alert in scored.alerts), spared=True)
        return _rung(self.model, self.policy, batch, matrix, scores)


def features_of(model: AnomalyModel, state: KernelState, rows: Batch, late: Mask) -> FeatureMatrix:
    """The features of rows in their order, of those that are too late each as if it were its entity's only one."""
    if not late.any():
        return model.features(rows, state)
    alone = model.kernel.alone(rows.take(late))
    if late.all():
        return alone
    in_order = model.features(rows.take(~late), state)
    values = np.empty((rows.rows, in_order.values.shape[1]))
    marks = np.empty(rows.rows, dtype=np.uint8)
    values[late], values[~late] = alone.values, in_order.values
    marks[late], marks[~late] = alone.marks, in_order.marks
    return FeatureMatrix(values, marks)


def _in_turn(released: Released) -> tuple[Batch, Mask]:
    """All rows that were released where they came, so that no cut of a stream rings otherwise, and which are late."""
    in_order = released.in_order.rows
    if not released.too_late.rows:
        return released.in_order, np.zeros(in_order, dtype=bool)
    places = np.concatenate([np.arange(in_order), released.before - 0.5])
    order = np.argsort(places, kind="stable")
    return Batch.concatenate([released.in_order, released.too_late]).take(order), order >= in_order


def _order(model: AnomalyModel) -> EventTime | None:
    wait, time = model.design.features.wait, model.design.schema.time
    return None if wait is None or time is None else EventTime(time, round(wait * SECOND))


def decide(model: AnomalyModel, policy: AlertPolicy, batch: Batch, matrix: FeatureMatrix) -> Scored:
    """What becomes of rows whose features are known."""
    return _rung(model, policy, batch, matrix, model.judge(matrix, model.entities(batch)))


def _rung(model: AnomalyModel, policy: AlertPolicy, batch: Batch, matrix: FeatureMatrix, scores: Scores) -> Scored:
    quiet = policy.controller is None and not scores.flagged.any()  # such rows move nothing in a policy
    alerts = () if quiet else policy.decide(flagged_rows(model, batch, matrix, scores, policy.loosest))
    return Scored(batch, matrix, scores, alerts, policy.generated)
