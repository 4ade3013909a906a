"""One kind of attack at a time inside normal traffic, and the truth about it: what a running service is tried on.

The normal rows are those of the preset's generator, so that a model of its world meets nothing new in them. An attack
is made by the same causes as there; ransomware is told here, since no history of `hosts` has it.

Source: MITRE ATT&CK, T1486 (data encrypted for impact): files are read, encrypted and written back, by a new process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import ConfigError, DataError, Problem, did_you_mean
from tocsin.records import DAY, SECOND, Batch, Column, Times
from tocsin.synthetic import flows, hosts, services
from tocsin.synthetic.hosts_episodes import ATTACKS as EPISODES
from tocsin.synthetic.hosts_episodes import Episode, Happening
from tocsin.synthetic.plan import Plan

_RANSOMWARE = Episode(
    "ransomware", 60, cores=2.2, memory=0.03, reads=0.5, writes=0.5, starts=1.5, processes=6, suspicious=0.5
)
_ON_HOSTS = {"ransomware": _RANSOMWARE} | {
    name: next(episode for episode in EPISODES if episode.kind == kind)
    for name, kind in {"exfiltration": "exfiltration", "flood": "ddos"}.items()
}
_ON_SERVICES = {
    "latency-spike": "latency_spike",
    "error-storm": "high_error_rate",
    "traffic-drop": "traffic_drop",
}
ATTACKS: Mapping[str, tuple[str, ...]] = {
    "flows": ("scan", "flood", "exfiltration", "beaconing", "brute-force"),
    "services": tuple(_ON_SERVICES),
    "hosts": tuple(_ON_HOSTS),
}
"""Attacks that fit a preset."""
_MOST_ROWS = 200
"""Of an attack of middling strength."""
_LASTING_S = 1_800.0
"""How long an anomaly of a service goes on, at least one row."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One attack: what is to be found."""

    start: int
    end: int
    """UTC microseconds of its first and last row."""
    entity: str
    name: str


