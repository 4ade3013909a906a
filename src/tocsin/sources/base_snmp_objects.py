"""The objects that are asked of an SNMP agent, and what they tell of a host.

Source: RFC 2863 (IF-MIB), RFC 2790 (HOST-RESOURCES-MIB), RFC 3411 (SNMP-FRAMEWORK-MIB), RFC 3418 (SNMPv2-MIB);
Net-SNMP's UCD-SNMP-MIB and UCD-DISKIO-MIB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.sources.base_disks import whole_disks
from tocsin.sources.base_snmp_totals import NAN, Clock, Count, Counts, Key

Value = int | str | bytes | float | None
Values = Mapping[str, Value]
"""Values by object identifier, numeric and without a dot in front."""
MAX_VALUES = 50_000
"""Values of one table: 2,000 interfaces have about that many."""

SYS_UPTIME = "1.3.6.1.2.1.1.3.0"
_HR_UPTIME = "1.3.6.1.2.1.25.1.1.0"
_HR_PROCESSES = "1.3.6.1.2.1.25.1.6.0"
_HR_MEMORY = "1.3.6.1.2.1.25.2.2.0"
_ENGINE_BOOTS = "1.3.6.1.6.3.10.2.1.2.0"
_ENGINE_TIME = "1.3.6.1.6.3.10.2.1.3.0"
_SWAP_TOTAL, _SWAP_FREE = "1.3.6.1.4.1.2021.4.3.0", "1.3.6.1.4.1.2021.4.4.0"
_MEMORY_TOTAL, _MEMORY_FREE = "1.3.6.1.4.1.2021.4.5.0", "1.3.6.1.4.1.2021.4.6.0"
_MEMORY_AVAILABLE = "1.3.6.1.4.1.2021.4.27.0"
_BUFFERS, _CACHED = "1.3.6.1.4.1.2021.4.14.0", "1.3.6.1.4.1.2021.4.15.0"
_CPU_IDLE = "1.3.6.1.4.1.2021.11.11.0"

_LOADS = "1.3.6.1.4.1.2021.10.1.5"
_PROCESSOR_LOAD = "1.3.6.1.2.1.25.3.3.1.2"
_STORAGE = "1.3.6.1.2.1.25.2.3.1"
_INTERFACES = "1.3.6.1.2.1.2.2.1"
_INTERFACES_X = "1.3.6.1.2.1.31.1.1.1"
_DISKS = "1.3.6.1.4.1.2021.13.15.1.1"

SCALARS = (
    SYS_UPTIME,
    _HR_UPTIME,
    _HR_PROCESSES,
    _HR_MEMORY,
    _ENGINE_BOOTS,
    _ENGINE_TIME,
    _SWAP_TOTAL,
    _SWAP_FREE,
    _MEMORY_TOTAL,
    _MEMORY_FREE,
    _MEMORY_AVAILABLE,
    _BUFFERS,
    _CACHED,
    _CPU_IDLE,
)
TABLES = (_INTERFACES, _INTERFACES_X, _DISKS, _PROCESSOR_LOAD, _LOADS, _STORAGE)
"""Tables, and single columns of some; counters first, close to the time of the poll."""

LEFT_OUT = frozenset({24, 135, 161})
"""Types of interfaces: the loop to itself; virtual LANs and bundles, which carry what those beneath them count."""
_RAM, _VIRTUAL, _FIXED = (f"1.3.6.1.2.1.25.2.1.{number}" for number in (2, 3, 4))

CORES = tuple(f"cpu_core{core}_pct" for core in range(4))
GAUGES = (
    *CORES,
    "cpu_avg_pct",
    "cpu_max_pct",
    "cpu_std_pct",
    "memory_total_kb",
    "memory_used_kb",
    "memory_free_kb",
    "memory_used_pct",
    "swap_used_kb",
    "disk_busy_pct",
    "disk_used_pct",
    "load_1min",
    "load_5min",
    "load_15min",
    "proc_count",
)
COUNTERS = (
    "disk_reads_counter",
    "disk_writes_counter",
    "disk_io_counter",
    "net_bytes_in_counter",
    "net_bytes_out_counter",
    "net_packets_in_counter",
    "net_packets_out_counter",
    "net_errors_in_counter",
    "net_errors_out_counter",
    "net_drops_in_counter",
    "net_drops_out_counter",
)

# Counters of an interface by column: those of ifXTable, 64 bits wide, and where it lacks the first of them, of ifTable.
_OF_INTERFACES = {
    "net_bytes_in_counter": (("6",), ("10",)),
    "net_bytes_out_counter": (("10",), ("16",)),
    "net_packets_in_counter": (("7", "8", "9"), ("11", "12")),
    "net_packets_out_counter": (("11", "12", "13"), ("17", "18")),
    "net_errors_in_counter": ((), ("14",)),
    "net_errors_out_counter": ((), ("20",)),
    "net_drops_in_counter": ((), ("13",)),
    "net_drops_out_counter": ((), ("19",)),
}
_OF_DISKS = {
    "disk_reads_counter": ("5",),
    "disk_writes_counter": ("6",),
    "disk_io_counter": ("5", "6"),
}

Table = Mapping[str, Mapping[str, Value]]
"""Rows by index, their values by column."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one poll tells."""

    clock: Clock
    gauges: Mapping[str, float]
    """By the names of `GAUGES`; NaN for what the agent does not tell."""
    counts: Mapping[str, Counts]
    """By the names of `COUNTERS`; empty for what the agent does not tell."""


