"""Golden signals of services with labelled anomalies.

Source: the generator of the Helios project, distribution by distribution; its times start at a fixed moment
instead of the wall clock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tocsin.records import GENERATED, Batch, Times
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.rhythm import HOUR, weekend

NAMES = (
    "api-gateway",
    "auth-service",
    "user-service",
    "payment-service",
    "inventory-service",
    "notification-service",
    "recommendation-engine",
    "search-service",
)
ANOMALIES = ("high_error_rate", "latency_spike", "traffic_spike", "traffic_drop", "combined_anomaly")

_SIGNALS = ("event_count", "error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "latency_std")
_MIN_EVENTS = 10
_MIN_P50_MS = 10.0
_MIN_GAP_MS = 20.0
"""Between two latency percentiles."""


def services(plan: Plan) -> Batch:
    """One row per service and interval, in time order; one service unless the plan says otherwise.

    Traffic follows working hours (9 to 17, Monday to Friday) and is lower at weekends and at night. An anomalous
    row is one of five kinds with equal chance. The normal rows of a seed are the same whatever the rate.
    The published floors leave a tenth of the normal rows with p99 just 20 ms above p95, which no slowed row has:
    a feature that looks for that equality learns the generator, not the service.

    Raises
    ------
    LimitExceeded
        If there would be more than 5 million rows.
    """
    count = plan.entities or 1
    plan.check(plan.steps * count)
    times = np.repeat(plan.times, count)
    signals = _normal(plan.random(0), times)
    rng = plan.random(1)
    anomalous = (rng.random(len(times)) < plan.anomaly_rate) & (times >= plan.attacked)
    kinds = np.where(anomalous, rng.integers(1, 1 + len(ANOMALIES), len(times)), 0)
    _disturb(rng, kinds, signals)
    names = np.array([NAMES[i] if i < len(NAMES) else f"service-{i + 1}" for i in range(count)], dtype=object)
    return Batch(
        {
            "timestamp": times.astype("datetime64[us]"),
            "service": np.tile(names, plan.steps),
            **signals,
            "event_count": signals["event_count"].astype(np.int64),
            "label": np.array(["normal", *ANOMALIES], dtype=object)[kinds],
            GENERATED: np.ones(len(times), dtype=bool),
        }
    )


def disturbed(plan: Plan, rows: Batch, kind: str, strength: float) -> Batch:
    """These rows of a plan with one kind of anomaly in each.

    Parameters
    ----------
    strength
        1 moves them as far as `services` does, 2 twice as far on a logarithmic scale.
    """
    signals = {name: np.array(rows[name], dtype=np.float64) for name in _SIGNALS}
    _disturb(plan.random(2), np.full(rows.rows, 1 + ANOMALIES.index(kind)), signals)
    moved = {name: rows[name] * (signals[name] / rows[name]) ** strength for name in _SIGNALS}
    moved["error_rate"] = np.minimum(moved["error_rate"], 1.0)
    moved["event_count"] = np.trunc(moved["event_count"]).astype(np.int64)
    return rows.replace({**moved, "label": np.full(rows.rows, kind, dtype=object)})


def _normal(rng: np.random.Generator, times: Times) -> dict[str, NDArray[np.float64]]:
    hour, resting = times // HOUR % 24, weekend(times)
    busy = ~resting & (hour >= 9) & (hour <= 17)
    mean = np.where(busy, 1000.0, np.where(resting, 300.0, 150.0))
    spread = np.where(busy, 100.0, np.where(resting, 50.0, 30.0))
    p50 = np.maximum(rng.normal(25, 5, len(times)), _MIN_P50_MS)
    p95 = np.maximum(rng.normal(85, 15, len(times)), p50 + _MIN_GAP_MS)
    p99 = np.maximum(rng.normal(135, 20, len(times)), p95 + _MIN_GAP_MS)
    return {
        "event_count": np.maximum(np.trunc(rng.normal(mean, spread)), _MIN_EVENTS),
        "error_rate": rng.uniform(0.001, 0.02, len(times)),
        "p50_latency_ms": p50,
        "p95_latency_ms": p95,
        "p99_latency_ms": p99,
        "latency_std": rng.uniform(5, 15, len(times)),
    }


def _disturb(rng: np.random.Generator, kinds: NDArray[np.intp], signals: dict[str, NDArray[np.float64]]) -> None:
    """Turn the rows of each kind into that anomaly, in place."""
    errors, spike, surge, drop, combined = (np.flatnonzero(kinds == kind) for kind in range(1, 1 + len(ANOMALIES)))
    signals["error_rate"][errors] = rng.uniform(0.05, 0.25, len(errors))
    signals["error_rate"][combined] = rng.uniform(0.05, 0.15, len(combined))
    slower, slower_combined = rng.uniform(3, 10, len(spike)), rng.uniform(2, 5, len(combined))
    for name in ("p50_latency_ms", "p95_latency_ms", "p99_latency_ms"):
        signals[name][spike] *= slower
        signals[name][combined] *= slower_combined
    signals["latency_std"][spike] *= slower
    for rows, low, high in ((surge, 5.0, 20.0), (drop, 0.05, 0.2)):
        signals["event_count"][rows] = np.trunc(signals["event_count"][rows] * rng.uniform(low, high, len(rows)))
