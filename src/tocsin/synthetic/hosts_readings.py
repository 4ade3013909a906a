"""What an agent reads on devices that are asked to do so much: every column of `hosts`, by one way for all rows.

Averages are taken of the cores that are written, percentages of the sizes that are written, sums of their parts:
no row can contradict itself, whatever the device was busy with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.records import Column

CORES = 4
SMALLEST_PACKET, LARGEST_PACKET = 64.0, 1_460.0

Grid = NDArray[np.float64]
"""(steps, devices); the cores have a third axis."""
Counts = NDArray[np.int64]

_LOADS_S = {"load_1min": 60.0, "load_5min": 300.0, "load_15min": 900.0}
_REFILL_S = 7_200.0
"""How long a restarted device takes to fill its caches again."""
_COUNTED = ("reads", "writes", "packets_in", "packets_out", "bytes_in", "bytes_out")
_DAMAGED = (0.1, 0.6)
"""Share of the lost packets that arrived damaged; the rest were dropped."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the devices; arrays to be added to. Rates are per second."""

    cores: Grid
    """(steps, devices, 4) of one core; above 1 processes wait."""
    memory: Grid
    """Share of all memory; above 0.9 the rest is swapped."""
    reads: Grid
    writes: Grid
    packets_in: Grid
    packets_out: Grid
    bytes_in: Grid
    bytes_out: Grid
    losses: Grid
    """Share of the packets that is damaged or dropped."""
    processes: Grid
    """That stay."""
    alike: Grid
    """Those of them that bear one name."""
    starts: Grid
    """Processes that begin and end."""
    connections: Grid
    suspicious: Grid
    """Processes with a name that is on a list."""


@dataclass(frozen=True, slots=True)
class Devices:
    """What a device is; arrays of shape (devices,) but for `boots`."""

    memory_kb: Counts
    operations_per_s: Grid
    """What the disk can do."""
    link_bytes_per_s: Grid
    threads: Grid
    """Of a process."""
    files: Grid
    """Open in a process."""
    names: Grid
    """Different names of processes."""
    disk_used: Grid
    uptime_s: Grid
    """At the first row."""
    boots: NDArray[np.bool_]
    """(steps, devices): the device restarted since the poll before."""


def readings(
    rng: np.random.Generator, demand: Demand, usual: Demand, devices: Devices, step_s: float
) -> dict[str, Column]:
    """Columns of shape (steps, devices).

    Parameters
    ----------
    rng
        For what varies between two polls. How much is drawn does not depend on the demand: what is added to one row
        moves no other.
    demand, usual
        With and without what attacks ask for. The counts from before the first row are those of usual days.
    devices
        Of `demand`.
    step_s
        Seconds between two polls.
    """
    since, uptime = _clock(rng, devices, step_s)
    cores = _cores(rng, demand)
    memory = _memory(rng, demand, devices, uptime)
    disk = _disk(rng, demand, since)
    net = _net(rng, demand, devices, since)
    past = _past(usual, devices)
    counted = {name: _counter(rise, devices.boots, past[name]) for name, rise in (disk | net).items()}
    return {
        **cores,
        **memory,
        "disk_reads_counter": counted["reads"],
        "disk_writes_counter": counted["writes"],
        "disk_io_counter": counted["reads"] + counted["writes"],
        **_disk_shares(rng, demand, devices),
        **{
            f"net_{what}_{way}_counter": counted[f"{what}_{way}"]
            for what in ("bytes", "packets", "errors", "drops")
            for way in ("in", "out")
        },
        **_loads(demand, devices, since),
        "sys_uptime_sec": np.round(uptime, 2),
        **_processes(rng, demand, devices, since, cores | memory),
    }


def _clock(rng: np.random.Generator, devices: Devices, step_s: float) -> tuple[Grid, Grid]:
    """Seconds since the poll before, or since a restart between the two; seconds since the last restart."""
    steps, _ = devices.boots.shape
    since = np.where(devices.boots, step_s * rng.uniform(0.1, 0.9, devices.boots.shape), step_s)
    started = _last_boot(devices.boots)
    row = np.arange(steps)[:, None]
    first = np.take_along_axis(since, np.maximum(started, 0), axis=0)
    return since, np.where(started < 0, devices.uptime_s + row * step_s, first + (row - started) * step_s)


