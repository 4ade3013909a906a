"""History divided into rows to learn from, rows to set the alert level on, and rows to be judged on.

With a clock the parts follow each other in time and nothing is shuffled across it. Without one the order of rows
means nothing, and the parts are spread evenly over the files as given. `by: entity` keeps each entity in one part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import sqrt

import numpy as np

from tocsin.config import SplitConfig
from tocsin.errors import ConfigError, Problem
from tocsin.records import Batch, Column, Vector
from tocsin.schema import Schema

GOLDEN_RATIO = (sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Parts:
    """The three parts of one history; `test` is empty where the test rows come from elsewhere."""

    train: Batch
    calibration: Batch
    test: Batch
    share: float = 1.0
    """The part of all entities that the calibration rows hold, where the split is by entity."""


def in_time_order(batch: Batch, schema: Schema) -> Batch:
    """The rows by event time; equal times keep the order in which they were read."""
    if schema.time is None:
        return batch
    times = batch[schema.time]
    if (times[1:] >= times[:-1]).all():
        return batch
    return batch.take(np.argsort(times, kind="stable"))


def split(batch: Batch, schema: Schema, config: SplitConfig, *, test_elsewhere: bool) -> Parts:
    """Divide time-ordered history.

    Parameters
    ----------
    batch
        Rows in time order where there is a clock.
    schema
        Names the clock and the entity.
    config
        The shares. With `test_elsewhere` the shares of train and calibration fill the whole.
    test_elsewhere
        The test rows come from a source of their own.

    Raises
    ------
    ConfigError
        If the split asks for entities and the schema has none.
    """
    whole = config.train + config.calibration if test_elsewhere else 1.0
    first, second = config.train / whole, (config.train + config.calibration) / whole
    place = places(batch, schema, config)
    chosen = (place < first, (place >= first) & (place < second), place >= second)
    train, calibration, test = (batch.take(mask) for mask in chosen)
    if config.by != "entity" or schema.entity is None or not batch.rows:
        return Parts(train, calibration, test)
    entities, calibrating = (len(np.unique(part[schema.entity].astype(str))) for part in (batch, calibration))
    return Parts(train, calibration, test, calibrating / entities)


def places(batch: Batch, schema: Schema, config: SplitConfig) -> Vector:
    """Where each row stands in the division, (n,) in [0, 1).

    Raises
    ------
    ConfigError
        If rows are to be divided by entity and have none.
    """
    if config.by == "entity":
        if schema.entity is None:
            raise ConfigError([Problem("$.split.by", "entity", "time, since the schema names no entity field")])
        return _entity_places(batch[schema.entity])
    index = np.arange(batch.rows)
    if schema.time is None:
        return np.asarray((index + 1) * GOLDEN_RATIO % 1.0)
    times = batch[schema.time]
    first_of_equal = np.searchsorted(times, times, side="left")
    return np.asarray(first_of_equal / max(batch.rows, 1))


def _entity_places(entities: Column) -> Vector:
    """Entities in the order of their hashes, evenly spread, so that also few of them fill every part."""
    names, positions = np.unique(entities.astype(str), return_inverse=True)
    hashes = [hashlib.blake2b(name.encode("utf-8", "surrogatepass")).digest() for name in names.tolist()]
    places = np.empty(len(names))
    places[sorted(range(len(names)), key=hashes.__getitem__)] = (np.arange(len(names)) + 0.5) / len(names)
    return np.asarray(places[positions])
