"""This machine: processors, memory, disks, network and processes, as the operating system counts them.

Source: psutil 7, https://psutil.readthedocs.io; proc(5) for what Linux counts by itself.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import nan
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil

from tocsin.component import Duration
from tocsin.sources.base_disks import whole_disks
from tocsin.sources.base_polls import PollingSource, Samples
from tocsin.sources.base_processes import Snapshot, known, process_columns, snapshot

CORES = 4
"""Cores that have a column of their own."""
_GIVEN_AWAY = ("guest", "guest_nice")
"""Parts of CPU time that Linux counts a second time, as part of `user`."""

Columns = dict[str, float]


class Host(PollingSource):
    """Watch the machine that Tocsin runs on: one row per interval with every column of the preset `hosts`.

    Take it where no agent runs yet, and to see Tocsin at work on something real. Readings are told from the moment
    of `open` on, so the first row is complete and comes an interval later. What cannot be had is missing, never 0:
    a core that the machine does not have, a load average where the system knows none, a count that this user may not
    make. Everything is as the kernel shows it; in a container much of that is of the machine around it.

    - `cpu_...`: share of time not idle since the last row; average, maximum and deviation are over all cores.
    - `memory_used_kb`: total less what programs could still get without swapping; `disk_used_pct`: of the file system
      that holds `/`; `disk_busy_pct`: of the busiest disk. Disks are counted without partitions, and without what is
      built upon them.
    - `..._counter`: since the machine started, 32-bit wraps taken out; the network without loopback. A bridge counts
      the packets of its members again.
    - `proc_new`, `proc_terminated`: since the last row, as far as they were alive at a row; `proc_short_lived`: of
      those that ended, the ones that were younger than a minute when last seen.
    - `proc_suspicious`: processes whose executable was deleted or never was a file, lies under `/tmp`, `/var/tmp` or
      `/dev/shm`, or that are among the five busiest, took more than 80 % of a core and have more than 50 connections.
      An ordinary user is told no other user's executables, so such processes count for root alone.
    - `proc_high_cpu`, `proc_high_mem`: more than 80 % of a core, more than a tenth of the memory.
    - `proc_cpu_top5_sum` counts 100 for each whole core; `proc_entropy`: of the process names, in bits.
    - `proc_connections_total`, `proc_files_open_total`: on Linux the kernel's own counts of TCP and UDP sockets in use
      and of open files, which cost nothing and need no rights.

    Parameters
    ----------
    interval
        Between two rows, at least 100 ms. One row takes about 20 ms of one core with 250 processes.
    samples
        Rows after which it ends; without, it never does.
    """

    def __init__(self, *, interval: Duration = 5.0, samples: Samples = None) -> None:
        super().__init__(interval=interval, samples=samples)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A glance at this machine."""
        return cls(interval=0.1, samples=3)

    def _begin(self) -> None:
        self._device = platform.node() or "localhost"
        self._cores = psutil.cpu_times(percpu=True)
        self._disks = _disk_counts()
        self._processes = self._snapshot()

    def _poll(self) -> Mapping[str, object]:
        processes, cores, disks = self._snapshot(), psutil.cpu_times(percpu=True), _disk_counts()
        passed_s = processes.elapsed - self._processes.elapsed
        row = {
            "device_id": self._device,
            **cpu_columns(self._cores, cores),
            **_memory(),
            **_disk_columns(self._disks, disks, passed_s),
            **_network(),
            **_load(),
            "sys_uptime_sec": self._now() - psutil.boot_time(),
            **process_columns(self._processes, processes),
        }
        self._processes, self._cores, self._disks = processes, cores, disks
        return row

    def _snapshot(self) -> Snapshot:
        return snapshot(self._now(), self._elapsed())


def cpu_columns(before: Sequence[Any], now: Sequence[Any]) -> Columns:
    """How busy each core was between two readings; NaN for a core that is not there, or came or went."""
    same = len(before) == len(now)
    busy = np.array([_busy_pct(*pair) for pair in zip(before, now, strict=True)] if same else [nan])
    cores = {f"cpu_core{core}_pct": float(busy[core]) if core < len(busy) else nan for core in range(CORES)}
    return cores | {
        "cpu_avg_pct": float(busy.mean()),
        "cpu_max_pct": float(busy.max()),
        "cpu_std_pct": float(busy.std()),
    }


def _busy_pct(before: Any, now: Any) -> float:
    spent = {name: getattr(now, name) - getattr(before, name) for name in now._fields if name not in _GIVEN_AWAY}
    total = sum(spent.values())
    if total <= 0:
        return nan
    idle = spent["idle"] + spent.get("iowait", 0.0)
    return float(np.clip(100.0 * (1.0 - idle / total), 0.0, 100.0))


def _memory() -> Columns:
    found = psutil.virtual_memory()
    used = found.total - found.available
    swap = known(psutil.swap_memory, None)
    return {
        "memory_total_kb": found.total / 1024,
        "memory_used_kb": used / 1024,
        "memory_free_kb": found.free / 1024,
        "memory_used_pct": 100.0 * used / found.total,
        "swap_used_kb": nan if swap is None else swap.used / 1024,
    }


def _disk_counts() -> dict[str, Any]:
    """What each disk has counted since the machine started."""
    counted = known(lambda: psutil.disk_io_counters(perdisk=True), {})
    return {name: counted[name] for name in whole_disks(counted)}


def _disk_columns(before: Mapping[str, Any], now: Mapping[str, Any], passed_s: float) -> Columns:
    root = known(lambda: psutil.disk_usage(Path.cwd().anchor), None)
    same = [(before[name], now[name]) for name in now.keys() & before.keys()]
    # Not every system tells for how long a disk was busy.
    busy_ms = [disk.busy_time - was.busy_time for was, disk in same if hasattr(disk, "busy_time")]
    reads = float(sum(disk.read_count for disk in now.values())) if now else nan
    writes = float(sum(disk.write_count for disk in now.values())) if now else nan
    return {
        "disk_reads_counter": reads,
        "disk_writes_counter": writes,
        "disk_io_counter": reads + writes,
        "disk_busy_pct": float(np.clip(max(busy_ms) / passed_s / 10.0, 0.0, 100.0))
        if busy_ms and passed_s > 0
        else nan,
        "disk_used_pct": nan if root is None else root.percent,
    }


def _network() -> Columns:
    interfaces = known(psutil.net_if_stats, {})
    counted = known(lambda: psutil.net_io_counters(pernic=True), {})
    loopback = {name for name, found in interfaces.items() if "loopback" in found.flags.split(",")}
    outside = [counts for name, counts in counted.items() if name not in loopback]

    def total(name: str) -> float:
        return float(sum(getattr(counts, name) for counts in outside)) if outside else nan

    return {
        "net_bytes_in_counter": total("bytes_recv"),
        "net_bytes_out_counter": total("bytes_sent"),
        "net_packets_in_counter": total("packets_recv"),
        "net_packets_out_counter": total("packets_sent"),
        "net_errors_in_counter": total("errin"),
        "net_errors_out_counter": total("errout"),
        "net_drops_in_counter": total("dropin"),
        "net_drops_out_counter": total("dropout"),
    }


def _load() -> Columns:
    averages: Sequence[float] = (nan, nan, nan)
    with suppress(OSError, AttributeError):  # psutil makes averages up where the system has none, beginning with 0
        averages = os.getloadavg()
    return dict(zip(("load_1min", "load_5min", "load_15min"), averages, strict=True))
