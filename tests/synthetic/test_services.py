from __future__ import annotations

from itertools import permutations

import numpy as np

from tocsin.records import Batch
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.services import ANOMALIES, services

SIGNALS = ("event_count", "error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "latency_std")


def of_kind(batch: Batch, kind: str) -> Batch:
    return batch.take(batch["label"] == kind)


def test_a_week_has_one_row_per_service_and_interval(seed: int) -> None:
    batch = services(Plan(seed=seed, entities=3))
    assert batch.rows == 3 * 2_016
    assert batch["service"][:4].tolist() == ["api-gateway", "auth-service", "user-service", "api-gateway"]
    steps = np.diff(batch["timestamp"][::3])
    assert (steps == np.timedelta64(300, "s")).all()


def test_normal_rows_follow_the_published_distributions(seed: int) -> None:
    batch = of_kind(services(Plan(days=28, seed=seed, anomaly_rate=0.0)), "normal")
    day = batch["timestamp"].astype("datetime64[D]")
    weekend = (day.astype(int) + 3) % 7 >= 5
    hour = (batch["timestamp"] - day).astype("timedelta64[h]").astype(int)
    busy = ~weekend & (hour >= 9) & (hour <= 17)
    for rows, mean, spread in ((busy, 1000, 100), (weekend, 300, 50), (~busy & ~weekend, 150, 30)):
        counts = batch["event_count"][rows]
        assert abs(counts.mean() - mean) < 5 * spread / np.sqrt(rows.sum()) + 1
        assert abs(counts.std() / spread - 1) < 0.1
    assert batch["event_count"].min() >= 10
    for name, mean, spread in (("p50_latency_ms", 25, 5), ("p95_latency_ms", 85, 15), ("p99_latency_ms", 135, 20)):
        assert abs(batch[name].mean() - mean) < 2
        assert abs(batch[name].std() / spread - 1) < 0.1
    assert 0.001 <= batch["error_rate"].min() < batch["error_rate"].max() <= 0.02
    assert 5 <= batch["latency_std"].min() < batch["latency_std"].max() <= 15


def test_each_anomaly_does_what_its_name_says(seed: int) -> None:
    plan = Plan(days=60, seed=seed, anomaly_rate=0.2)
    batch, calm = services(plan), services(Plan(days=60, seed=seed, anomaly_rate=0.0))
    shares = [(batch["label"] == kind).mean() for kind in ANOMALIES]
    np.testing.assert_allclose(shares, 0.04, rtol=0.15)
    factor = {kind: {} for kind in ANOMALIES}  # type: dict[str, dict[str, np.ndarray]]
    for kind in ANOMALIES:
        rows = batch["label"] == kind
        factor[kind] = {name: batch[name][rows] / calm[name][rows] for name in SIGNALS}
    moved = {kind: {name for name in SIGNALS if (factor[kind][name] != 1).any()} for kind in ANOMALIES}
    latencies = {"p50_latency_ms", "p95_latency_ms", "p99_latency_ms"}
    assert moved == {
        "high_error_rate": {"error_rate"},
        "latency_spike": {*latencies, "latency_std"},
        "traffic_spike": {"event_count"},
        "traffic_drop": {"event_count"},
        "combined_anomaly": {"error_rate", *latencies},
    }
    for kind, name, low, high in (
        ("latency_spike", "p95_latency_ms", 3, 10),
        ("combined_anomaly", "p95_latency_ms", 2, 5),
        ("traffic_spike", "event_count", 4.9, 20),
        ("traffic_drop", "event_count", 0, 0.2),
    ):
        assert low <= factor[kind][name].min() < factor[kind][name].max() <= high
    errors = of_kind(batch, "high_error_rate")["error_rate"]
    assert 0.05 <= errors.min() < errors.max() <= 0.25


def test_signals_keep_their_order_and_their_kind(seed: int) -> None:
    batch = services(Plan(days=60, seed=seed, anomaly_rate=0.3))
    assert (batch["p50_latency_ms"] <= batch["p95_latency_ms"]).all()
    assert (batch["p95_latency_ms"] <= batch["p99_latency_ms"]).all()
    assert batch["event_count"].dtype == np.int64
    assert batch["event_count"].min() >= 0


def test_no_identity_between_two_columns_gives_an_anomaly_away(seed: int) -> None:
    batch = services(Plan(days=60, seed=seed, anomaly_rate=0.2))
    normal = batch["label"] == "normal"
    for one, other in permutations(SIGNALS, 2):
        a, b = batch[one].astype(float), batch[other].astype(float)
        for identity in (a == b, a % 10 == 0, a == np.round(a, 3), a * b == np.round(a * b), a - b == 20.0):
            for kind in ANOMALIES:
                assert identity[batch["label"] == kind].mean() < identity[normal].mean() + 0.05, (one, other, kind)
