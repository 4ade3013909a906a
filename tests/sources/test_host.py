from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tocsin.component import PartSpec, build
from tocsin.presets import read_preset
from tocsin.records import FILE, ROW, Batch
from tocsin.schema import Schema
from tocsin.sources.base import Intake
from tocsin.sources.base_processes import (
    PROCESS_COLUMNS,
    Snapshot,
    cpu_pct,
    is_odd,
    process_columns,
    snapshot,
    talks_to_many,
)
from tocsin.sources.host import Host, cpu_columns

SCHEMA = Schema.model_validate(read_preset("hosts")["schema"])
Times = namedtuple("Times", "user system idle iowait guest")  # as psutil has them
Disk = namedtuple("Disk", "read_count write_count busy_time")

linux = pytest.mark.skipif(not psutil.LINUX, reason="only Linux tells this")


@contextmanager
def child(*command: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **how) as process:
        try:
            yield process
        finally:
            process.kill()


def hurried(source: Host) -> Host:
    """Real readings, on a clock that moves on where it would wait."""
    naps: list[float] = []
    source._sleep, source._elapsed = naps.append, lambda: sum(naps)
    return source


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    """One row of this machine."""
    source = Host(interval=0.2, samples=1)
    source.open()
    batch = source.read(5.0)
    source.close()
    assert batch is not None
    return {name: column[0] for name, column in batch.items()}


def test_a_row_has_every_column_of_the_preset_and_no_other(row: dict[str, Any]) -> None:
    assert set(row) - {FILE, ROW} == set(SCHEMA.fields)


def test_every_row_fits_the_schema() -> None:
    intake = Intake(hurried(Host(samples=3)), SCHEMA)
    rows = sum(batch.rows for batch in intake)
    assert (rows, intake.tally.quarantined) == (3, 0)


def test_a_row_is_of_this_machine(row: dict[str, Any]) -> None:
    assert row["device_id"] == platform.node()
    assert row["memory_total_kb"] * 1024 == psutil.virtual_memory().total
    assert row["sys_uptime_sec"] > 0
    assert row["proc_count"] >= 1


def test_columns_that_are_told_from_others_agree_with_them(row: dict[str, Any]) -> None:
    assert row["memory_used_pct"] == pytest.approx(100 * row["memory_used_kb"] / row["memory_total_kb"])
    assert row["proc_name_diversity"] == pytest.approx(row["proc_unique_names"] / row["proc_count"])
    assert row["disk_io_counter"] == row["disk_reads_counter"] + row["disk_writes_counter"] or isnan(
        row["disk_io_counter"]
    )
    cores = [row[f"cpu_core{core}_pct"] for core in range(4)]
    assert [not isnan(busy) for busy in cores] == [core < (os.cpu_count() or 1) for core in range(4)]
    assert row["cpu_max_pct"] >= max(busy for busy in cores if not isnan(busy))


def test_counters_only_grow() -> None:
    source = hurried(Host(samples=3))
    source.open()
    rows = [batch for _ in range(3) if (batch := source.read(5.0))]
    source.close()
    for name, field in SCHEMA.fields.items():
        if field.kind == "counter":
            assert (np.diff([batch[name][0] for batch in rows]) >= 0).all(), name


def test_processes_that_come_burn_and_go_are_seen() -> None:
    source = Host(interval=0.5)
    source.open()

    def look() -> Batch:
        batch = source.read(30.0)
        assert batch is not None
        return batch

    with child(sys.executable, "-c", "while True: pass") as burner:
        came = look()
        assert came["proc_new"][0] >= 1
        assert came["proc_cpu_top5_sum"][0] > 5.0
        assert came["proc_threads_total"][0] >= came["proc_count"][0]
        burner.kill()
        burner.wait()
        gone = look()
    assert gone["proc_terminated"][0] >= 1
    assert gone["proc_short_lived"][0] >= 1
    source.close()


