"""Mutants of real bundles of every detector and threshold: refused or harmless, never a crash, never a hang."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import orjson
import pytest

from tocsin.component import catalogue
from tocsin.config import parse
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL, SECOND, Batch

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  key: [host, time]
  fields:
    time: {{dtype: time}}
    host: {{dtype: category}}
    state: {{dtype: category}}
    load: {{dtype: float, unit: ratio, minimum: 0, optional: true}}
    sent: {{dtype: integer, unit: bytes, kind: counter, bits: 32, minimum: 0}}
features:
  columns: [load]
  derive:
    - {{type: rolling, columns: [load], windows: [10m], statistics: [mean, max], min_count: 3}}
    - {{type: rolling, columns: [load], windows: [5m], statistics: [min], exact: true, limit: 8}}
    - {{type: rate, columns: [sent], max_gap: 1h, quality: true}}
    - {{type: category, columns: [state]}}
    - {{type: category, columns: [host], how: hash, bins: 3}}
    - {{type: calendar, parts: [hour, month, is_weekend]}}
    - {{type: calendar, parts: [day_of_week], cyclical: true}}
    - {{type: quantile, columns: [load], window: 10m, quantiles: [0.5], relative_error: 0.3}}
    - {{type: decay, columns: [load], half_lives: [5m], statistics: [mean]}}
    - {{type: zscore, columns: [load], window: 10m}}
    - {{type: residual, columns: [load], season: [hour], min_rows: 2}}
    - {{type: log_scale, columns: [sent]}}
    - {{type: ratio, numerator: load, denominator: sent}}
    - {{type: product, left: load, right: sent}}
    - {{type: linear, column: sent, name: percent, factor: 100.0}}
detector: {detector}
threshold: {threshold}
alerts: {{budget: 1%}}
"""
SMALL = {
    "isolation_forest": "{type: isolation_forest, trees: 5, samples: 32, oblique: 2}",
    "half_space_trees": "{type: half_space_trees, trees: 5, samples: 32, depth: 5}",
    "nearest_neighbours": "{type: nearest_neighbours, samples: 4, references: 8}",
    "matrix_profile": "{type: matrix_profile, steps: 4, references: 20}",
    "lstm_autoencoder": "{type: lstm_autoencoder, steps: 3, units: 4, epochs: 2}",
    "context_residual": "{type: context_residual, context: [hour], recent: 2}",
    "xgboost": "{type: xgboost, trees: 5, depth: 3}",
    "blend": "{type: blend, of: [{type: isolation_forest, trees: 3}, {type: matrix_profile, references: 9}]}",
}
NOTES = {"train_seconds": 1.5, "seed": 7, "libraries": {"numpy": "2.1.0"}, "report": {"figures": {"roc_auc": 0.9}}}
SCRIPT = Path(__file__).with_name("fuzz_bundles.py")
WORKERS = 2


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of every detector and of every threshold."""
    folder = tmp_path_factory.mktemp("bundles")
    rows = history(np.random.default_rng(0))
    for name in catalogue("detectors"):
        model = AnomalyModel(designed(SMALL.get(name, f"{{type: {name}}}"), "{type: conformal}"))
        model.fit(rows, rows).save(folder / f"detector {name}", NOTES)
    for name in catalogue("thresholds"):
        level = "{type: fixed, level: 4.0}" if name == "fixed" else f"{{type: {name}}}"
        model = AnomalyModel(designed("{type: robust_zscore}", level))
        model.fit(rows, rows).save(folder / f"threshold {name}", NOTES)
    by_entity = AnomalyModel(designed("{type: robust_zscore}", "{type: conformal, by: entity}"))
    by_entity.fit(rows, rows).save(folder / "threshold by entity", NOTES)
    return folder


def designed(detector: str, threshold: str) -> Design:
    return Design.of(parse(CONFIG.format(detector=detector, threshold=threshold)))


def history(rng: np.random.Generator, rows: int = 1_600) -> Batch:
    labels = np.zeros(rows, dtype=np.int8)
    labels[::50] = 1
    return Batch(
        {
            "time": (1_700_000_000 + 60 * np.arange(rows)) * SECOND,
            "host": np.array([f"host-{row % 3}" for row in range(rows)], dtype=object),
            "state": np.array([("up", "down", "idle")[row % 7 % 3] for row in range(rows)], dtype=object),
            "load": rng.normal(0.5, 0.05, rows) + 3.0 * labels,
            "sent": np.cumsum(rng.integers(0, 1_000, rows)).astype(np.float64),
            LABEL: labels,
        }
    )


@pytest.mark.soak
def test_mutants_are_refused_or_harmless(bundles: Path, seed: int, rounds: Callable[[int, int], int]) -> None:
    count = rounds(2_000, 120_000) // WORKERS
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, SCRIPT, str(bundles), str(seed + worker), str(count)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            for worker in range(WORKERS)
        ]
        ended = [(child.communicate(), child) for child in children]
    found: Counter[str] = Counter()
    slowest = 0.0
    for (told, complaint), child in ended:
        assert child.returncode == 0, f"exit {child.returncode}: {complaint[-3_000:].decode()}"
        outcomes = orjson.loads(told)
        slowest = max(slowest, outcomes.pop("slowest_s"))
        found.update(outcomes)
    sys.stdout.write(f"{dict(found)}, slowest {slowest:.2f} s\n")
    assert found["refused"] > found["loaded"] > 0
    assert not [outcome for outcome in found if outcome.startswith("last resort")], found
