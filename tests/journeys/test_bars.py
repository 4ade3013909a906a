"""The bars on real telemetry, measured anew: by the benchmark's own code, on whatever this commit computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import telemetry

pytestmark = pytest.mark.usefixtures("data")


def test_servers_of_the_application_server_dataset(tmp_path: Path) -> None:
    found = telemetry._mean(telemetry._asd(tmp_path, server) for server in range(1, 9))
    assert found["ours"]["average_precision"] > 0.154


@pytest.mark.parametrize(("day", "bar"), [("2022-08-22", 0.645), ("2022-08-23", 0.752)])
def test_a_front_service_with_faults(day: str, bar: float, tmp_path: Path) -> None:
    assert telemetry._nezha(tmp_path, day)["ours"]["roc_auc"] > bar


def test_routers_with_events_of_their_own(tmp_path: Path) -> None:
    found = telemetry._cisco(tmp_path, "bgpclear_first", ("leaf1", "spine3"))
    assert found["whole"]["ours"]["roc_auc"] > 0.693
