"""Servers, routers and workstations of a small site, polled at one interval, with labelled attacks.

Each device has a role, a daily and weekly rhythm and a level of its own. Backups, batches, deployments, crowds, growing
caches, bad cables and restarts belong to an ordinary week and look alarming; attacks are episodes of minutes to hours
that ask for the same things. Both are added to what a device is asked for, never to what is read on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tocsin.records import DAY, GENERATED, Batch, Times
from tocsin.synthetic.hosts_episodes import Happening, Lasting, add, attacks, jobs
from tocsin.synthetic.hosts_readings import CORES, Demand, Devices, Grid, readings
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.rhythm import HOUR, wandering, weekend

_OFFICE = (2, 2, 2, 2, 2, 4, 10, 30, 65, 85, 90, 85, 70, 80, 90, 85, 75, 55, 30, 18, 12, 8, 5, 3)
_DAYTIME = (22, 14, 9, 7, 8, 12, 22, 38, 55, 65, 70, 74, 76, 74, 72, 72, 76, 82, 88, 92, 88, 75, 55, 35)
_NIGHTLY = (50, 60, 65, 55, 40, 25, 20, 30, 55, 70, 75, 75, 65, 70, 80, 80, 75, 65, 50, 40, 40, 42, 45, 48)


@dataclass(frozen=True, slots=True)
class _Role:
    """What a device of this role is asked for when it is busiest. Rates are per second."""

    name: str
    hours: tuple[int, ...]
    weekend: float
    """Activity on Saturdays and Sundays, of that of workdays."""
    cores: float
    """Share of each core."""
    memory_gib: int
    memory: tuple[float, float]
    """Share that is always used, and what comes on top."""
    disk: float
    """Operations that the disk can do."""
    reads: float
    writes: float
    link_mbit: float
    arriving: tuple[float, float]
    leaving: tuple[float, float]
    """Packets and their bytes."""
    processes: float
    names: float
    threads: float
    files: float
    starts: float
    connections: float
    suspicious: float = 0.02


_ROLES = (
    _Role("web", _DAYTIME, 0.7, 0.45, 16, (0.42, 0.14), 3_000, 60, 220, 1_000, (900, 180), (1_100, 950),
          170, 70, 5, 12, 0.8, 420),
    _Role("database", _NIGHTLY, 0.5, 0.4, 64, (0.68, 0.06), 8_000, 1_500, 900, 1_000, (700, 240), (750, 680),
          140, 60, 9, 60, 0.3, 130),
    _Role("router", _DAYTIME, 0.6, 0.2, 4, (0.35, 0.05), 200, 1, 4, 2_000, (9_000, 620), (9_000, 620),
          80, 45, 2, 6, 0.05, 30),
    _Role("workstation", _OFFICE, 0.08, 0.3, 16, (0.34, 0.26), 1_500, 60, 70, 1_000, (160, 900), (90, 220),
          250, 130, 7, 25, 0.5, 60, 0.06),
    _Role("files", _OFFICE, 0.2, 0.2, 32, (0.5, 0.12), 1_200, 260, 160, 1_000, (700, 700), (1_100, 1_050),
          130, 60, 4, 30, 0.2, 90),
    _Role("build", _OFFICE, 0.2, 0.4, 32, (0.3, 0.15), 4_000, 250, 420, 1_000, (220, 800), (130, 350),
          180, 80, 4, 18, 2.0, 40, 0.05),
)  # fmt: skip
DEVICES = len(_ROLES)
"""Unless a plan says otherwise."""


def hosts(plan: Plan, happenings: Sequence[Happening] | None = None, like: Plan | None = None) -> Batch:
    """One row per device and poll, in time order.

    The devices are a web server, a database, a router, a workstation, a file server, a build server, and so on from the
    first; 6 unless the plan says otherwise. What they do of themselves is the same whatever the rate of attacks, and so
    are all the readings of normal rows but those that remember: counters go on from what an attack made them count, and
    load averages take some minutes to forget it.

    Parameters
    ----------
    happenings
        The attacks, in place of those that the plan asks for.
    like
        Another plan, whose devices and habits these are. Without it they are the plan's own, and a plan of another
        length has other ones.

    Raises
    ------
    LimitExceeded
        If there would be more than 5 million rows.
    """
    count = plan.entities or DEVICES
    steps = plan.steps
    plan.check(steps * count)
    lasting = Lasting()
    if like is not None:
        like.check(like.steps * count)
        _world(replace(like, entities=count), lasting)
        lasting = lasting.again()
    rng, usual, devices = _world(replace(plan, entities=count), lasting)
    demand, rng_attacks = deepcopy(usual), plan.random(1)
    attacked = list(attacks(rng_attacks, plan, devices.boots) if happenings is None else happenings)
    add(rng_attacks, demand, attacked, devices.operations_per_s)
    columns = readings(rng, demand, usual, devices, plan.interval_s)
    names = [name_of(device) for device in range(count)]
    return Batch(
        {
            "timestamp": np.repeat(plan.times, count).astype("datetime64[us]"),
            "device_id": np.tile(np.array(names, dtype=object), steps),
            **{name: column.reshape(-1) for name, column in columns.items()},
            "label": _labels(attacked, steps, count),
            GENERATED: np.ones(steps * count, dtype=bool),
        }
    )


def name_of(device: int) -> str:
    """What a device is called, by its number."""
    return f"{_ROLES[device % len(_ROLES)].name}-{device // len(_ROLES) + 1:02d}"


def _world(plan: Plan, lasting: Lasting) -> tuple[np.random.Generator, Demand, Devices]:
    """Devices and what they are asked for without attacks; the random numbers go on with what is read on them."""
    roles = [_ROLES[device % len(_ROLES)] for device in range(plan.entities or DEVICES)]
    rng, rng_jobs = plan.random(0), plan.random(2)
    usual, disks = _ordinary(rng, plan, roles, lasting)
    work = list(jobs(rng_jobs, plan, [role.name for role in roles], plan.steps, lasting))
    add(rng_jobs, usual, work, disks)
    return rng, usual, _devices(rng, roles, disks, _boots(work, plan.steps, len(roles)), lasting)


def _ordinary(rng: np.random.Generator, plan: Plan, roles: list[_Role], lasting: Lasting) -> tuple[Demand, Grid]:
    """What the daily work asks for, and what each disk can do in operations a second."""
    times = plan.times
    shape = len(times), len(roles)

    def own(spread: float, *parts: int) -> Grid:
        """How far each device, or each of its parts, lies from its role."""
        return lasting(lambda: np.exp(spread * rng.standard_normal((len(roles), *parts))))

    def slow(hours: float) -> Grid:
        """What is forgotten after some hours."""
        return wandering(rng, shape, np.exp(-plan.interval_s / 3_600 / hours))

    activity = _activity(times, roles) * np.exp(0.25 * slow(hours=2.0))

    def of(name: str, spread: float = 0.25) -> Grid:
        """A number of the role, and the device's own level of it."""
        return np.array([getattr(role, name) for role in roles], np.float64) * own(spread)

    def grid(level: Grid, idle: float, noise: float) -> Grid:
        """A level that falls to a share of it when the device is idle."""
        return level * (idle + (1 - idle) * activity) * np.exp(noise * rng.standard_normal(shape))

    disks = of("disk", 0.1)
    always, on_top = np.array([role.memory for role in roles]).T
    always = always * own(0.08)
    memory = always + on_top * np.minimum(activity, 1.2) + 0.015 * slow(hours=6.0)
    rates: dict[str, Grid] = {}
    for way, kind in (("in", "arriving"), ("out", "leaving")):
        packets, size = np.array([getattr(role, kind) for role in roles]).T
        level = packets * own(0.25)
        rates[f"packets_{way}"] = grid(level, 0.08, 0.15)
        rates[f"bytes_{way}"] = rates[f"packets_{way}"] * (size * own(0.1)) * np.exp(0.08 * rng.standard_normal(shape))
    each = own(0.15, CORES)
    cores = grid(of("cores"), 0.15, 0.2)[..., None] * each * np.exp(0.1 * rng.standard_normal((*shape, CORES)))
    crew = of("processes", 0.1) * (1 + 0.02 * slow(hours=3.0))
    return Demand(
        cores=cores,
        memory=memory,
        reads=grid(of("reads"), 0.2, 0.4),
        writes=grid(of("writes"), 0.3, 0.3),
        **rates,
        losses=3e-6 * np.exp(rng.standard_normal(shape)),
        processes=crew * (0.92 + 0.08 * activity),
        alike=0.06 * crew,
        starts=grid(of("starts"), 0.3, 0.3),
        connections=grid(of("connections"), 0.15, 0.15),
        suspicious=np.broadcast_to(of("suspicious"), shape).copy(),
    ), disks