def reading(values: Values) -> Reading:
    """What the values of one poll tell; what is not among them is missing."""
    storage, disks = _table(values, _STORAGE), _disks(values)
    gauges = {
        **_processors(values),
        **_memory(values, storage),
        **_loads(values),
        "disk_busy_pct": _busiest(disks),
        "disk_used_pct": _filled(storage),
        "proc_count": _number(values.get(_HR_PROCESSES)),
    }
    # An agent without sysUpTime breaks the standard; the host's clock is then the best there is.
    ticks, host_ticks = _whole(values.get(SYS_UPTIME)), _whole(values.get(_HR_UPTIME))
    engine = _whole(values.get(_ENGINE_BOOTS)), _whole(values.get(_ENGINE_TIME))
    clock = Clock(host_ticks if ticks is None else ticks, host_ticks, *engine)
    counts = {**_disk_counts(disks), **_interface_counts(values)}
    return Reading(clock, {name: gauges.get(name, NAN) for name in GAUGES}, {name: counts[name] for name in COUNTERS})


def _processors(values: Values) -> dict[str, float]:
    loads = [_number(value) for _, value in sorted(_column(values, _PROCESSOR_LOAD).items())]
    if not loads:
        return {"cpu_avg_pct": 100.0 - _number(values.get(_CPU_IDLE))}
    spread = {"cpu_avg_pct": np.mean(loads), "cpu_max_pct": np.max(loads), "cpu_std_pct": np.std(loads)}
    return dict(zip(CORES, loads, strict=False)) | {name: float(value) for name, value in spread.items()}


def _memory(values: Values, storage: Table) -> dict[str, float]:
    """From UCD-SNMP-MIB, where used is what is not available; otherwise as HOST-RESOURCES-MIB tells its storage."""
    total, free = _number(values.get(_MEMORY_TOTAL)), _number(values.get(_MEMORY_FREE))
    swap = _number(values.get(_SWAP_TOTAL)) - _number(values.get(_SWAP_FREE))
    swaps = [used for used, _ in _storages(storage, _VIRTUAL, "swap")]
    if np.isnan(swap) and swaps:
        swap = sum(swaps) / 1024
    if np.isnan(total - free):
        used, total = next(iter(_storages(storage, _RAM)), (NAN, NAN))
        used, total = used / 1024, total / 1024
        free = total - used
        total = _number(values.get(_HR_MEMORY)) if np.isnan(total) else total
    else:
        available = _number(values.get(_MEMORY_AVAILABLE))
        if np.isnan(available):
            available = np.nansum([free, *(_number(values.get(name)) for name in (_BUFFERS, _CACHED))])
        used = total - (available if available <= total else free)  # caches may hold what is counted elsewhere, too
    return {
        "memory_total_kb": total,
        "memory_used_kb": float(used),
        "memory_free_kb": free,
        "memory_used_pct": float(100.0 * used / total) if total > 0 else NAN,
        "swap_used_kb": swap,
    }


