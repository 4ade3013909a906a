from __future__ import annotations

import numpy as np
import pytest

from tocsin.errors import LimitExceeded
from tocsin.presets import read_preset
from tocsin.records import GENERATED, Batch, Matrix
from tocsin.synthetic.hosts import hosts
from tocsin.synthetic.hosts_episodes import ATTACKS, JOBS
from tocsin.synthetic.plan import Plan

DEVICES = 6
STEP_S = 300
CORES = [f"cpu_core{core}_pct" for core in range(4)]
COUNTERS = [name for name in read_preset("hosts")["schema"]["fields"] if name.endswith("_counter")]
LOADS = ("load_1min", "load_5min", "load_15min")


@pytest.fixture(scope="module")
def month() -> Batch:
    return hosts(Plan(days=28, anomaly_rate=0.1))


def grid(batch: Batch, name: str) -> Matrix:
    """A column as (polls, devices)."""
    return batch[name].reshape(-1, DEVICES)


def restarted(batch: Batch) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Where a device has been up for less long than at the poll before, (polls - 1, devices)."""
    return np.diff(grid(batch, "sys_uptime_sec"), axis=0) < 0


def test_columns_are_exactly_those_of_the_preset_in_its_order(month: Batch) -> None:
    fields = read_preset("hosts")["schema"]["fields"]
    assert list(month) == [*fields, "label", GENERATED]
    whole = [name for name, field in fields.items() if field.get("dtype") == "integer"]
    assert {month[name].dtype for name in whole} == {np.dtype(np.int64)}


def test_every_device_is_polled_at_every_step(month: Batch) -> None:
    assert month.rows == DEVICES * 28 * 288
    assert month["device_id"][:7].tolist() == [
        "web-01", "database-01", "router-01", "workstation-01", "files-01", "build-01", "web-01",
    ]  # fmt: skip
    assert (np.diff(month["timestamp"][::DEVICES]) == np.timedelta64(STEP_S, "s")).all()
    assert hosts(Plan(days=0.01, entities=8))["device_id"][7] == "database-02"


def test_cores_and_their_summary_agree(month: Batch) -> None:
    cores = np.column_stack([month[name] for name in CORES])
    assert np.abs(month["cpu_avg_pct"] - cores.mean(axis=1)).max() <= 0.0501
    assert np.array_equal(month["cpu_max_pct"], cores.max(axis=1))
    assert np.abs(month["cpu_std_pct"] - cores.std(axis=1)).max() <= 0.0501
    assert cores.min() >= 0
    assert cores.max() <= 100


def test_memory_is_used_or_free(month: Batch) -> None:
    used, free, total = (month[f"memory_{what}_kb"] for what in ("used", "free", "total"))
    assert np.array_equal(used + free, total)
    assert np.abs(month["memory_used_pct"] - 100 * used / total).max() <= 0.0501
    assert (used % 4 == 0).all()  # pages
    assert free.min() > 0
    assert (month["proc_mem_top5_sum"] <= month["memory_used_pct"] + 0.05).all()
    assert (month["proc_cpu_top5_sum"] <= 4 * month["cpu_avg_pct"] + 0.05).all()


def test_counters_rise_and_start_anew_with_the_device_alone(month: Batch) -> None:
    assert np.array_equal(month["disk_io_counter"], month["disk_reads_counter"] + month["disk_writes_counter"])
    anew = restarted(month)
    assert 10 < anew.sum() < 50
    uptime = grid(month, "sys_uptime_sec")
    assert np.allclose(np.diff(uptime, axis=0)[~anew], STEP_S, atol=0.02)
    assert (uptime[1:][anew] < STEP_S).all()
    for name in COUNTERS:
        assert (np.diff(grid(month, name), axis=0)[~anew] >= 0).all(), name
    for name in ("disk_io_counter", "net_packets_in_counter"):
        assert (np.diff(grid(month, name), axis=0)[anew] < 0).all(), name


@pytest.mark.parametrize("way", ["in", "out"])
def test_packets_have_a_possible_size_between_any_two_polls(month: Batch, way: str) -> None:
    anew = restarted(month)
    sizes, packets, errors, drops = (
        np.diff(grid(month, f"net_{what}_{way}_counter"), axis=0)[~anew]
        for what in ("bytes", "packets", "errors", "drops")
    )
    assert (sizes >= 40 * packets).all()
    assert (sizes <= 1_500 * packets).all()
    assert (errors + drops <= packets).all()
    for what in ("bytes", "packets"):
        assert month[f"net_{what}_{way}_counter"].min() > 0
    assert (month[f"net_bytes_{way}_counter"] >= 40 * month[f"net_packets_{way}_counter"]).all()


def test_load_averages_forget_at_their_own_pace(month: Batch) -> None:
    anew, fast, slow = restarted(month), *(grid(month, name) for name in ("load_1min", "load_15min"))
    running = (fast[1:] - np.exp(-5) * fast[:-1]) / (1 - np.exp(-5))
    expected = np.exp(-1 / 3) * slow[:-1] + (1 - np.exp(-1 / 3)) * running
    assert np.abs(slow[1:] - expected)[~anew].max() < 0.02
    busy = grid(month, "cpu_avg_pct")
    for device in range(DEVICES):
        assert np.corrcoef(fast[:, device], busy[:, device])[0, 1] > 0.7


def test_processes_add_up(month: Batch) -> None:
    count, new, gone = (grid(month, f"proc_{what}") for what in ("count", "new", "terminated"))
    anew = restarted(month)
    assert np.array_equal(np.diff(count, axis=0)[~anew], (new - gone)[1:][~anew])
    assert np.array_equal(count[1:][anew], (new - gone)[1:][anew])
    names = month["proc_unique_names"]
    assert np.abs(month["proc_name_diversity"] - names / month["proc_count"]).max() <= 0.000_051
    assert names.min() >= 1
    assert (names <= month["proc_count"]).all()
    assert (month["proc_entropy"] <= np.log2(names) + 0.001).all()
    assert (month["proc_threads_total"] >= month["proc_count"]).all()
    assert (month["proc_files_open_total"] >= month["proc_connections_total"]).all()
    for name in ("proc_new", "proc_terminated"):
        assert (month["proc_short_lived"] <= month[name]).all()
    for name in ("proc_suspicious", "proc_high_cpu", "proc_high_mem"):
        assert (month[name] <= month["proc_count"]).all()


def test_devices_have_their_own_hours_and_levels(month: Batch) -> None:
    hour = np.arange(28 * 288) // 12 % 24
    workday = np.arange(28 * 288) // 288 % 7 < 5
    office = (hour >= 9) & (hour < 17)
    busy = grid(month, "cpu_avg_pct")
    for device in (3, 4, 5):  # workstation, files, build
        at_work, at_night = busy[office & workday, device], busy[(hour < 5) & workday, device]
        assert np.median(at_work) > 2 * np.median(at_night)
        assert np.median(at_work) > 1.8 * np.median(busy[office & ~workday, device])
    assert len(set(month["memory_total_kb"].tolist())) == DEVICES


def test_attacks_are_episodes_of_minutes_to_hours(month: Batch) -> None:
    labels = grid(month, "label")
    kinds = {attack.kind for attack in ATTACKS}
    assert set(month["label"].tolist()) == {"normal", *kinds}
    lengths = []
    for device in range(DEVICES):
        column = labels[:, device].astype(str)
        borders = np.flatnonzero(np.append(True, column[1:] != column[:-1]))
        lengths += [
            length * STEP_S / 60
            for start, length in zip(borders, np.diff(borders, append=len(column)), strict=True)
            if column[start] != "normal"
        ]
    assert np.median(lengths) > 30
    assert max(lengths) < 24 * 60


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_share_of_attacked_rows_is_about_what_was_asked(rate: float, seed: int) -> None:
    batch = hosts(Plan(anomaly_rate=rate, seed=seed))
    assert abs((batch["label"] != "normal").mean() / rate - 1) < 0.1


def test_attacks_can_be_kept_behind_a_day(seed: int) -> None:
    batch = hosts(Plan(days=14, anomaly_rate=0.05, attacks_from_day=10, seed=seed))
    attacked, behind = batch["label"] != "normal", batch["timestamp"] >= np.datetime64("2026-01-15")
    assert not (attacked & ~behind).any()
    assert abs(attacked[behind].mean() / 0.05 - 1) < 0.1


def test_an_attack_does_not_go_on_over_a_restart(month: Batch) -> None:
    attacked = grid(month, "label") != "normal"
    assert not attacked[1:][restarted(month)].any()


def test_what_an_attack_leaves_behind_is_what_counters_and_loads_remember(seed: int) -> None:
    calm, stormy = (hosts(Plan(seed=seed, anomaly_rate=rate)) for rate in (0.0, 0.1))
    normal = grid(stormy, "label") == "normal"
    for name in set(calm) - {*COUNTERS, *LOADS, "label"}:
        assert np.array_equal(grid(calm, name)[normal], grid(stormy, name)[normal]), name
    before = normal[1:] & ~restarted(calm)
    for name in COUNTERS:
        rises = [np.diff(grid(batch, name), axis=0)[before] for batch in (calm, stormy)]
        assert np.array_equal(*rises), name
    two_hours = np.lib.stride_tricks.sliding_window_view(normal, 25, axis=0).all(axis=-1)
    for name in LOADS:
        differences = np.abs(grid(calm, name) - grid(stormy, name))[24:][two_hours]
        assert differences.max() < 0.05, name


def test_ordinary_jobs_ask_for_what_attacks_ask_for() -> None:
    for wanted in ("cores", "memory", "reads", "writes", "losses", "starts", "processes", "connections", "suspicious"):
        strongest = max(getattr(job, wanted) for job in JOBS)
        assert max(getattr(attack, wanted) for attack in ATTACKS) <= 2 * strongest, wanted


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("cryptominer", "cpu_avg_pct"),
        ("memory_leak", "memory_used_pct"),
        ("disk_storm", "disk_busy_pct"),
        ("fork_bomb", "proc_new"),
        ("ddos", "proc_connections_total"),
    ],
)
def test_an_attack_moves_what_its_name_says_and_normal_rows_reach_as_far(month: Batch, kind: str, name: str) -> None:
    attack, normal = month[name][month["label"] == kind], month[name][month["label"] == "normal"]
    assert np.median(attack) > np.median(normal)
    assert np.median(attack) < normal.max()


def test_a_plan_for_too_many_rows_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="at most 5,000,000"):
        hosts(Plan(days=366, entities=1_000))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(days=0.01),
        Plan(days=0.0001),
        Plan(days=0.02, entities=1, anomaly_rate=0.5),
        Plan(days=1, attacks_from_day=2),
        Plan(days=2, interval_s=7_200, anomaly_rate=0.5),
    ],
    ids=["minutes", "no_step", "one_device", "attacks_never", "long_steps"],
)
def test_small_plans_work(plan: Plan) -> None:
    batch = hosts(plan)
    assert batch.rows > 0
    assert all(np.isfinite(batch[name]).all() for name in batch if batch[name].dtype.kind == "f")
