"""A model at work on rows that follow each other: scores, and alerts through the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tocsin.alerts import AlertPolicy, flagged_rows
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import SECOND, Alert, Batch, Scores
from tocsin.scoring.ordering import EventTime


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of a batch."""

    batch: Batch
    matrix: FeatureMatrix
    scores: Scores
    alerts: tuple[Alert, ...]
    generated: bool
    """The rows, or those that the model learnt from, come from a generator."""


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
        self._state = model.start()

    def stream(self, batches: Iterable[Batch], generated: Callable[[], bool] = lambda: False) -> Iterator[Scored]:
        """Score batches as they come, or, if the features wait for late rows, in the order of their times.

        Parameters
        ----------
        batches
            Typed rows.
        generated
            Whether any of the rows so far came from a generator; asked once a batch is there.
        """
        wait, time = self.model.design.features.wait, self.model.design.schema.time
        order = None if wait is None or time is None else EventTime(time, round(wait * SECOND))
        for batch in batches:
            self.policy.generated |= generated()
            if order is None:
                yield self.score(batch)
                continue
            released = order.push(batch)
            if released.in_order.rows:
                yield self.score(released.in_order)
            if released.too_late.rows:
                matrix = self.model.kernel.alone(released.too_late)
                yield decide(self.model, self.policy, released.too_late, matrix)
        if order is not None and (rest := order.flush()).rows:
            yield self.score(rest)

    def score(self, batch: Batch) -> Scored:
        """Score typed rows in arrival order; alerts are those that ring because of them."""
        return decide(self.model, self.policy, batch, self.model.features(batch, self._state))


def decide(model: AnomalyModel, policy: AlertPolicy, batch: Batch, matrix: FeatureMatrix) -> Scored:
    """What becomes of rows whose features are known."""
    scores = model.judge(matrix, model.entities(batch))
    alerts = policy.decide(flagged_rows(model, batch, matrix, scores, policy.loosest))
    return Scored(batch, matrix, scores, alerts, policy.generated)
