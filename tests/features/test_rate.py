from __future__ import annotations

from tocsin.features.base import EXAMPLE, extended
from tocsin.features.rate import Rate


def test_counters_know_their_width_and_gauges_have_none() -> None:
    counter, gauge = Rate(columns=("octets_total", "temperature"), max_gap=90.0).compile(EXAMPLE, {})
    assert counter.constants == {"max_gap_us": 90_000_000, "reset": "nan", "bits": 32}
    assert gauge.constants["bits"] is None


def test_the_output_of_a_feature_is_a_gauge() -> None:
    (operation,) = Rate(columns=("log_bytes",)).compile(extended(EXAMPLE, ["log_bytes"]), {})
    assert operation.constants["bits"] is None