def _activity(times: Times, roles: list[_Role]) -> Grid:
    """Between 0 and 1: the hour of the day, from one to the next, and the day of the week."""
    hour = times % DAY / HOUR
    rhythm = np.array([np.interp(hour, np.arange(25), (*role.hours, role.hours[0])) for role in roles]).T / 100
    resting = np.array([role.weekend for role in roles])
    return np.asarray(rhythm * np.where(weekend(times)[:, None], resting, 1.0))


def _boots(work: list[Happening], steps: int, count: int) -> NDArray[np.bool_]:
    boots = np.zeros((steps, count), dtype=bool)
    for job in work:
        last = job.first + job.rows
        if job.episode.reboots and last < steps:
            boots[last, job.device] = True
    return boots


def _devices(
    rng: np.random.Generator, roles: list[_Role], disks: Grid, boots: NDArray[np.bool_], lasting: Lasting
) -> Devices:
    def of(name: str, spread: float) -> Grid:
        return lasting(
            lambda: np.array([getattr(role, name) for role in roles]) * np.exp(spread * rng.standard_normal(len(roles)))
        )

    # Firmware and kernel keep some of what is built in.
    kept_kb = lasting(lambda: rng.integers(30_000, 90_000, len(roles)) * 4)
    return Devices(
        memory_kb=np.array([role.memory_gib for role in roles]) * 1_048_576 - kept_kb,
        operations_per_s=disks,
        link_bytes_per_s=np.array([role.link_mbit for role in roles]) * 125_000,
        threads=1 + of("threads", 0.1),
        files=of("files", 0.1),
        names=of("names", 0.1),
        disk_used=lasting(lambda: rng.uniform(25, 80, len(roles))),
        uptime_s=lasting(lambda: np.round(rng.uniform(1, 60, len(roles)) * 86_400, 2)),
        boots=boots,
    )


def _labels(attacked: list[Happening], steps: int, count: int) -> NDArray[np.object_]:
    labels = np.full((steps, count), "normal", dtype=object)
    for attack in attacked:
        labels[attack.first : attack.first + attack.rows, attack.device] = attack.episode.kind
    return labels.reshape(-1)