def _past(usual: Demand, devices: Devices) -> dict[str, Counts]:
    """What was counted before the first row."""
    past = {name: getattr(usual, name).mean(axis=0) * devices.uptime_s for name in _COUNTED}
    damaged = sum(_DAMAGED) / 2
    for way in ("in", "out"):
        lost = past[f"packets_{way}"] * usual.losses.mean(axis=0)
        past |= {f"errors_{way}": lost * damaged, f"drops_{way}": lost * (1 - damaged)}
    return {name: np.floor(count).astype(np.int64) for name, count in past.items()}


def _last_boot(boots: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Row of the last restart up to each row, -1 before the first."""
    return np.maximum.accumulate(np.where(boots, np.arange(len(boots))[:, None], -1), axis=0)


def _counter(rise: Counts, boots: NDArray[np.bool_], past: Counts) -> Counts:
    """All that was counted since the last restart, `past` before the first row."""
    total = np.cumsum(rise, axis=0)
    started = _last_boot(boots)
    forgotten = np.take_along_axis(total - rise, np.maximum(started, 0), axis=0)
    return total - np.where(started < 0, -past, forgotten)


def _counts(rng: np.random.Generator, expected: Grid) -> Counts:
    """Whole numbers of this mean."""
    return np.floor(expected + rng.random(expected.shape)).astype(np.int64)


def _varied(rng: np.random.Generator, values: Grid, spread: float) -> Grid:
    return values * np.exp(spread * rng.standard_normal(values.shape))


def _cores(rng: np.random.Generator, demand: Demand) -> dict[str, Column]:
    busy = np.minimum(_varied(rng, demand.cores, 0.15), 1.0)
    idle = 0.004 * np.abs(rng.standard_normal(busy.shape))
    cores = np.round(100 * np.maximum(busy - idle, 0.0), 1)
    return {f"cpu_core{core}_pct": cores[..., core] for core in range(CORES)} | {
        "cpu_avg_pct": np.round(cores.mean(axis=-1), 1),
        "cpu_max_pct": cores.max(axis=-1),
        "cpu_std_pct": np.round(cores.std(axis=-1), 1),
    }


def _memory(rng: np.random.Generator, demand: Demand, devices: Devices, uptime: Grid) -> dict[str, Column]:
    total = np.broadcast_to(devices.memory_kb, uptime.shape)
    asked = _varied(rng, demand.memory, 0.01) * (1 - 0.35 * np.exp(-uptime / _REFILL_S))
    over = np.maximum(asked - 0.85, 0.0)
    share = np.minimum(asked, 0.85) + 0.13 * (1 - np.exp(-over / 0.13))
    used = np.floor(total * share / 4).astype(np.int64) * 4  # pages of 4 KiB
    swapped = 0.2 * np.maximum(asked - 0.9, 0.0) + 0.004 * np.exp(-_REFILL_S / uptime)
    return {
        "memory_total_kb": total.astype(np.float64),
        "memory_used_kb": used.astype(np.float64),
        "memory_free_kb": (total - used).astype(np.float64),
        "memory_used_pct": np.round(100 * used / total, 1),
        "swap_used_kb": np.floor(total * _varied(rng, swapped, 0.05) / 4) * 4,
    }


def _disk(rng: np.random.Generator, demand: Demand, since: Grid) -> dict[str, Counts]:
    return {name: _counts(rng, _varied(rng, getattr(demand, name), 0.2) * since) for name in ("reads", "writes")}


def _disk_shares(rng: np.random.Generator, demand: Demand, devices: Devices) -> dict[str, Column]:
    asked = _varied(rng, (demand.reads + demand.writes) / devices.operations_per_s, 0.15)
    steps = len(asked)
    filling = devices.disk_used + 2.0 * np.arange(steps)[:, None] / max(steps, 1)
    return {
        "disk_busy_pct": np.round(100 * (1 - np.exp(-asked)), 1),
        "disk_used_pct": np.round(np.clip(filling + 0.1 * rng.standard_normal(asked.shape), 0.0, 100.0), 1),
    }


def _net(rng: np.random.Generator, demand: Demand, devices: Devices, since: Grid) -> dict[str, Counts]:
    rises: dict[str, Counts] = {}
    for way in ("in", "out"):
        rate, volume = getattr(demand, f"packets_{way}"), getattr(demand, f"bytes_{way}")
        packets = _counts(rng, _varied(rng, rate, 0.1) * since)
        size = np.clip(volume / np.maximum(rate, 1e-9), SMALLEST_PACKET, LARGEST_PACKET)
        crowded = np.maximum(volume / devices.link_bytes_per_s - 0.3, 0.0)
        lost = packets * np.minimum(_varied(rng, demand.losses + 0.002 * crowded, 0.5), 0.5)
        damaged = rng.uniform(*_DAMAGED, lost.shape)
        rises[f"packets_{way}"] = packets
        rises[f"bytes_{way}"] = _counts(rng, packets * size)
        rises[f"errors_{way}"] = _counts(rng, lost * damaged)
        rises[f"drops_{way}"] = _counts(rng, lost * (1 - damaged))
    return rises


def _loads(demand: Demand, devices: Devices, since: Grid) -> dict[str, Column]:
    """Processes that run or wait, averaged as Unix does: exponentially, over 1, 5 and 15 minutes."""
    waiting = (demand.reads + demand.writes) / devices.operations_per_s
    running = demand.cores.sum(axis=-1) + waiting
    loads: dict[str, Column] = {}
    for name, memory_s in _LOADS_S.items():
        kept, load = np.exp(-since / memory_s), np.empty_like(running)
        last = running[0]
        for step, booted in enumerate(devices.boots):
            last = running[step] + kept[step] * (np.where(booted, 0.0, last) - running[step])
            load[step] = last
        loads[name] = np.round(load, 2)
    return loads


def _processes(
    rng: np.random.Generator, demand: Demand, devices: Devices, since: Grid, read: dict[str, Column]
) -> dict[str, Column]:
    cpu_pct, memory_pct = read["cpu_avg_pct"], read["memory_used_pct"]
    count = np.maximum(np.rint(demand.processes), 1).astype(np.int64)
    more = np.where(devices.boots, count, np.diff(count, axis=0, prepend=count[:1]))
    passing = _counts(rng, _varied(rng, demand.starts, 0.2) * since)
    connections = _counts(rng, _varied(rng, demand.connections, 0.05))
    names = np.clip(np.rint(_varied(rng, devices.names + 0.02 * demand.alike, 0.01)), 1, count).astype(np.int64)
    alike = np.clip(demand.alike / count, 0.0, 0.95)
    top_cpu = CORES * cpu_pct * np.clip(0.6 + 0.3 * cpu_pct / 100 + 0.05 * rng.standard_normal(count.shape), 0.2, 1.0)
    top_memory = memory_pct * np.clip(0.55 + 0.06 * rng.standard_normal(count.shape), 0.2, 1.0)
    return {
        "proc_count": count,
        "proc_new": passing + np.maximum(more, 0),
        "proc_terminated": passing + np.maximum(-more, 0),
        "proc_suspicious": np.minimum(_counts(rng, demand.suspicious), count),
        "proc_cpu_top5_sum": np.round(top_cpu, 1),
        "proc_mem_top5_sum": np.round(top_memory, 1),
        "proc_threads_total": count + _counts(rng, count * _varied(rng, devices.threads - 1, 0.03) + 0.2 * connections),
        "proc_connections_total": connections,
        "proc_files_open_total": connections + _counts(rng, count * _varied(rng, devices.files, 0.04)),
        "proc_entropy": _entropy(names, alike),
        "proc_unique_names": names,
        "proc_name_diversity": np.round(names / count, 4),
        "proc_short_lived": np.floor(passing * rng.uniform(0.5, 0.9, count.shape)).astype(np.int64),
        "proc_high_cpu": np.minimum(_counts(rng, top_cpu / 100 * rng.uniform(0.4, 0.8, count.shape)), count),
        "proc_high_mem": np.minimum(_counts(rng, top_memory / 20 * rng.uniform(0.5, 1.0, count.shape)), count),
    }


def _entropy(names: Counts, alike: Grid) -> Grid:
    """Bits of the names: a share bears one name, the rest are spread as usual; at most those of an even spread."""
    with np.errstate(divide="ignore", invalid="ignore"):
        chosen = np.nan_to_num(-alike * np.log2(alike) - (1 - alike) * np.log2(1 - alike))
    bits = np.log2(names.astype(np.float64))
    return np.asarray(np.round(np.minimum((1 - alike) * 0.85 * bits + chosen, bits), 3), np.float64)
