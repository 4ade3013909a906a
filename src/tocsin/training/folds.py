"""Rows to learn from and later rows to judge on, several times over, within the rows that a training learns from.

With a clock the origin rolls: history is cut into equal blocks, and each block but the first is judged by what was
learnt from all before it (Tashman, International Journal of Forecasting 16(4), 2000). Without one, or by entity, each
share of the rows, or of the entities, is judged once by what was learnt from the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tocsin.config import SplitConfig
from tocsin.records import Batch
from tocsin.schema import Schema
from tocsin.training.split import places


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to learn from, and rows to judge on that none of the learning saw."""

    learn: Batch
    judge: Batch
    share: float = 1.0
    """The part of all entities that the judged rows hold, where the division is by entity."""


def folds(batch: Batch, schema: Schema, config: SplitConfig, number: int) -> Iterator[Fold]:
    """Divide rows, in time order where there is a clock, so many times."""
    place = places(batch, schema, config)
    rolling = config.by == "time" and schema.time is not None
    blocks = number + 1 if rolling or number == 1 else number
    for block in range(blocks - number, blocks):
        low, high = block / blocks, (block + 1) / blocks
        judged = (place >= low) & (place < high)
        learnt = place < low if rolling else ~judged
        yield Fold(batch.take(learnt), batch.take(judged), 1 / blocks if config.by == "entity" else 1.0)
