"""No generator gives its labels away: docs/generators.md has the figures that these tests record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tocsin.evaluation.leaks import find_leaks
from tocsin.records import GENERATED, Batch, Mask
from tocsin.synthetic.base import GENERATORS, Kind, generate, to_csv
from tocsin.synthetic.plan import Plan

SEEDS = (1, 2, 3)
BEST_SINGLE = 0.95
"""ROC-AUC that no column reaches."""
BEST_RELATION = 0.85
"""Balanced accuracy that no relation between columns reaches."""

everywhere = pytest.mark.parametrize("seed", SEEDS)
all_kinds = pytest.mark.parametrize("kind", GENERATORS)


@cache
def week(kind: Kind, seed: int) -> Batch:
    return generate(kind, Plan(days=7, seed=seed))


@all_kinds
@everywhere
def test_neither_a_column_nor_a_relation_between_columns_recovers_the_label(
    kind: Kind, seed: int, record_property: Callable[[str, object], None]
) -> None:
    batch = week(kind, seed)
    columns = {name: batch[name] for name in batch if name not in ("label", GENERATED)}
    leaks = find_leaks(columns, batch["label"] != "normal")
    assert leaks.single is not None
    assert leaks.relation is not None
    for name, finding in (("best single column", leaks.single), ("best relation", leaks.relation)):
        record_property(f"{kind} {seed}: {name}", str(finding))
        print(f"{kind} {seed}: {finding}")  # noqa: T201  # shown by -rP
    assert leaks.single.roc_auc < BEST_SINGLE
    assert leaks.relation.balanced_accuracy < BEST_RELATION


@everywhere
def test_neither_does_what_the_counters_of_hosts_rise_by(seed: int) -> None:
    batch = week("hosts", seed)
    devices = len(set(batch["device_id"].tolist()))
    columns = {name: batch[name][devices:] for name in batch if name not in ("label", GENERATED)}
    for name in columns:
        if name.endswith("_counter"):
            columns[name] = batch[name][devices:] - batch[name][:-devices]
    leaks = find_leaks(columns, batch["label"][devices:] != "normal")
    assert leaks.single is not None
    assert leaks.relation is not None
    assert leaks.single.roc_auc < BEST_SINGLE
    assert leaks.relation.balanced_accuracy < BEST_RELATION


def sizes_of_flows(batch: Batch) -> Mask:
    fit = [
        (40 * batch[f"packets_{side}"] <= batch[f"bytes_{side}"])
        & (batch[f"bytes_{side}"] <= 1_500 * batch[f"packets_{side}"])
        for side in ("in", "out")
    ]
    return np.asarray(np.all(fit, axis=0))


def sums_of_hosts(batch: Batch) -> Mask:
    cores = np.column_stack([batch[f"cpu_core{core}_pct"] for core in range(4)])
    used, total = batch["memory_used_kb"], batch["memory_total_kb"]
    fit = [
        np.abs(batch["cpu_avg_pct"] - cores.mean(axis=1)) < 0.051,
        batch["cpu_max_pct"] == cores.max(axis=1),
        used + batch["memory_free_kb"] == total,
        np.abs(batch["memory_used_pct"] - 100 * used / total) < 0.051,
        batch["disk_io_counter"] == batch["disk_reads_counter"] + batch["disk_writes_counter"],
        np.abs(batch["proc_name_diversity"] * batch["proc_count"] - batch["proc_unique_names"]) < 0.1,
        batch["proc_threads_total"] >= batch["proc_count"],
    ]
    return np.asarray(np.all(fit, axis=0))


def order_of_percentiles(batch: Batch) -> Mask:
    p50, p95, p99 = (batch[f"p{rank}_latency_ms"] for rank in (50, 95, 99))
    return np.asarray((p50 <= p95) & (p95 <= p99) & (batch["error_rate"] <= 1))


def signals_of_links(batch: Batch) -> Mask:
    mean, low, high, spread = (batch[f"signal_strength{what}"] for what in ("", "_min", "_max", "_std"))
    lost = batch["packet_loss"] == 1
    return np.asarray(np.where(lost, np.isnan(mean), (low <= mean) & (mean <= high) & (spread >= 0)))


def layers_of_frames(batch: Batch) -> Mask:
    ip, tcp, udp = (batch[f"is_{layer}"].astype(bool) for layer in ("ip", "tcp", "udp"))
    fit = [
        ~ip | (batch["dscp"] == batch["ip_tos"] // 4),
        ~ip | (batch["ip_len"] <= batch["frame_length"]),
        tcp == ((batch["ip_protocol"] == 6) & (batch["ip_frag"] == 0)),
        udp == ((batch["ip_protocol"] == 17) & (batch["ip_frag"] == 0)),  # later fragments have no such header
        ~(tcp & udp),
        batch["payload_length"] <= batch["frame_length"],
    ]
    return np.asarray(np.all(fit, axis=0))


IDENTITIES: dict[Kind, Callable[[Batch], Mask]] = {
    "flows": sizes_of_flows,
    "hosts": sums_of_hosts,
    "services": order_of_percentiles,
    "wifi": signals_of_links,
    "frames": layers_of_frames,
}


@all_kinds
@everywhere
def test_what_must_hold_on_a_real_row_holds_on_every_row(kind: Kind, seed: int) -> None:
    batch = week(kind, seed)
    assert IDENTITIES[kind](batch).all()


def digest(batch: Batch, folder: Path) -> str:
    to_csv(batch, folder / "rows.csv")
    return hashlib.sha256((folder / "rows.csv").read_bytes()).hexdigest()


@all_kinds
def test_a_plan_is_a_digest(kind: Kind, tmp_path: Path) -> None:
    """The dates come from the plan, not from the clock, and the rows from its seed."""
    one, again, other = (digest(generate(kind, Plan(days=1, seed=seed)), tmp_path) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert generate(kind, Plan(days=1))["timestamp"][0].astype("datetime64[D]") == np.datetime64("2026-01-05")


# What normal rows keep whatever the rate of attacks: test_generate.py for all kinds, test_hosts.py for counters.