def _loads(values: Values) -> dict[str, float]:
    loads = _column(values, _LOADS)
    names = {(1,): "load_1min", (2,): "load_5min", (3,): "load_15min"}
    return {name: _number(loads[index]) / 100.0 for index, name in names.items() if index in loads}


def _storages(storage: Table, kind: str, name: str = "") -> list[tuple[float, float]]:
    """Used and whole size, in bytes, of every storage of a kind, or of those whose name matches a pattern."""
    sizes = [
        (_number(row.get("6")) * _number(row.get("4")), _number(row.get("5")) * _number(row.get("4")))
        for row in storage.values()
        if row.get("2") == kind and re.search(name, _text(row.get("3")), re.IGNORECASE)
    ]
    return [(used, size) for used, size in sizes if size > 0 and used >= 0]


def _filled(storage: Table) -> float:
    """The share that is used of the file system that holds `/`, or of all together."""
    sizes = _storages(storage, _FIXED, "^/$") or _storages(storage, _FIXED)
    return 100.0 * sum(used for used, _ in sizes) / sum(size for _, size in sizes) if sizes else NAN


def _disks(values: Values) -> Table:
    """The disks themselves, by name: not their partitions, nor what is built upon them."""
    rows = {_text(row.get("2")): row for row in _table(values, _DISKS).values()}
    return {name: rows[name] for name in sorted(whole_disks(rows))}


def _busiest(disks: Table) -> float:
    shares = [_number(row["9"]) for row in disks.values() if "9" in row]
    return min(max(shares), 100.0) if shares else NAN  # it may be rounded up


def _disk_counts(disks: Table) -> dict[str, Counts]:
    return {
        column: {key: count for name, row in disks.items() for key, count in _counts((name,), row, objects, 32).items()}
        for column, objects in _OF_DISKS.items()
    }


def _interface_counts(values: Values) -> dict[str, Counts]:
    table, extension = _table(values, _INTERFACES), _table(values, _INTERFACES_X)
    found: dict[str, dict[Key, Count]] = {column: {} for column in _OF_INTERFACES}
    for index in table.keys() | extension.keys():
        narrow, wide = table.get(index, {}), extension.get(index, {})
        if narrow.get("3") in LEFT_OUT:
            continue
        name = _text(wide.get("1")) or _text(narrow.get("2"))
        key = (index, name, str(wide.get("19", "")))
        for column, (of_wide, of_narrow) in _OF_INTERFACES.items():
            if of_wide and of_wide[0] in wide:
                found[column] |= _counts(key, wide, of_wide, 64)
            else:
                found[column] |= _counts(key, narrow, of_narrow, 32)
    return {**found}


def _counts(key: Key, row: Mapping[str, Value], objects: Sequence[str], bits: int) -> dict[Key, Count]:
    found = {name: _whole(row.get(name)) for name in objects}
    return {(*key, name, str(bits)): Count(value, bits) for name, value in found.items() if value is not None}


def _table(values: Values, prefix: str) -> Table:
    rows: dict[str, dict[str, Value]] = {}
    start = prefix + "."
    for name, value in values.items():
        if name.startswith(start):
            column, _, index = name[len(start) :].partition(".")
            rows.setdefault(index, {})[column] = value
    return rows


def _column(values: Values, prefix: str) -> dict[tuple[int, ...], Value]:
    start = prefix + "."
    return {
        tuple(int(step) for step in name[len(start) :].split(".")): value
        for name, value in values.items()
        if name.startswith(start)
    }


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else NAN


def _whole(value: Value) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _text(value: Value) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
