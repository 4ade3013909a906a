"""One attack at a time inside normal traffic: the truth about it, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tocsin.errors import ConfigError, DataError, LimitExceeded
from tocsin.records import DAY, GENERATED, SECOND, Column
from tocsin.synthetic.attacks import ATTACKS, Scene, simulate
from tocsin.synthetic.base import generate
from tocsin.synthetic.plan import Plan

START = datetime(2026, 3, 2, tzinfo=UTC)
PLAN = Plan(days=2.0, start=START, seed=42, anomaly_rate=0.0, entities=None)
ENTITY = {"flows": "src_ip", "services": "service", "hosts": "device_id"}
ALL = [(preset, attack) for preset, attacks in ATTACKS.items() for attack in attacks]


def scene(preset: str, attack: str, **more: object) -> Scene:
    plain = Scene(preset, attack, PLAN, PLAN.begin + DAY, attacks=3, seed=5)
    return replace(plain, **more)  # type: ignore[arg-type]  # fields of a scene


@pytest.mark.parametrize(("preset", "attack"), ALL)
def test_the_truth_tells_of_every_attacked_row_and_no_other(preset: str, attack: str) -> None:
    found = simulate(scene(preset, attack))
    batch = found.batch
    times = batch["timestamp"].astype(np.int64)
    assert (np.diff(times) >= 0).all()
    assert times.min() >= PLAN.begin + DAY
    assert times.max() < PLAN.end
    assert batch[GENERATED].all()
    assert len(found.incidents) == 3
    inside = np.zeros(batch.rows, dtype=bool)
    for incident in found.incidents:
        assert incident.start <= incident.end
        mine = (times >= incident.start) & (times <= incident.end) & (batch[ENTITY[preset]] == incident.entity)
        assert (mine & (batch["label"] != "normal")).any()
        inside |= mine
    assert inside[batch["label"] != "normal"].all()


@pytest.mark.parametrize("preset", ["flows", "services"])
def test_normal_rows_are_those_of_the_generator(preset: str) -> None:
    calm = generate(preset, PLAN)  # type: ignore[arg-type]  # a preset's name
    calm = calm.take(calm["timestamp"].astype(np.int64) >= PLAN.begin + DAY)
    found = simulate(scene(preset, ATTACKS[preset][0])).batch
    left = found.take(found["label"] == "normal")
    known = set(zip(*(calm[name].tolist() for name in calm if name != "label"), strict=True))
    assert set(zip(*(left[name].tolist() for name in calm if name != "label"), strict=True)) <= known


def test_another_seed_is_another_attack_in_the_same_world() -> None:
    first, second, again = (simulate(scene("flows", "scan", seed=seed)) for seed in (5, 6, 5))
    assert first.incidents != second.incidents
    assert first.incidents == again.incidents
    calm = [found.batch.take(found.batch["label"] == "normal")["bytes_in"] for found in (first, second)]
    np.testing.assert_array_equal(calm[0], calm[1])


@pytest.mark.parametrize("lasting", [1, 3])
def test_devices_of_hosts_are_those_of_the_history_however_long_the_days_after_it(lasting: int) -> None:
    history = generate("hosts", PLAN)
    longer = replace(PLAN, days=PLAN.days + lasting)
    later = simulate(scene("hosts", "ransomware", plan=longer, since=PLAN.end)).batch
    for name in ("memory_total_kb", "disk_used_pct", "proc_unique_names"):
        known, found = (
            [np.median(batch[name][batch["device_id"] == device]) for device in np.unique(history["device_id"])]
            for batch in (history, later)
        )
        np.testing.assert_allclose(found, known, rtol=0.05)


def test_days_that_follow_each_other_are_not_the_same_days() -> None:
    def sent(since: int) -> Column:
        plan = replace(PLAN, start=PLAN.start + timedelta(microseconds=since))
        return simulate(scene("hosts", "flood", plan=plan, since=plan.begin + DAY)).batch["cpu_avg_pct"]

    assert (sent(0) != sent(DAY)).mean() > 0.5


def test_a_stronger_attack_stands_out_more() -> None:
    weak, strong = (simulate(scene("services", "latency-spike", strength=strength)) for strength in (0.5, 2.0))
    medians = [np.median(found.batch["p99_latency_ms"][found.batch["label"] != "normal"]) for found in (weak, strong)]
    assert medians[1] > 2 * medians[0]
    flows = [simulate(scene("flows", "scan", strength=strength)).batch.rows for strength in (0.5, 2.0)]
    assert flows[1] > flows[0] + 300


def test_an_attack_that_does_not_fit_is_told_which_do() -> None:
    with pytest.raises(ConfigError, match="latency-spike fits services"):
        simulate(scene("flows", "latency-spike"))
    with pytest.raises(ConfigError, match=r"wanted one of: scan, flood[\s\S]*did you mean"):
        simulate(scene("flows", "scann"))
    with pytest.raises(ConfigError, match="one of the presets flows, services, hosts"):
        simulate(scene("kpi", "scan"))


def test_more_attacks_than_anybody_can_read_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="5,000,000"):
        simulate(scene("flows", "scan", attacks=10**6))


def test_a_span_without_room_is_an_error() -> None:
    with pytest.raises(DataError, match="a longer one"):
        simulate(scene("services", "traffic-drop", since=PLAN.end - SECOND))
