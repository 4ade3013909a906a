"""A model at work on rows that follow each other: scores, and alerts through the policy."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.alerts import AlertPolicy, flagged_rows
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import Alert, Batch, Scores


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

    def warm_up(self, batch: Batch) -> None:
        """Let rows that went before pass through the features, without scoring them."""
        self.model.features(batch, self._state)

    def score(self, batch: Batch) -> Scored:
        """Score typed rows in arrival order; alerts are those that ring because of them."""
        matrix = self.model.features(batch, self._state)
        scores = self.model.judge(matrix)
        alerts = self.policy.decide(flagged_rows(self.model, batch, matrix, scores))
        return Scored(batch, matrix, scores, alerts, self.policy.generated)