@linux
def test_a_program_in_a_folder_open_to_all_is_odd() -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        program = Path(folder) / "innocent"
        shutil.copy(sleep, program)
        with child(str(program), "60") as odd, child(sleep, "60") as usual:
            assert is_odd(odd.pid)
            assert not is_odd(usual.pid)


@linux
def test_a_program_that_never_was_a_file_is_odd() -> None:
    memory = os.memfd_create("innocent", 0)
    os.write(memory, Path(shutil.which("sleep") or "").read_bytes())
    with child(f"/proc/self/fd/{memory}", "60", pass_fds=(memory,)) as odd:
        assert is_odd(odd.pid)
    os.close(memory)


def test_a_process_that_is_gone_is_not_odd() -> None:
    with child(sys.executable, "-c", "") as short:
        short.wait()
    assert not is_odd(short.pid)


def test_a_process_with_more_than_50_connections_talks_to_many() -> None:
    with ExitStack() as open_sockets:
        for _ in range(51):
            talking = open_sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            talking.bind(("127.0.0.1", 0))
        assert talks_to_many(os.getpid())
    with child(sys.executable, "-c", "input()", stdin=subprocess.PIPE) as quiet:
        assert not talks_to_many(quiet.pid)


def found(*processes: tuple[int, str, float, float], elapsed: float = 0.0) -> Snapshot:
    """A snapshot of processes as (number, name, CPU seconds, share of the memory), each with two threads."""
    pids, names, cpu_s, memory_pct = zip(*processes, strict=True)
    identities = {(pid, float(pid)): place for place, pid in enumerate(pids)}
    return Snapshot(
        1_000.0 + elapsed, elapsed, len(pids), identities, names,
        np.array(cpu_s), np.array(memory_pct), np.full(len(pids), 2.0),
    )  # fmt: skip


def test_a_share_of_a_core_is_cpu_time_over_time_and_a_new_process_began_with_none() -> None:
    before = found((1, "init", 100.0, 1.0), (2, "job", 7.0, 1.0))
    now = found((1, "init", 101.0, 1.0), (3, "burner", 2.0, 1.0), elapsed=2.0)
    assert cpu_pct(before, now).tolist() == [50.0, 100.0]


def test_names_and_shares_are_counted() -> None:
    before = found((1, "a", 0.0, 1.0), (2, "b", 0.0, 20.0), (950, "c", 0.0, 1.0))
    now = found((1, "a", 1.8, 1.0), (2, "b", 0.2, 20.0), (4, "a", 0.0, 1.0), (5, "a", 0.0, 1.0), elapsed=2.0)
    columns = process_columns(before, now)
    wanted = {
        "proc_count": 4, "proc_new": 2, "proc_terminated": 1, "proc_short_lived": 1, "proc_cpu_top5_sum": 100,
        "proc_mem_top5_sum": 23, "proc_threads_total": 8, "proc_unique_names": 2, "proc_name_diversity": 0.5,
        "proc_high_cpu": 1, "proc_high_mem": 1, "proc_entropy": 0.75 * np.log2(4 / 3) + 0.25 * 2,
    }  # fmt: skip
    assert {name: columns[name] for name in wanted} == pytest.approx(wanted)
    assert set(columns) == set(PROCESS_COLUMNS)


def test_a_sum_over_processes_is_unknown_if_one_cannot_be_asked() -> None:
    before, now = found((1, "a", 0.0, 1.0), (2, "b", 0.0, nan)), found((1, "a", 1.0, 1.0), (2, "b", nan, nan))
    columns = process_columns(before, now)
    unknown = ("proc_cpu_top5_sum", "proc_mem_top5_sum", "proc_high_cpu", "proc_high_mem")
    assert all(isnan(columns[name]) for name in unknown)
    assert columns["proc_count"] == 2


