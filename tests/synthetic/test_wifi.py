from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from tocsin.errors import LimitExceeded
from tocsin.evaluation.leaks import find_leaks
from tocsin.evaluation.measures import Ranking, roc_auc
from tocsin.presets import read_preset
from tocsin.records import GENERATED, Batch
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.wifi import ANOMALIES, METRICS, wifi

READINGS = ("signal_strength", "signal_strength_std", "signal_strength_min", "signal_strength_max", "data_rate")


@pytest.fixture(scope="module")
def week() -> Batch:
    return wifi(Plan())


def of_kind(batch: Batch, *kinds: str) -> Batch:
    return batch.take(np.isin(batch["label"].astype(str), kinds))


def test_a_week_has_one_row_per_link_and_interval_under_the_names_of_the_preset(week: Batch) -> None:
    assert week.rows == 12 * 2_016
    assert set(week) == {*read_preset("wifi")["schema"]["fields"], "label", GENERATED}
    assert (np.diff(week["timestamp"]) >= np.timedelta64(0)).all()
    assert len(set(week["device_id"].tolist())) == 12
    for name in ("device_type", "connection_type"):
        assert len(set(zip(week["device_id"], week[name], strict=True))) == 12, "a link stays what it is"


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_the_share_of_trouble_is_about_what_was_asked(rate: float, seed: int) -> None:
    batch = wifi(Plan(anomaly_rate=rate, seed=seed))
    assert abs((batch["label"] != "normal").mean() / rate - 1) < 0.1
    assert set(batch["label"].tolist()) == {"normal", *ANOMALIES}


def test_calm_rows_are_the_same_whatever_the_rate(seed: int) -> None:
    calm, stormy = (wifi(Plan(days=3, seed=seed, anomaly_rate=rate)) for rate in (0.0, 0.2))
    normal = stormy["label"] == "normal"
    assert 0.75 < normal.mean() < 0.85
    for name in METRICS:
        np.testing.assert_array_equal(stormy[name][normal], calm[name][normal])


def test_readings_are_possible_and_agree_with_each_other(week: Batch) -> None:
    heard = week.take(~np.isnan(week["signal_strength"]))
    assert (heard["signal_strength_min"] <= heard["signal_strength"]).all()
    assert (heard["signal_strength"] <= heard["signal_strength_max"]).all()
    for name, low, high in (("signal_strength", -119, 20), ("packet_loss", 0, 1), ("retry_rate", 0, 1)):
        assert low <= heard[name].min() < heard[name].max() <= high
    assert heard["connection_time"].min() >= 1
    assert heard["data_rate"].min() > 0


def test_a_link_that_lost_every_frame_has_a_loss_of_one_and_no_reading(week: Batch) -> None:
    silent = np.isnan(week["signal_strength"])
    assert (week["packet_loss"][silent] == 1).all()
    assert (week["packet_loss"][~silent] < 1).all()
    for name in set(METRICS) - {"packet_loss"}:
        assert (np.isnan(week[name]) == silent).all(), name
    assert silent[week["label"] == "normal"].any(), "calm links are lost for an interval, too"
    assert silent[week["label"] == "dead_link"].all()


def test_weak_signals_make_slow_links_that_repeat_and_lose_frames(seed: int) -> None:
    calm = wifi(Plan(days=3, seed=seed, anomaly_rate=0.0, entities=200))
    calm = calm.take(~np.isnan(calm["signal_strength"]) & (calm["connection_type"] == "2.4 GHz"))
    low, high = np.quantile(calm["signal_strength"], [0.02, 0.8])
    weak, strong = calm["signal_strength"] < low, calm["signal_strength"] > high
    for name, sign in (("data_rate", -1), ("retry_rate", 1), ("packet_loss", 1)):
        assert sign * (calm[name][weak].mean() - calm[name][strong].mean()) > 0, name


def test_connections_grow_older_by_the_interval_until_they_begin_anew(seed: int) -> None:
    link = wifi(Plan(days=7, seed=seed, anomaly_rate=0.0, entities=1))
    age = link["connection_time"]
    steps = np.diff(age)
    anew = age[1:][(np.abs(steps - 300) > 1) & ~np.isnan(steps)]
    assert 5 < len(anew) < 0.1 * len(age)
    assert (anew <= 300).all()


