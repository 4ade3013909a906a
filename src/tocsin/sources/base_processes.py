"""The processes of this machine as the columns of one row: how many, how busy, how new, how odd."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from tocsin.records import Vector

HIGH_CPU_PCT = 80.0
"""Of one core."""
HIGH_MEMORY_PCT = 10.0
SHORT_LIVED_S = 60.0
MANY_CONNECTIONS = 50
TOP = 5
MAX_PROCESSES = 10_000
"""Beyond it only their number is told: a row must stay cheap."""
OPEN_TO_ALL = ("/tmp/", "/var/tmp/", "/dev/shm/")  # noqa: S108  # looked for, never written to
"""Where anybody may leave a program."""
PROCESS_COLUMNS = (
    "proc_count",
    "proc_new",
    "proc_terminated",
    "proc_suspicious",
    "proc_cpu_top5_sum",
    "proc_mem_top5_sum",
    "proc_threads_total",
    "proc_connections_total",
    "proc_files_open_total",
    "proc_entropy",
    "proc_unique_names",
    "proc_name_diversity",
    "proc_short_lived",
    "proc_high_cpu",
    "proc_high_mem",
)

_READ = ["pid", "name", "create_time", "cpu_times", "memory_percent", "num_threads"]
_DELETED = " (deleted)"
"""What Linux adds to the name of an executable that is gone, or never was a file."""
_IN_USE = re.compile(r"^(?:TCP|UDP)6?: inuse (\d+)", re.MULTILINE)

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")
Identity = tuple[int, float]
"""A process: its number and when it was started."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All processes at one moment, in one order; NaN for what the system does not tell this user."""

    at: float
    """Seconds since 1970."""
    elapsed: float
    """Seconds that only grow."""
    count: int
    identities: dict[Identity, int]
    """Where each process stands in the other fields; empty if there are more than `MAX_PROCESSES`."""
    names: tuple[str, ...]
    cpu_s: Vector
    """CPU time since each began."""
    memory_pct: Vector
    threads: Vector


def snapshot(at: float, elapsed: float) -> Snapshot:
    """Look at every process; those that end meanwhile are not in it."""
    count = len(psutil.pids())
    infos = [] if count > MAX_PROCESSES else [process.info for process in psutil.process_iter(_READ)]
    return Snapshot(
        at,
        elapsed,
        len(infos) or count,
        {(info["pid"], info["create_time"] or 0.0): place for place, info in enumerate(infos)},
        tuple(info["name"] or "" for info in infos),
        _numbers(info["cpu_times"] and info["cpu_times"].user + info["cpu_times"].system for info in infos),
        _numbers(info["memory_percent"] for info in infos),
        _numbers(info["num_threads"] for info in infos),
    )


def process_columns(before: Snapshot, now: Snapshot) -> dict[str, float]:
    """The columns of a row, told from the processes at the row before and at this one.

    What asks for every process is NaN if one of them cannot be asked, or if there are too many.
    """
    columns = dict.fromkeys(PROCESS_COLUMNS, nan)
    columns |= {
        "proc_count": float(now.count),
        "proc_connections_total": known(_connections, nan),
        "proc_files_open_total": known(_open_files, nan),
    }
    if not before.identities or not now.identities:
        return columns
    busy = cpu_pct(before, now)
    gone = before.identities.keys() - now.identities.keys()
    names = Counter(now.names)
    return columns | {
        "proc_new": float(len(now.identities.keys() - before.identities.keys())),
        "proc_terminated": float(len(gone)),
        "proc_suspicious": float(sum(_suspicious(now, busy))),
        "proc_cpu_top5_sum": _top(busy),
        "proc_mem_top5_sum": _top(now.memory_pct),
        "proc_threads_total": float(now.threads.sum()),
        "proc_entropy": entropy_bits(names.values()),
        "proc_unique_names": float(len(names)),
        "proc_name_diversity": len(names) / len(now.names),
        "proc_short_lived": float(sum(before.at - started < SHORT_LIVED_S for _, started in gone)),
        "proc_high_cpu": _above(busy, HIGH_CPU_PCT),
        "proc_high_mem": _above(now.memory_pct, HIGH_MEMORY_PCT),
    }


def cpu_pct(before: Snapshot, now: Snapshot) -> Vector:
    """Share of one core that each process took since the snapshot before, (n,); a new one began with 0."""
    earlier = np.zeros(len(now.cpu_s))
    for identity, place in now.identities.items():
        if identity in before.identities:
            earlier[place] = before.cpu_s[before.identities[identity]]
    # A number that was given to another process within the same tick would have gone back.
    return np.maximum(100.0 * (now.cpu_s - earlier) / max(now.elapsed - before.elapsed, 1e-3), 0.0)


def entropy_bits(counts: Iterable[int]) -> float:
    """Shannon entropy of a distribution given by its counts, in bits.

    >>> entropy_bits([4, 4])
    1.0
    """
    share = np.array(list(counts), dtype=np.float64)
    share /= share.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def is_odd(pid: int) -> bool:
    """Whether its executable was deleted, never was a file, or lies where anybody may leave one."""
    try:
        path = str(Path(f"/proc/{pid}/exe").readlink()) if psutil.LINUX else psutil.Process(pid).exe()
    except (OSError, psutil.Error):
        return False
    return path.endswith(_DELETED) or path.startswith(OPEN_TO_ALL)


def talks_to_many(pid: int) -> bool:
    """Whether it has more than 50 TCP and UDP sockets, as far as this user may know."""
    with suppress(psutil.Error):
        return len(psutil.Process(pid).net_connections("inet")) > MANY_CONNECTIONS
    return False


def known(reading: Callable[[], T], otherwise: Otherwise) -> T | Otherwise:
    """A reading, or something else where this system or this user cannot have it."""
    try:
        return reading()
    except (OSError, RuntimeError, psutil.Error):  # RuntimeError: psutil finds /proc of another shape
        return otherwise


def _suspicious(now: Snapshot, busy: Vector) -> Iterator[bool]:
    """For each process whether its executable is odd, or it is one of the busiest and talks to many."""
    busiest = np.argsort(np.nan_to_num(busy, nan=-1.0))[-TOP:]
    hot = {place for place in busiest.tolist() if busy[place] > HIGH_CPU_PCT}
    for (pid, _), place in now.identities.items():
        yield is_odd(pid) or (place in hot and talks_to_many(pid))


def _connections() -> float:
    """TCP and UDP sockets in use; the kernel's own count where it keeps one, since listing them is dear."""
    if not psutil.LINUX:
        return float(len(psutil.net_connections("inet")))
    counted = Path("/proc/net/sockstat").read_text("ascii")
    with suppress(OSError):  # a machine without IPv6
        counted += Path("/proc/net/sockstat6").read_text("ascii")
    return float(sum(map(int, _IN_USE.findall(counted))))


def _open_files() -> float:
    return float(Path("/proc/sys/fs/file-nr").read_text("ascii").split()[0])


def _numbers(values: Iterable[float | None]) -> Vector:
    return np.array([nan if value is None else value for value in values], dtype=np.float64)


def _top(values: Vector) -> float:
    # NaN sorts behind every number and makes the sum NaN.
    return float(np.sort(values)[-TOP:].sum())


def _above(values: Vector, limit: float) -> float:
    return nan if np.isnan(values).any() else float((values > limit).sum())
