"""A small fitted model and rows for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tocsin.config import parse
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import CLASS, FILE, LABEL, ROW, SECOND, Batch

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  fields:
    time: {dtype: time}
    host: {dtype: category}
    load: {dtype: float, unit: ratio}
features:
  columns: [load]
  derive: [{type: rolling, columns: [load], windows: [10m], statistics: [max], min_count: 3}]
detector: {type: robust_zscore}
alerts: {budget: 1%}
"""


@pytest.fixture
def make_rows(rng: np.random.Generator) -> Callable[..., Batch]:
    """Typed rows of three hosts, one a minute."""

    def make(rows: int, begin: int = 1_000_000, anomalous: range = range(0)) -> Batch:
        load, labels = rng.normal(0.5, 0.05, rows), np.zeros(rows, dtype=np.int8)
        load[list(anomalous)], labels[list(anomalous)] = 9.0, 1
        return Batch(
            {
                "time": (begin + 60 * np.arange(rows)) * SECOND,
                "host": np.array([f"host-{row % 3}" for row in range(rows)], dtype=object),
                "load": load,
                LABEL: labels,
                CLASS: np.where(labels == 1, "overload", "normal").astype(object),
                FILE: np.full(rows, "rows.csv", dtype=object),
                ROW: np.arange(rows) + 2,
            }
        )

    return make


@pytest.fixture
def config() -> str:
    """What `model` is trained by."""
    return CONFIG


@pytest.fixture
def model(make_rows: Callable[..., Batch]) -> AnomalyModel:
    return AnomalyModel(Design.of(parse(CONFIG))).fit(make_rows(600), make_rows(300, 1_036_000))


@pytest.fixture
def waiting(make_rows: Callable[..., Batch]) -> AnomalyModel:
    """The same, but rows are waited for, up to ten minutes of their own time."""
    config = parse(CONFIG.replace("features:\n", "features:\n  wait: 10m\n"))
    return AnomalyModel(Design.of(config)).fit(make_rows(600), make_rows(300, 1_036_000))
