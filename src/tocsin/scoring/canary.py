"""Canaries: anomalies made up of the last rows, which a model that serves must flag.

Only an anomaly that the version before is sure of is one, so that nobody is blamed for what nobody could see. It is
scored on top of what the features remember, and leaves no trace there, in the journal or at a sink.

Source: for anomalies put into real rows see `tocsin.synthetic.injection`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tocsin.errors import DataError
from tocsin.records import ROW, SECOND, Batch, Column
from tocsin.schema import Schema
from tocsin.scoring.scorer import Scorer
from tocsin.synthetic.injection import Attack, Kind, disturbable, stage

STRENGTH = 24.0
"""Robust standard deviations by which every field is moved."""
FIRM = 0.25
"""Part of the budget with which the version before must still flag it."""
ROWS, TRIES = 5, 8

Result = Literal["found", "missed", "none"]


def canary(rows: Batch, before: Scorer, serving: Scorer, seed: int) -> Result:
    """Whether a model flags an anomaly that the one before it is sure of, if one can be made.

    Parameters
    ----------
    rows
        The last typed rows of the stream.
    before, serving
        The two.
    seed
        Of what is made up.
    """
    schema = serving.model.design.schema
    for attempt in range(TRIES):
        made = _made(rows, schema, seed + attempt)
        if made is not None and _flags(before, made, FIRM):
            return "found" if _flags(serving, made, 1.0) else "missed"
    return "none"


def _made(rows: Batch, schema: Schema, seed: int) -> Batch | None:
    """Some disturbed rows of one entity, as if they came next; None if nothing can be disturbed."""
    if not rows.rows:
        return None
    fields = disturbable(rows, schema)
    kind: Kind = "shift" if schema.time is not None and seed % 2 else "spike"
    try:
        injected = stage(rows, schema, [Attack(kind, fields, STRENGTH)], ROWS, seed)
    except DataError:
        return None
    touched = injected.windows >= 0
    if not touched.any():
        return None
    return _next(injected.batch.take(touched), rows, schema)


def _next(made: Batch, rows: Batch, schema: Schema) -> Batch:
    """Behind all rows, and repeats of none."""
    steps = np.arange(1, made.rows + 1)
    changed: dict[str, Column] = {name: _unlike(made, name) for name in schema.key if name != schema.time}
    if schema.time is not None:
        changed[schema.time] = int(rows[schema.time].max()) + steps * SECOND
    return made.replace(changed)


def _unlike(made: Batch, name: str) -> Column:
    column = made[name]
    if column.dtype != object:
        return column
    return np.array([f"{value} canary {row}" for value, row in zip(column, made[ROW], strict=True)], dtype=object)


def _flags(scorer: Scorer, made: Batch, part: float) -> bool:
    """Whether any of the rows rings with a part of the budget."""
    model = scorer.model
    matrix, entities = model.kernel.peek(made, scorer.state), model.entities(made)
    scores = model.judge(matrix, entities)
    return bool((scores.flagged & (model.threshold.ease(scores.score, entities) <= part)).any())
