"""The rows of a scored batch that may ring, with what a policy and an alert need to know of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tocsin.alerts.causes import causes
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import Batch, Column, Reason, Scores, Times, Vector, origins


@dataclass(frozen=True, slots=True, eq=False)
class FlaggedRows:
    """The rows of a batch that may ring, those that are warming up left out; arrays have shape (n,)."""

    times: Times | None
    """None without a clock."""
    entities: Column | None
    """None: one entity."""
    score: Vector
    p_value: Vector
    state: Column
    """`RowState` as text."""
    origins: Column
    """Where each row was read, as `file:row`."""
    contents: Sequence[bytes]
    """What each row says; without a clock it tells alerts apart, together with the origin."""
    level_p: float
    """The p-value from which rows are flagged."""
    reasons: Callable[[NDArray[np.intp]], Sequence[tuple[Reason, ...]]]
    """Explains the rows at these indices; asked for rows that are sent, and no others."""
    confidence: Callable[[NDArray[np.intp]], Sequence[float | None]]
    """How far a blend agrees on the rows at these indices, see `Alert.confidence`; asked for as reasons are."""
    ease: Vector
    """How many times the budget must be for a row to ring, see `Threshold.ease`; flagged rows have at most 1."""
    places: NDArray[np.intp]
    """Where each row stands in its batch."""
    causes: Callable[[NDArray[np.intp]], Sequence[str]]
    """What the rows at these indices are about, see `tocsin.alerts.causes`."""
    seen: Times | None = None
    """The times of all rows of the batch, whether they may ring or not; None without a clock."""

    def take(self, rows: NDArray[np.intp]) -> FlaggedRows:
        """Some of these rows, of the same batch."""
        return replace(
            self,
            times=None if self.times is None else self.times[rows],
            entities=None if self.entities is None else self.entities[rows],
            score=self.score[rows],
            p_value=self.p_value[rows],
            state=self.state[rows],
            origins=self.origins[rows],
            contents=[self.contents[row] for row in rows.tolist()],
            reasons=lambda chosen: self.reasons(rows[chosen]),
            confidence=lambda chosen: self.confidence(rows[chosen]),
            ease=self.ease[rows],
            places=self.places[rows],
            causes=lambda chosen: self.causes(rows[chosen]),
        )


def flagged_rows(
    model: AnomalyModel, batch: Batch, matrix: FeatureMatrix, scores: Scores, loosest: float = 1.0
) -> FlaggedRows:
    """The rows of a scored batch that a policy decides on: those flagged at `loosest` times the budget."""
    schema, entities = model.design.schema, model.entities(batch)
    ease = np.ones(len(scores.score))
    may_ring = scores.flagged
    if loosest > 1.0:
        ease = model.threshold.ease(scores.score, entities)
        may_ring = (ease <= loosest) & matrix.warm
    rows = np.flatnonzero(may_ring)
    rows = rows[scores.state[rows] != "warming_up"]
    return FlaggedRows(
        times=batch[schema.time][rows] if schema.time else None,
        entities=None if entities is None else entities[rows],
        score=scores.score[rows],
        p_value=scores.p_value[rows],
        state=scores.state[rows],
        origins=origins(batch.take(rows)),
        contents=[values.tobytes() for values in matrix.values[rows]],
        level_p=float(model.threshold.promise()["level_p"]),
        reasons=lambda chosen: model.reasons(matrix.values[rows[chosen]]),
        confidence=lambda chosen: model.confidence(matrix.values[rows[chosen]]),
        ease=ease[rows],
        places=rows,
        causes=lambda chosen: causes(model, matrix.values[rows[chosen]]),
        seen=batch[schema.time] if schema.time else None,
    )
