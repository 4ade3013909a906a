from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from tocsin.errors import LimitExceeded
from tocsin.records import Batch
from tocsin.synthetic.flows import ATTACKS, flows
from tocsin.synthetic.plan import Plan

NUMBERS = ("bytes_in", "bytes_out", "packets_in", "packets_out", "duration", "src_port")


@pytest.fixture(scope="module")
def week() -> Batch:
    return flows(Plan())


def of_kind(batch: Batch, kind: str) -> Batch:
    return batch.take(batch["label"] == kind)


def test_a_week_is_in_time_order_and_of_the_promised_size(week: Batch) -> None:
    assert 5_000 < week.rows / 7 < 8_000
    assert (np.diff(week["timestamp"]) >= np.timedelta64(0)).all()
    assert week["timestamp"][0] >= np.datetime64("2026-01-05")
    assert week["timestamp"][-1] < np.datetime64("2026-01-12")


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_share_of_attacks_is_about_what_was_asked(rate: float, seed: int) -> None:
    batch = flows(Plan(anomaly_rate=rate, seed=seed))
    assert abs((batch["label"] != "normal").mean() / rate - 1) < 0.1
    assert set(batch["label"].tolist()) == {"normal", *ATTACKS}


def test_hosts_work_by_day_and_rest_at_weekends(week: Batch) -> None:
    normal = of_kind(week, "normal")
    day = (normal["timestamp"].astype("datetime64[D]").astype(int) + 3) % 7
    hour = (normal["timestamp"].astype("datetime64[h]").astype(int)) % 24
    assert np.bincount(day, minlength=7)[5:].max() < 0.5 * np.bincount(day)[:5].min()
    by_hour = np.bincount(hour[day < 5], minlength=24)
    assert by_hour[9:17].min() > 5 * by_hour[:5].max()


@pytest.mark.parametrize("side", ["in", "out"])
def test_bytes_and_packets_agree_in_every_flow(week: Batch, side: str) -> None:
    sizes, packets = week[f"bytes_{side}"], week[f"packets_{side}"]
    assert (sizes >= 40 * packets).all()
    assert (sizes <= 1_460 * packets).all()
    assert ((sizes == 0) == (packets == 0)).all()


def test_ports_and_durations_are_possible(week: Batch) -> None:
    for name in ("src_port", "dst_port"):
        assert week[name].min() >= 0
        assert week[name].max() <= 65_535
    assert week["duration"].min() >= 0
    assert (week["packets_out"] >= 1).all()
    assert set(week["protocol"].tolist()) == {"TCP", "UDP", "ICMP"}


def test_an_attack_is_an_episode_of_one_actor(seed: int) -> None:
    batch = flows(Plan(days=7, anomaly_rate=0.01, seed=seed))  # one round: one episode of each kind
    for kind in ATTACKS:
        episode = of_kind(batch, kind)
        assert len(set(episode["src_ip"].tolist())) == 1
        assert episode["timestamp"][-1] - episode["timestamp"][0] < np.timedelta64(24, "h")
    scan = of_kind(batch, "scan")
    assert len(set(zip(scan["dst_ip"], scan["dst_port"], strict=True))) > 0.5 * scan.rows
    assert np.median(of_kind(batch, "exfiltration")["bytes_out"]) > 1e6
    beacons = np.diff(of_kind(batch, "beaconing")["timestamp"]).astype(float)
    assert beacons.std() < 0.2 * beacons.mean()


def test_strength_varies_with_the_seed() -> None:
    sizes = {of_kind(flows(Plan(days=3, anomaly_rate=0.02, seed=seed)), "scan").rows for seed in range(4)}
    assert len(sizes) > 1


def test_attacks_can_be_kept_behind_a_day(seed: int) -> None:
    batch = flows(Plan(days=14, anomaly_rate=0.02, attacks_from_day=10, seed=seed))
    attacked = batch["label"] != "normal"
    behind = batch["timestamp"] >= np.datetime64("2026-01-15")
    assert not (attacked & ~behind).any()
    assert abs(attacked[behind].mean() / 0.02 - 1) < 0.2


def networks(batch: Batch, name: str) -> set[str]:
    return {address.rpartition(".")[0].rpartition(".")[0] for address in batch[name].tolist()}


def test_attacks_come_from_and_go_to_networks_that_others_use(week: Batch) -> None:
    normal, attacks = week.take(week["label"] == "normal"), week.take(week["label"] != "normal")
    for name in ("src_ip", "dst_ip"):
        assert networks(attacks, name) <= networks(normal, name)
    _, visits = np.unique(normal["dst_ip"].astype(str), return_counts=True)
    assert (visits == 1).sum() > 100  # a place where nobody was before is nothing special


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("kind", ATTACKS)
def test_no_rounding_gives_an_attack_away(week: Batch, kind: str, answered: bool) -> None:
    alike = week.take((week["protocol"] == "TCP") & ((week["bytes_in"] > 0) == answered))
    normal, attack = alike["label"] == "normal", alike["label"] == kind
    for name in NUMBERS if attack.sum() > 20 else ():
        column = alike[name].astype(float)
        for identity in (column % 10 == 0, column % 2 == 0, column == np.round(column, 3), column == np.round(column)):
            assert abs(identity[attack].mean() - identity[normal].mean()) < 0.35, name


def test_no_identity_between_two_columns_gives_an_attack_away(week: Batch) -> None:
    tcp = week["protocol"] == "TCP"
    normal = (week["label"] == "normal") & tcp
    for one, other in permutations(NUMBERS, 2):
        a, b = week[one].astype(float), week[other].astype(float)
        for number, identity in enumerate((a == b, a == 40 * b, a == 52 * b, a == 60 * b, a == b + 1, a == 2 * b)):
            for kind in ATTACKS:
                share = identity[week["label"] == kind].mean()
                assert share < 0.5 or identity[normal].mean() > 0.001, (one, other, number, kind, share)


def test_a_plan_for_too_many_rows_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="at most 5,000,000"):
        flows(Plan(days=366, entities=1_000))


@pytest.mark.parametrize(
    "plan",
    [Plan(days=0.01), Plan(days=0.02, entities=1, anomaly_rate=0.5), Plan(days=1, attacks_from_day=2)],
    ids=["minutes", "one_host", "attacks_never"],
)
def test_small_plans_work(plan: Plan) -> None:
    assert flows(plan).rows > 0
