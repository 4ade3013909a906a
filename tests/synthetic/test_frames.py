from __future__ import annotations

import numpy as np
import pytest

from tocsin.errors import LimitExceeded
from tocsin.evaluation.leaks import find_leaks
from tocsin.evaluation.measures import Ranking, roc_auc
from tocsin.presets import read_preset
from tocsin.records import GENERATED, Batch
from tocsin.synthetic.frames import ATTACKS, frames
from tocsin.synthetic.frames_headers import COLUMNS, TEXTS
from tocsin.synthetic.plan import Plan

NUMBERS = tuple(name for name in COLUMNS if name not in (*TEXTS, "timestamp"))


@pytest.fixture(scope="module")
def week() -> Batch:
    return frames(Plan())


def of_kind(batch: Batch, kind: str) -> Batch:
    return batch.take(batch["label"] == kind)


def test_a_week_is_in_time_order_under_the_names_of_the_preset(week: Batch) -> None:
    assert 40_000 < week.rows < 80_000
    assert set(week) == {*read_preset("frames")["schema"]["fields"], "label", GENERATED}
    assert (np.diff(week["timestamp"]) >= np.timedelta64(0)).all()
    assert week["timestamp"][0] >= np.datetime64("2026-01-05")
    assert week["timestamp"][-1] < np.datetime64("2026-01-12")


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_share_of_attacks_is_about_what_was_asked(rate: float, seed: int) -> None:
    batch = frames(Plan(anomaly_rate=rate, seed=seed))
    assert abs((batch["label"] != "normal").mean() / rate - 1) < 0.1
    assert set(batch["label"].tolist()) == {"normal", *ATTACKS}


def test_ordinary_frames_are_the_same_whatever_the_rate(seed: int) -> None:
    calm, stormy = (frames(Plan(days=2, seed=seed, anomaly_rate=rate)) for rate in (0.0, 0.1))
    normal = of_kind(stormy, "normal")
    assert normal.rows == calm.rows < stormy.rows
    assert sorted(normal["timestamp"].tolist()) == calm["timestamp"].tolist()
    for name in ("frame_length", "tcp_seq", "wifi_duration_id"):
        np.testing.assert_array_equal(np.sort(normal[name]), np.sort(calm[name]))


