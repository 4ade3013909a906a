"""What happens to devices now and then: jobs of an ordinary week, and attacks, in one table.

Both ask for the same things in like amounts: a backup sends as an exfiltration does, a batch computes as a miner
does, a cache grows as a leak does, a test run starts processes as a fork bomb does. What tells them apart is who does
it, when, and what goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tocsin.records import DAY, SECOND
from tocsin.synthetic.hosts_readings import CORES, Demand
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.rhythm import HOUR, weekend

T = TypeVar("T")

_TRIES = 50
"""Random places looked at before an attack is made shorter to fit."""


@dataclass(frozen=True, slots=True)
class Episode:
    """What a device is asked for beyond its daily work, at middling strength. Rates are per second."""

    kind: str
    minutes: float
    """Median length; half to twice as long is usual."""
    on: tuple[str, ...] = ()
    """Roles whose work it is; none: any."""
    per_week: float = 0.0
    hours: tuple[int, int] = (0, 24)
    """UTC, in which it begins."""
    workdays: bool = False
    cores: float = 0.0
    """Kept busy, of four; more let others wait."""
    memory: float = 0.0
    """Share of all memory, at the peak."""
    grows: bool = False
    """From nothing to the peak at the end, not there from the beginning."""
    reads: float = 0.0
    writes: float = 0.0
    """Share of what the disk can do."""
    arriving: tuple[float, float] = (0.0, 0.0)
    leaving: tuple[float, float] = (0.0, 0.0)
    """Packets and their bytes."""
    losses: float = 0.0
    """Share of packets; what is lost slows the rest down."""
    starts: float = 0.0
    processes: float = 0.0
    connections: float = 0.0
    suspicious: float = 0.0
    reboots: bool = False
    """Ends with a restart."""


JOBS = (
    Episode("backup", 40, ("database", "web", "files"), 7, (1, 4), cores=0.5, reads=0.4, leaving=(2_500, 1_400),
            arriving=(1_300, 66), connections=4),
    Episode("backup", 25, ("workstation",), 2, (10, 15), workdays=True, cores=0.4, reads=0.5, leaving=(900, 1_400),
            arriving=(450, 66), connections=2),
    Episode("batch", 60, ("build", "database"), 10, (6, 22), cores=3.2, memory=0.1, writes=0.2, starts=0.5),
    Episode("report", 30, ("workstation", "files"), 5, (8, 16), workdays=True, cores=2.2, memory=0.15, reads=0.2),
    Episode("test_run", 25, ("build", "workstation"), 8, (8, 18), workdays=True, cores=2.5, memory=0.1, writes=0.3,
            starts=8.0, processes=120, suspicious=0.1),
    Episode("deployment", 15, ("web", "database", "build", "files"), 3, (8, 17), workdays=True, cores=1.5, memory=0.1,
            writes=0.4, arriving=(800, 1_400), leaving=(400, 66), starts=4.0, processes=25, suspicious=0.4),
    Episode("update", 30, (), 1, (1, 5), cores=1.0, reads=0.2, writes=0.4, arriving=(600, 1_400), leaving=(300, 66),
            starts=3.0, suspicious=0.1, reboots=True),
    Episode("crowd", 45, ("web", "router"), 4, (7, 22), cores=1.2, memory=0.05, arriving=(1_500, 180),
            leaving=(1_600, 800), connections=500),
    Episode("cache", 360, ("database", "web", "workstation", "files"), 3, (5, 20), memory=0.25, grows=True),
    Episode("sync", 40, ("workstation", "files", "build"), 5, (7, 19), cores=0.3, reads=0.2, leaving=(1_200, 1_300),
            arriving=(600, 70), connections=5),
    Episode("rebuild", 120, ("database", "files", "build"), 1, (0, 24), cores=0.4, reads=0.8, writes=0.6),
    Episode("bad_cable", 90, (), 1, (0, 24), losses=0.004),
)  # fmt: skip
ATTACKS = (
    Episode("cryptominer", 120, cores=2.6, memory=0.04, arriving=(2, 200), leaving=(2, 200), connections=2,
            suspicious=0.3),
    Episode("memory_leak", 120, cores=0.1, memory=0.35, grows=True),
    Episode("disk_storm", 60, cores=0.5, reads=0.5, writes=0.7, suspicious=0.05),
    Episode("exfiltration", 60, cores=0.3, reads=0.25, leaving=(1_500, 1_400), arriving=(760, 66), connections=3,
            suspicious=0.2),
    Episode("fork_bomb", 30, cores=3.0, memory=0.12, starts=8.0, processes=160, suspicious=0.1),
    Episode("ddos", 50, cores=0.9, arriving=(2_500, 120), leaving=(900, 160), connections=500),
    Episode("packet_loss", 75, losses=0.008),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Happening:
    """An episode on one device, from one poll to another."""

    episode: Episode
    device: int
    first: int
    rows: int
    strength: float


class Lasting:
    """Random numbers that make a device what it is, in the order they were drawn; another world may share them.

    Parameters
    ----------
    drawn
        Those of another world; none: they are drawn as they are asked for.
    """

    def __init__(self, drawn: Sequence[Any] = ()) -> None:
        self._drawn: list[Any] = []
        self._again = iter(drawn)

    def __call__(self, draw: Callable[[], T]) -> T:
        """The next number, or array of them."""
        found = next(self._again, None)
        self._drawn.append(draw() if found is None else found)
        kept: T = self._drawn[-1]
        return kept

    def again(self) -> Lasting:
        """The same numbers, from the first."""
        return Lasting(self._drawn)


def jobs(rng: np.random.Generator, plan: Plan, roles: list[str], steps: int, lasting: Lasting) -> Iterator[Happening]:
    """The ordinary work of all devices. A device keeps the same hours from week to week."""
    for device, role in enumerate(roles):
        for job in JOBS:
            mine = not job.on or role in job.on
            habit = lasting(partial(rng.uniform, *job.hours))
            for _ in range(rng.poisson(job.per_week * plan.days / 7) if mine else 0):
                day = int(rng.integers(0, int(np.ceil(plan.days))))
                hour = np.clip(habit + rng.normal(0, 1.5), job.hours[0], job.hours[1])
                begin = (plan.begin // DAY + day) * DAY + round(float(hour) * HOUR)
                first = int((begin - plan.begin) // (plan.interval_s * SECOND))
                rows, strength = _rows(rng, job, plan), _strength(rng)
                if 0 <= first < steps and not (job.workdays and weekend(begin)):
                    yield Happening(job, device, first, min(rows, steps - first), strength)


def attacks(rng: np.random.Generator, plan: Plan, boots: NDArray[np.bool_]) -> Iterator[Happening]:
    """As many rounds of the seven kinds as the rate takes, at least one; never two at once on a device.

    None goes on over a restart, which would end it.
    """
    steps, count = boots.shape
    earliest = max(0, int(np.ceil((plan.attacked - plan.begin) / (plan.interval_s * SECOND))))
    wanted = plan.anomaly_rate * count * (steps - earliest)
    if wanted < 1:
        return
    taken = boots.copy()
    kinds: list[Episode] = []
    lengths: list[int] = []
    while sum(lengths) < wanted:
        round_ = [ATTACKS[kind] for kind in rng.permutation(len(ATTACKS)).tolist()]
        kinds += round_
        lengths += [_rows(rng, kind, plan) for kind in round_]
    shrink = wanted / sum(lengths)
    for kind, length in zip(kinds, lengths, strict=True):
        rows = max(1, round(length * shrink))
        device, first, rows = _place(rng, taken, earliest, min(rows, steps - earliest))
        strength = _strength(rng)
        if rows:
            taken[first : first + rows, device] = True
            yield Happening(kind, device, first, rows, strength)


def _place(rng: np.random.Generator, taken: NDArray[np.bool_], earliest: int, rows: int) -> tuple[int, int, int]:
    """A device and a first row with so many free rows behind it, fewer where there are none; 0 where all is taken."""
    steps, count = taken.shape
    while rows:
        for _ in range(_TRIES):
            device, first = int(rng.integers(count)), int(rng.integers(earliest, steps - rows + 1))
            if not taken[first : first + rows, device].any():
                return device, first, rows
        rows //= 2
    return 0, 0, 0


def _rows(rng: np.random.Generator, episode: Episode, plan: Plan) -> int:
    minutes = episode.minutes * np.exp(rng.uniform(np.log(0.5), np.log(2.0)))
    return max(1, round(float(minutes) * 60 / plan.interval_s))


def _strength(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(0.5), np.log(2.0))))


def add(rng: np.random.Generator, demand: Demand, happenings: Iterable[Happening], disks: NDArray[np.float64]) -> None:
    """Ask the devices for what the episodes want, in place; `disks` is what each can do in operations a second."""
    for happening in happenings:
        _add(rng, demand, happening, float(disks[happening.device]))


def _add(rng: np.random.Generator, demand: Demand, happening: Happening, disk: float) -> None:
    what, device, rows, strength = happening.episode, happening.device, happening.rows, happening.strength
    span = slice(happening.first, happening.first + rows)
    passed = (np.arange(rows) + 0.5) / rows
    shape = np.clip(6 * np.minimum(passed, 1 - passed), 0.4, 1.0) * np.exp(0.15 * rng.standard_normal(rows))
    swell = strength * shape
    each = np.exp(0.3 * rng.standard_normal(8))  # no two episodes of a kind are alike in proportion

    width = np.clip(what.cores * strength * each[0], 0.0, 1.5 * CORES)
    share = np.clip(width - np.arange(CORES), 0.0, 1.0) + max(0.0, width - CORES) / CORES
    demand.cores[span, device] += np.minimum(shape, 1.2)[:, None] * rng.permutation(share)
    demand.memory[span, device] += what.memory * each[1] * strength * (passed if what.grows else shape)
    demand.reads[span, device] += what.reads * disk * each[2] * swell
    demand.writes[span, device] += what.writes * disk * each[3] * swell
    for way, (packets, size) in (("in", what.arriving), ("out", what.leaving)):
        rate = packets * each[4] * swell
        getattr(demand, f"packets_{way}")[span, device] += rate
        getattr(demand, f"bytes_{way}")[span, device] += rate * size * np.exp(0.1 * rng.standard_normal(rows))
    demand.starts[span, device] += what.starts * each[5] * swell
    staying = what.processes * each[6] * swell
    staying[-1] = 0.0  # whoever looks at the end finds them gone
    demand.processes[span, device] += staying
    demand.alike[span, device] += 0.7 * staying
    demand.connections[span, device] += what.connections * each[7] * swell
    demand.suspicious[span, device] += what.suspicious
    if what.losses:
        lost = what.losses * swell
        demand.losses[span, device] += lost
        for name in ("packets_in", "packets_out", "bytes_in", "bytes_out"):
            getattr(demand, name)[span, device] /= 1 + 20 * lost
