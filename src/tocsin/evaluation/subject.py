"""What gates know of a model: how it did on rows that others are tried on, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.errors import SchemaError
from tocsin.evaluation.pins import Pins, alerts, in_reach, judged_at
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.profile import Profile
from tocsin.model.training_rows import TrainingRows
from tocsin.records import DAY, Batch, Mask, Vector
from tocsin.synthetic.injection import Disturbances, Injected, inject

DRAWS = 2
"""Copies of the clean rows that are disturbed, each in other places."""
ROWS_PER_ANOMALY = 25
LENGTH, STRENGTH = (3, 8), (6.0, 24.0)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share, 0 of nothing."""
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class OnPins:
    """How a model does on the pinned rows."""

    usual: Vector
    """Scores of the clean rows, (n,)."""
    ready: Mask
    """Which of them may ring, (n,)."""
    alerts: int
    """Of the clean rows, each entity's flagged rows that lie close together being one."""
    in_reach: int
    """How often it would ring there with `REACH` times its budget."""
    promised: float
    """How many the model's own budget allows there."""
    rung: Mask
    """Which of the golden attacks ring, (k,)."""
    peaks: Vector
    """The highest score within each fresh anomaly, (m,); minus infinity where nothing was ready."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A model under judgement, or one to compare it with."""

    training: TrainingRows
    profile: Profile
    fields: tuple[str, ...]
    """Those that the profile tells of."""
    scores: Vector
    """Of the test rows that all models score, (r,)."""
    rang_before: Share
    """Rows that it rings for among those that it learnt from itself."""
    on_pins: OnPins | None
    """None where the pinned rows cannot be read, or there are none."""
    latency_ms: float
    """The median of single rows, for which all models took turns; 0 where there was nobody to take turns with."""
    memory_bytes: int
    """The most that its training held; 0 where nobody knows."""
    leak: str = ""
    """The column that gave the label away on its own test rows."""


def fresh_anomalies(pins: Pins, seed: int) -> tuple[Injected, ...]:
    """Copies of the clean rows with anomalies that are not pinned; another seed makes others."""
    windows = max(1, pins.clean.rows // ROWS_PER_ANOMALY)
    seeds = np.random.SeedSequence(seed).generate_state(DRAWS).tolist()
    return tuple(inject(pins.clean, pins.schema, Disturbances(windows, LENGTH, STRENGTH, seed=draw)) for draw in seeds)


def tried_on(model: AnomalyModel, pins: Pins, fresh: Sequence[Injected]) -> OnPins | None:
    """Try a model on the pinned rows; None if they lack what it reads."""
    try:
        matrix = model.features(pins.clean, model.start())
        scores = model.judge(matrix, model.entities(pins.clean))
        ready = matrix.warm
        rung = pins.rung(lambda copy, attacked: judged_at(model, copy, attacked).flagged)
        peaks = np.concatenate([_peaks(model, copy) for copy in fresh])
    except SchemaError:
        return None
    rang = alerts(model, pins.clean, scores.flagged)
    more = alerts(model, pins.clean, in_reach(model, pins.clean, scores))
    return OnPins(scores.score, ready, rang, more, _promised(model, pins.clean, ready), rung, peaks)


def _peaks(model: AnomalyModel, copy: Injected) -> Vector:
    touched = copy.windows >= 0
    scores = judged_at(model, copy.batch, touched)
    ready = scores.state != "warming_up"
    highest = np.full(len(copy.kinds), -np.inf)
    np.maximum.at(highest, copy.windows[touched][ready], scores.score[ready])
    return highest


def _promised(model: AnomalyModel, rows: Batch, ready: Mask) -> float:
    """Alerts that a model's budget allows on so many rows, or days of so many of its entities."""
    schema, served = model.design.schema, float(model.promise["served"])
    if model.design.budget.per_day is None or schema.time is None:
        return served * int(ready.sum())
    times, had = rows[schema.time], int(model.training.counts[1])
    share = len(set(rows[schema.entity].tolist())) / had if schema.entity and had else 1.0
    return served * float(times.max() - times.min()) / DAY * min(share, 1.0) if len(times) else 0.0