def test_lengths_add_up_as_they_do_on_the_wire(week: Batch) -> None:
    wire = week.take(week["is_ip"] == 1)
    assert (wire["frame_length"] == np.maximum(60, 14 + wire["ip_len"])).all()
    assert wire["ip_len"].max() <= 1_500
    assert wire["payload_length"].min() >= 0
    header = np.where(wire["is_tcp"] == 1, 4 * wire["tcp_dataofs"], 8 * (wire["is_udp"] + wire["is_icmp"]))
    assert (wire["ip_len"] == 4 * wire["ip_ihl"] + header + wire["payload_length"]).all()
    assert (wire["dscp"] == wire["ip_tos"] // 4).all()
    udp = wire.take((wire["is_udp"] == 1) & (wire["ip_flags"] != 1))
    assert (udp["udp_len"] == 8 + udp["payload_length"]).all()


def test_a_layer_that_a_frame_does_not_have_is_missing(week: Batch) -> None:
    layers = {"is_ip": "ip_", "is_tcp": "tcp_", "is_udp": "udp_", "is_icmp": "icmp_", "is_wifi": "wifi_fc_"}
    for flag, prefix in layers.items():
        there = week[flag] == 1
        for name in [name for name in NUMBERS if name.startswith(prefix)]:
            assert (np.isnan(week[name]) == ~there).all(), name
    assert (week["is_ip"] + week["is_wifi"] == 1).all()
    assert ((week["ip_src"] != "") == (week["is_ip"] == 1)).all()
    assert (week["wifi_addr1"] != "")[week["is_wifi"] == 1].all()


def test_only_the_first_fragment_has_a_transport_header(week: Batch) -> None:
    fragments = week.take((week["ip_flags"] == 1) | (week["ip_frag"] > 0))
    later = fragments["ip_frag"] > 0
    told = (fragments["is_udp"] + fragments["is_icmp"]) == 1
    assert (told == ~later).all()
    first = fragments.take(fragments["is_udp"] == 1)
    assert (first["udp_len"] > first["ip_len"] - 20).all()
    assert {"normal", "fragments"} == set(fragments["label"].tolist())
    assert (fragments["label"] == "normal").mean() > 0.1


def test_an_attack_is_an_episode_that_does_what_its_name_says(seed: int) -> None:
    batch = frames(Plan(days=7, anomaly_rate=0.01, seed=seed))  # one round: one episode of each kind
    found = {kind: of_kind(batch, kind) for kind in ATTACKS}
    for kind, episode in found.items():
        assert episode["timestamp"][-1] - episode["timestamp"][0] < np.timedelta64(1, "h"), kind
    scan = found["port_scan"]
    _, frames_of = np.unique(scan["ip_src"].astype(str), return_counts=True)
    assert frames_of.max() > 0.5 * scan.rows
    assert len(set(zip(scan["ip_dst"], scan["dst_port"], strict=True))) > 0.3 * scan.rows
    flood = found["syn_flood"]
    assert (flood["tcp_flags"] == 2).mean() > 0.5
    assert len(set(flood["dst_port"][flood["tcp_flags"] == 2].tolist())) == 1
    assert set(found["dscp_misuse"]["dscp"].tolist()) <= {46, 34}
    assert np.median(found["dscp_misuse"]["payload_length"]) > 500
    assert set(found["deauth_flood"]["wifi_fc_subtype"].tolist()) == {12}
    assert ((found["fragments"]["ip_frag"] > 0) | (found["fragments"]["ip_flags"] == 1)).mean() > 0.9


def test_everything_that_attacks_send_is_sent_on_calm_days_too(week: Batch) -> None:
    normal, attacks = of_kind(week, "normal"), week.take(week["label"] != "normal")
    for name in ("tcp_flags", "dscp", "ip_protocol", "wifi_fc_subtype", "ip_flags"):
        assert set(attacks[name][~np.isnan(attacks[name])]) <= set(normal[name][~np.isnan(normal[name])]), name
    for name in ("ip_src", "ip_dst", "wifi_addr1", "wifi_addr2"):
        assert set(attacks[name].tolist()) <= set(normal[name].tolist()), name


def test_attacks_can_be_kept_behind_a_day(seed: int) -> None:
    batch = frames(Plan(days=10, anomaly_rate=0.03, attacks_from_day=7, seed=seed))
    behind = batch["timestamp"] >= np.datetime64("2026-01-12")
    attacked = batch["label"] != "normal"
    assert not attacked[~behind].any()
    assert abs(attacked[behind].mean() / 0.03 - 1) < 0.2


def test_no_single_feature_recovers_the_label(week: Batch) -> None:
    attacked = week["label"] != "normal"
    found = {name: single_auc(attacked, week[name]) for name in NUMBERS}
    best = max(found, key=lambda name: found[name])
    print(f"best single feature of frames: {best}, ROC-AUC {found[best]:.3f}")  # noqa: T201
    assert found[best] < 0.85


def single_auc(attacked: np.ndarray, values: np.ndarray) -> float:
    """Of high or low values, the missing ones below all, above all or usual, whichever tells the most."""
    if np.isnan(values).all():
        return 0.5
    aucs = []
    for missing in (np.nanmin(values) - 1, np.nanmedian(values), np.nanmax(values) + 1):
        ranking = Ranking.of(attacked, np.where(np.isnan(values), missing, values))
        aucs.append(float(roc_auc(ranking.anomalies, ranking.normals)))
    return max(*aucs, *(1 - auc for auc in aucs))


def test_no_name_and_no_relation_recovers_the_label(week: Batch) -> None:
    leaks = find_leaks({name: week[name] for name in COLUMNS if name != "timestamp"}, week["label"] != "normal")
    assert leaks.single is not None
    assert leaks.single.roc_auc < 0.85
    assert leaks.relation is not None
    assert leaks.relation.balanced_accuracy < 0.8


def test_a_plan_for_too_many_rows_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="at most 5,000,000"):
        frames(Plan(days=366, entities=1_000))


@pytest.mark.parametrize(
    "plan",
    [Plan(days=0.01), Plan(days=0.02, entities=1, anomaly_rate=0.5), Plan(days=1, attacks_from_day=2)],
    ids=["minutes", "one_host", "attacks_never"],
)
def test_small_plans_work(plan: Plan) -> None:
    assert frames(plan).rows > 0