@pytest.mark.parametrize("kind", ANOMALIES)
def test_each_kind_of_trouble_moves_what_its_name_says(kind: str, seed: int) -> None:
    plan = Plan(days=28, seed=seed, anomaly_rate=0.1)
    batch, calm = wifi(plan), wifi(Plan(days=28, seed=seed, anomaly_rate=0.0))
    rows = batch["label"] == kind

    def moved(name: str) -> float:
        return float(np.nanmedian(batch[name][rows] - calm[name][rows]))

    if kind == "dead_link":
        assert (batch["packet_loss"][rows] == 1).all()
        return
    assert moved("packet_loss") > 0
    assert (abs(moved("signal_strength")) > 5) == (kind == "weak_signal")
    assert (moved("connection_time") < -300) == (kind == "deauthentication")
    assert (moved("retry_rate") > 0.005) == (kind in ("interference", "weak_signal", "congestion"))


def test_trouble_comes_in_episodes_of_one_link_or_one_access_point(seed: int) -> None:
    batch = wifi(Plan(seed=seed, anomaly_rate=0.02))
    for kind in ANOMALIES:
        rows = of_kind(batch, kind)
        moments = len(np.unique(rows["timestamp"]))
        links = rows.rows / moments
        assert 2 < links <= 8 if kind in ("interference", "congestion") else links < 1.5
        neighbours = np.diff(np.unique(rows["timestamp"])) == np.timedelta64(300, "s")
        assert neighbours.mean() > 0.7


def test_trouble_can_be_kept_behind_a_day(seed: int) -> None:
    batch = wifi(Plan(days=14, anomaly_rate=0.05, attacks_from_day=10, seed=seed))
    behind = batch["timestamp"] >= np.datetime64("2026-01-15")
    troubled = batch["label"] != "normal"
    assert not troubled[~behind].any()
    assert abs(troubled[behind].mean() / 0.05 - 1) < 0.1


def test_no_single_feature_recovers_the_label(seed: int) -> None:
    found = {name: [single_auc(wifi(Plan(seed=seed + more)), name) for more in range(3)] for name in METRICS}
    best = max(found, key=lambda name: float(np.mean(found[name])))
    print(f"best single feature of wifi: {best}, ROC-AUC {np.mean(found[best]):.3f}")  # noqa: T201
    assert max(map(max, found.values())) < 0.95
    assert np.mean(found[best]) < 0.9


def single_auc(batch: Batch, name: str) -> float:
    """Of high or low values, a missing one counting as the usual."""
    values = np.where(np.isnan(batch[name]), np.nanmedian(batch[name]), batch[name])
    ranking = Ranking.of(batch["label"] != "normal", values)
    auc = float(roc_auc(ranking.anomalies, ranking.normals))
    return max(auc, 1 - auc)


def test_no_relation_between_two_metrics_recovers_the_label(week: Batch) -> None:
    columns = {name: week[name] for name in (*METRICS, "device_id", "device_type", "connection_type")}
    leaks = find_leaks(columns, week["label"] != "normal")
    assert leaks.single is not None
    assert leaks.single.roc_auc < 0.9
    assert leaks.relation is not None
    assert leaks.relation.balanced_accuracy < 0.75


def test_no_equality_and_no_rounding_gives_trouble_away(week: Batch) -> None:
    heard = week.take(~np.isnan(week["signal_strength"]))
    normal = heard["label"] == "normal"
    for one, other in permutations(METRICS, 2):
        a, b = heard[one], heard[other]
        for identity in (a == b, a == np.round(a), a == np.round(a, 1), a + b == np.round(a + b), a == 2 * b):
            for kind in set(ANOMALIES) - {"dead_link"}:
                share = identity[heard["label"] == kind].mean()
                assert abs(share - identity[normal].mean()) < 0.35, (one, other, kind, share)


def test_a_plan_for_too_many_rows_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="at most 5,000,000"):
        wifi(Plan(days=366, entities=1_000))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(days=0.001),
        Plan(days=0.05, entities=1, anomaly_rate=0.5),
        Plan(days=1, attacks_from_day=2),
        Plan(days=0.5, interval_s=7_200),
    ],
    ids=["one_poll", "one_link", "trouble_never", "long_intervals"],
)
def test_small_plans_work(plan: Plan) -> None:
    assert wifi(plan).rows == plan.steps * (plan.entities or 12)
