"""The hosts preset computes every column of AMOSKYS' catalogue, and the three that its own count lacked."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from tocsin.config import parse
from tocsin.model.catalogue import Column, columns
from tocsin.model.design import Design

DESIGN = Design.of(parse("version: 1\nname: hosts\npreset: hosts\n"))
CATALOGUE = {column.name: column for column in columns(DESIGN)}
WRITTEN = list(csv.DictReader((Path(__file__).parent / "hosts_catalogue.csv").read_text("utf-8").splitlines()))

IDENTIFIERS = ("id", "timestamp", "device_id")
LABEL = ("is_anomaly",)
SNMP = (
    "cpu_core0_pct", "cpu_core1_pct", "cpu_core2_pct", "cpu_core3_pct", "cpu_avg_pct", "cpu_max_pct", "cpu_std_pct",
    "memory_total_kb", "memory_used_kb", "memory_free_kb", "memory_used_pct", "swap_used_kb", "disk_reads_ops",
    "disk_writes_ops", "disk_busy_pct", "disk_io_total", "net_bytes_in", "net_bytes_out", "net_packets_in",
    "net_packets_out", "net_errors_in", "net_errors_out", "net_drops_in", "net_drops_out", "load_1min", "load_5min",
    "load_15min", "sys_uptime_sec",
)  # fmt: skip
PROCESS = (
    "proc_count", "proc_new", "proc_terminated", "proc_suspicious", "proc_cpu_top5_sum", "proc_mem_top5_sum",
    "proc_threads_total", "proc_connections_total", "proc_files_open_total", "proc_entropy", "proc_unique_names",
    "proc_name_diversity", "proc_short_lived", "proc_high_cpu", "proc_high_mem",
)  # fmt: skip
ROLLING = tuple(
    f"{metric}_roll_{statistic}_{window}"
    for metric, statistic, window in product(
        ("cpu_avg_pct", "memory_used_pct", "net_bytes_in", "proc_count"), ("mean", "std", "max"), (5, 10, 30)
    )
)
RATE = tuple(
    f"{metric}_{rate}"
    for metric, rate in product(
        ("cpu_avg_pct", "memory_used_kb", "net_bytes_in", "disk_io_total"), ("rate", "rate_abs")
    )
)
RATIO = ("net_bytes_per_packet_in", "disk_read_write_ratio", "threads_per_process", "cpu_memory_ratio")
TEMPORAL = ("hour", "day_of_week", "is_weekend", "is_business_hours", "minute", "second")
ZSCORE = ("cpu_avg_pct_zscore", "memory_used_pct_zscore", "net_bytes_in_zscore")
FOUNDING = (*IDENTIFIERS, *LABEL, *SNMP, *PROCESS, *ROLLING, *RATE, *RATIO, *TEMPORAL, *ZSCORE)
ADDED = ("disk_used_pct", "net_bytes_per_packet_out", "net_in_out_ratio")
"""The 29th SNMP metric and the fifth and sixth ratio, which the founding table counts and does not have."""


def test_the_founding_catalogue_has_104_columns() -> None:
    assert len(FOUNDING) == len(set(FOUNDING)) == 104
    assert [len(group) for group in (SNMP, PROCESS, ROLLING, RATE, RATIO, TEMPORAL, ZSCORE)] == [28, 15, 36, 8, 4, 6, 3]


def test_the_preset_computes_all_of_them_and_three_more() -> None:
    features = set(FOUNDING) - {*IDENTIFIERS, *LABEL}
    assert set(CATALOGUE) == features | set(ADDED)
    assert {"timestamp", "device_id"} <= DESIGN.schema.fields.keys()
    assert Counter(column.group for column in CATALOGUE.values()) == {
        "snmp": 29, "process": 15, "rolling": 36, "rate": 8, "ratio": 6, "calendar": 6, "zscore": 3,
    }  # fmt: skip


def test_the_catalogue_is_written_down_whole_and_in_order() -> None:
    assert [row["name"] for row in WRITTEN] == list(CATALOGUE)


@pytest.mark.parametrize("row", WRITTEN, ids=lambda row: row["name"])
def test_a_column_has_its_group_unit_inputs_and_window(row: dict[str, str]) -> None:
    inputs = tuple(row["inputs"].split())
    assert CATALOGUE[row["name"]] == Column(
        row["name"], row["group"], row["unit"], inputs, row["window"], row["shown"] == "yes"
    )


def test_what_grows_for_ever_and_what_day_it_is_are_kept_from_the_detector() -> None:
    aside = [column.name for column in CATALOGUE.values() if not column.shown]
    assert aside == ["sys_uptime_sec", *TEMPORAL]
    assert not set(aside) & set(DESIGN.program(DESIGN.no_rows()).outputs)


def test_every_number_has_a_unit() -> None:
    unitless = [column.name for column in CATALOGUE.values() if not column.unit]
    assert unitless == ["net_in_out_ratio", "disk_read_write_ratio", "cpu_memory_ratio"]


def test_the_files_of_amoskys_give_the_same_columns() -> None:
    """There transfers are gauges under the founding names; elsewhere they are rates of counters."""
    theirs = Design.of(parse("version: 1\nname: hosts\npreset: hosts/amoskys\n"))
    assert {column.name for column in columns(theirs)} == set(CATALOGUE)
    assert {*SNMP, *PROCESS} <= theirs.schema.fields.keys()
    assert theirs.schema.key == ("idempotency_key",)