def test_whoever_keeps_its_time_to_itself_is_not_among_the_busiest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.sources.base_processes.is_odd", lambda pid: False)
    monkeypatch.setattr("tocsin.sources.base_processes.talks_to_many", lambda pid: True)
    secret = [(pid, "secret", nan, 1.0) for pid in range(2, 9)]
    before, now = found((1, "burner", 0.0, 1.0), *secret), found((1, "burner", 2.0, 1.0), *secret, elapsed=2.0)
    assert process_columns(before, now)["proc_suspicious"] == 1


def test_an_operation_is_counted_once_by_the_disk_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {
        "sda": (100, 10, 1_000),
        "sda1": (90, 9, 900),
        "dm-0": (90, 9, 9_000),
        "loop0": (7, 0, 0),
        "sdb": (5, 1, 0),
    }
    disks = {name: Disk(*count) for name, count in counts.items()}
    monkeypatch.setattr("psutil.disk_io_counters", lambda perdisk: dict(disks))
    source = hurried(Host(interval=10.0))
    source.open()
    disks |= {"sda": Disk(150, 20, 3_500), "dm-0": Disk(150, 20, 18_000), "sdb": Disk(6, 2, 0)}
    batch = source.read(10.0)
    source.close()
    assert batch is not None
    names = ("disk_reads_counter", "disk_writes_counter", "disk_io_counter", "disk_busy_pct")
    assert [batch[name][0] for name in names] == [156, 22, 178, 25]


def test_too_many_processes_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.sources.base_processes.MAX_PROCESSES", 0)
    many = snapshot(0.0, 0.0)
    columns = process_columns(many, many)
    assert columns["proc_count"] >= 1
    assert isnan(columns["proc_threads_total"])
    assert isnan(columns["proc_new"])


def test_a_core_that_is_not_there_is_missing_and_guests_are_not_counted_twice() -> None:
    before = [Times(0.0, 0.0, 0.0, 0.0, 0.0)] * 2
    now = [Times(1.0, 1.0, 1.0, 1.0, 1.0), Times(0.0, 0.0, 4.0, 0.0, 0.0)]
    columns = cpu_columns(before, now)
    assert [columns[f"cpu_core{core}_pct"] for core in range(2)] == [50.0, 0.0]
    assert isnan(columns["cpu_core2_pct"])
    assert (columns["cpu_avg_pct"], columns["cpu_max_pct"], columns["cpu_std_pct"]) == (25.0, 50.0, 25.0)


def test_cores_that_come_and_time_that_stands_still_tell_nothing() -> None:
    still = [Times(1.0, 1.0, 1.0, 1.0, 1.0)]
    assert all(isnan(value) for value in cpu_columns(still, still * 2).values())
    assert isnan(cpu_columns(still, still)["cpu_avg_pct"])


@pytest.mark.parametrize(
    ("reading", "columns"),
    [
        ("psutil.swap_memory", ["swap_used_kb"]),
        ("psutil.disk_io_counters", ["disk_reads_counter", "disk_io_counter", "disk_busy_pct"]),
        ("psutil.disk_usage", ["disk_used_pct"]),
        ("psutil.net_io_counters", ["net_bytes_in_counter", "net_drops_out_counter"]),
        ("os.getloadavg", ["load_1min", "load_15min"]),
        ("tocsin.sources.base_processes._open_files", ["proc_files_open_total"]),
    ],
)
def test_what_cannot_be_had_is_missing_and_never_0(
    reading: str, columns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not for you")

    monkeypatch.setattr(reading, refuse)
    source = hurried(Host())
    source.open()
    batch = source.read(5.0)
    source.close()
    assert batch is not None
    assert all(isnan(batch[name][0]) for name in columns)


def test_a_config_makes_it_and_the_live_source_says_that_it_cannot_be_read_twice() -> None:
    source = build("sources", PartSpec("host", {"interval": "500ms", "samples": 120}))
    assert source.parameters() == {"interval": 0.5, "samples": 120}
    assert not Host.replayable