@dataclass(frozen=True, slots=True)
class Simulated:
    """Rows in time order, and the attacks among them, in time order, too."""

    batch: Batch
    incidents: tuple[Incident, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be simulated.

    Parameters
    ----------
    preset, attack
        What telemetry, and which attack.
    plan
        The world, its span and its seed; its rate of anomalies is not used. Devices of `hosts` are those of a history
        that ends at `since`.
    since
        UTC microseconds from which rows are given and attacks begin; what the plan holds before is left out.
    attacks
        How many, one in each of so many equal parts of the span.
    strength
        1 is middling.
    seed
        Of times, actors and sizes.
    """

    preset: str
    attack: str
    plan: Plan
    since: int
    attacks: int = 1
    strength: float = 1.0
    seed: int = 0

    def begins(self) -> Times:
        """When the attacks begin, (attacks,), in the first half of their parts: most of them have room to end there."""
        edges = np.linspace(self.since, self.plan.end, self.attacks + 1)
        drawn = np.random.default_rng([self.seed, 0]).uniform(0.05, 0.5, self.attacks)
        return np.asarray((edges[:-1] + drawn * np.diff(edges)).astype(np.int64))


def simulate(scene: Scene) -> Simulated:
    """The rows from `since` on, with the attacks in them.

    Raises
    ------
    ConfigError
        If the attack does not fit the preset.
    DataError
        If the span has no row to attack.
    LimitExceeded
        If there would be more than 5 million rows.
    """
    fit = ATTACKS.get(scene.preset, ())
    if scene.attack not in fit:
        elsewhere = [preset for preset, names in ATTACKS.items() if scene.attack in names]
        wanted = f"one of: {', '.join(fit)}" if fit else f"one of the presets {', '.join(ATTACKS)}"
        hint = f"{scene.attack} fits {' and '.join(elsewhere)}" if elsewhere else did_you_mean(scene.attack, fit)
        got = f'"{scene.attack}", which preset {scene.preset or "(none)"} has no traffic for'
        raise ConfigError([Problem("--attack", got, wanted, hint)])
    scene.plan.check(scene.attacks * scene.strength * _MOST_ROWS)
    found = _WAYS[scene.preset](scene)
    if not found.incidents:
        raise DataError("simulation", "a span too short for an attack", "a longer one", "give a longer --duration")
    return found


def _flows(scene: Scene) -> Simulated:
    calm = flows.flows(replace(scene.plan, anomaly_rate=0.0))
    drawn = replace(scene.plan, seed=scene.seed)
    episodes = flows.episodes(drawn, scene.attack.replace("-", "_"), scene.strength, scene.begins())
    rows = Batch.concatenate([_from(calm, scene.since), *episodes])
    ordered = rows.take(np.argsort(rows["timestamp"], kind="stable"))
    return Simulated(ordered, tuple(_incident(part, "src_ip", scene.attack) for part in episodes if part.rows))


def _services(scene: Scene) -> Simulated:
    rows = _from(services.services(replace(scene.plan, anomaly_rate=0.0)), scene.since)
    times, names = rows["timestamp"].astype(np.int64), rows["service"]
    rng = np.random.default_rng([scene.seed, 1])
    incidents, found = [], rows
    lasting = max(_LASTING_S, scene.plan.interval_s) * SECOND
    for begin in scene.begins().tolist() if rows.rows else ():
        victim = rng.choice(np.unique(names.astype(str)))
        places = np.flatnonzero((times >= begin) & (times < begin + lasting) & (names == victim))
        if len(places):
            drawn = replace(scene.plan, seed=int(rng.integers(2**31)))
            part = services.disturbed(drawn, rows.take(places), _ON_SERVICES[scene.attack], scene.strength)
            found = found.replace({name: _put(found[name], places, part[name]) for name in part})
            incidents.append(_incident(part, "service", scene.attack))
    return Simulated(found, tuple(incidents))


def _hosts(scene: Scene) -> Simulated:
    """On the devices of the days before: a world of another length would have others."""
    plan, like = _continued(scene.plan, scene.since)
    rng = np.random.default_rng([scene.seed, 1])
    count, step = plan.entities or hosts.DEVICES, plan.interval_s * SECOND
    episode = _ON_HOSTS[scene.attack]
    rows = max(1, round(episode.minutes * 60 / plan.interval_s))
    firsts = [int(np.ceil((begin - plan.begin) / step)) for begin in scene.begins().tolist()]
    happenings = [
        Happening(episode, int(rng.integers(count)), first, min(rows, plan.steps - first), scene.strength)
        for first in firsts
        if first < plan.steps
    ]
    found = hosts.hosts(plan, happenings, like)
    incidents = tuple(
        Incident(
            int(plan.times[item.first]), int(plan.times[item.first + item.rows - 1]), hosts.name_of(item.device),
            scene.attack,
        )
        for item in happenings
    )  # fmt: skip
    return Simulated(found, incidents)


def _continued(plan: Plan, since: int) -> tuple[Plan, Plan | None]:
    """From a moment on, with random numbers of its own, and the plan of what was before."""
    before = since - plan.begin
    if before <= 0:
        return plan, None
    seed = int(np.random.default_rng([plan.seed, since // SECOND]).integers(2**31))
    start = plan.start + timedelta(microseconds=before)
    return replace(plan, seed=seed, start=start, days=(plan.end - since) / DAY), replace(plan, days=before / DAY)


_WAYS: Mapping[str, Callable[[Scene], Simulated]] = {"flows": _flows, "services": _services, "hosts": _hosts}


def _from(batch: Batch, since: int) -> Batch:
    return batch.take(batch["timestamp"].astype(np.int64) >= since)


def _put(column: Column, places: NDArray[np.intp], values: Column) -> Column:
    changed = column.copy()
    changed[places] = values
    return changed


def _incident(rows: Batch, entity: str, name: str) -> Incident:
    times = rows["timestamp"].astype(np.int64)
    return Incident(int(times.min()), int(times.max()), str(rows[entity][0]), name)
