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
from tocsin.records import SECOND, Alert, Batch, Scores
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
        """What becomes of the next rows, or, if the features wait for late rows, of those that waited for them."""
        if self.order is None:
            yield self.score(batch)
            return
        released = self.order.push(batch)
        if released.too_late.rows:
            yield self._merged(released)
        elif released.in_order.rows:
            yield self.score(released.in_order)

    def _merged(self, released: Released) -> Scored:
        """Rows that are too late are decided on where they came, so that no cut of a stream rings otherwise."""
        matrix = self.model.features(released.in_order, self.state) if released.in_order.rows else None
        alone = self.model.kernel.alone(released.too_late)
        if matrix is None:
            return self._decided(released.too_late, alone)
        places = np.concatenate([np.arange(released.in_order.rows), released.before - 0.5])
        order = np.argsort(places, kind="stable")
        values = np.concatenate([matrix.values, alone.values])[order]
        marks = np.concatenate([matrix.marks, alone.marks])[order]
        rows = Batch.concatenate([released.in_order, released.too_late]).take(order)
        return self._decided(rows, FeatureMatrix(values, marks))

    def flush(self) -> Iterator[Scored]:
        """What becomes of rows that are held back: nothing older will come."""
        if self.order is not None and (rest := self.order.flush()).rows:
            yield self.score(rest)

    def score(self, batch: Batch) -> Scored:
        """Score typed rows in arrival order; alerts are those that ring because of them."""
        return self._decided(batch, self.model.features(batch, self.state))

    def _decided(self, batch: Batch, matrix: FeatureMatrix) -> Scored:
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


def _order(model: AnomalyModel) -> EventTime | None:
    wait, time = model.design.features.wait, model.design.schema.time
    return None if wait is None or time is None else EventTime(time, round(wait * SECOND))


def decide(model: AnomalyModel, policy: AlertPolicy, batch: Batch, matrix: FeatureMatrix) -> Scored:
    """What becomes of rows whose features are known."""
    return _rung(model, policy, batch, matrix, model.judge(matrix, model.entities(batch)))


def _rung(model: AnomalyModel, policy: AlertPolicy, batch: Batch, matrix: FeatureMatrix, scores: Scores) -> Scored:
    alerts = policy.decide(flagged_rows(model, batch, matrix, scores, policy.loosest))
    return Scored(batch, matrix, scores, alerts, policy.generated)
