"""Link metrics of the devices on a Wi-Fi site, with labelled trouble.

Signal, noise and load are the causes; rate, retries, loss and the readings of the signal follow from them, frame by
frame, with the chance that so many frames leave. Devices differ more from each other than most trouble moves one of
them, phones wander, and even a calm link is lost for minutes now and then: no row is an anomaly by its form alone.

Source: ITU-R P.1238 (path loss indoors); IEEE 802.11-2020, clause 10.3 (contention, retries); RFC 7042, section 2.1.2
(addresses for documentation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from tocsin.records import GENERATED, Batch, Column
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.rhythm import HOUR, OFFICE, RESTING, wandering, weekend

ANOMALIES = ("interference", "weak_signal", "congestion", "deauthentication", "dead_link")
METRICS = (
    "signal_strength", "signal_strength_std", "signal_strength_min", "signal_strength_max", "connection_time",
    "packet_loss", "retry_rate", "data_rate",
)  # fmt: skip

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
Cells = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Places in a table of intervals and links."""

_LINKS = 12
_PER_ACCESS_POINT = 4
_TYPES = ("laptop", "phone", "sensor", "camera")
_WANDERING_DB = np.array([1.6, 2.8, 0.8, 0.6])
"""How far the signal of each type strays from its level."""
_FRAMES = np.array([4_000.0, 1_500.0, 120.0, 6_000.0])
"""Frames of each type in five minutes of a working day."""
_REJOINS_PER_DAY = np.array([5.0, 9.0, 0.7, 0.5])

_NOISE_DBM = -95.0
_TRIES = 4
"""How often a frame is sent before it is given up."""
_LOST_AT_ALL = 0.001
"""Share of the intervals in which a calm link is lost: its access point restarts or changes the channel."""
_SHARED = ("interference", "congestion")
"""What befalls all links of an access point."""
_AFTER_JOINING = ("deauthentication", "dead_link")
"""What ends with a new association, after which the link is as it would have been."""
_HOURS = {
    "interference": (0.5, 4.0),
    "weak_signal": (1.0, 8.0),
    "congestion": (0.5, 3.0),
    "deauthentication": (0.3, 2.0),
    "dead_link": (0.25, 2.0),
}
_ATTEMPTS = 2_000
"""Episodes that are tried at most; a crowded plan has no room for more."""


@dataclass(frozen=True, slots=True)
class _Links:
    """What stays with each link; every array has shape (links,)."""

    type: NDArray[np.intp]
    wide: NDArray[np.bool_]
    """On the 5 GHz band."""
    access_point: NDArray[np.intp]
    level: Numbers
    """Usual signal, dBm."""
    clutter: Numbers
    """Usual share of the frames that is lost in bursts, whatever the signal: a microwave oven, a door."""


@dataclass(frozen=True, slots=True)
class _Air:
    """What the links of each interval are up against; every array has one shape."""

    signal: Numbers
    """dBm."""
    fading: Numbers
    """Deviation of the signal between frames, dB."""
    noise: Numbers
    """dBm, with interference."""
    load: Numbers
    """Share of the time that others send, 0 to 1."""
    frames: Whole
    away: Numbers
    """Share of the interval without association."""
    lost: NDArray[np.bool_]
    wide: NDArray[np.bool_]
    clutter: Numbers

    def at(self, cells: Cells) -> _Air:
        """The same, of some places alone."""
        return _Air(*(getattr(self, item.name)[cells] for item in fields(self)))


@dataclass(frozen=True, slots=True)
class _Site:
    plan: Plan
    times: Whole
    links: _Links
    joined: NDArray[np.bool_]
    """Whether a link associates anew within an interval, (intervals, links)."""


def wifi(plan: Plan) -> Batch:
    """One row per link and interval, in time order; 12 links unless the plan says otherwise.

    A link that lost every frame of an interval has a loss of 1 and no reading of anything else. Trouble comes in
    episodes: interference and congestion befall the links of one access point, the others a single link. The calm
    rows of a seed are the same whatever the rate.

    Raises
    ------
    LimitExceeded
        If there would be more than 5 million rows.
    """
    count = plan.entities or _LINKS
    plan.check(plan.steps * count)
    times = plan.times
    rng = plan.random(0)
    links = _links(rng, count)
    air = _calm_air(rng, plan, times, links)
    site = _Site(plan, times, links, _joined(rng, plan, links))
    metrics = _metrics(rng, air)
    metrics["connection_time"] = _ages(rng, site)
    kinds = _trouble(plan.random(1), site, air, metrics)
    metrics["connection_time"][np.isnan(metrics["signal_strength"])] = np.nan
    return _batch(site, metrics, kinds)


def _links(rng: np.random.Generator, count: int) -> _Links:
    kinds = rng.permutation(np.arange(count) % len(_TYPES))
    wide = (rng.random(count) < 0.6) & (kinds != _TYPES.index("sensor"))
    metres = np.exp(rng.uniform(np.log(4), np.log(22), count))
    return _Links(
        type=kinds,
        wide=wide,
        access_point=np.arange(count) // _PER_ACCESS_POINT,
        level=-36.0 - 28.0 * np.log10(metres) - 5.0 * wide + rng.normal(0, 4, count),
        clutter=np.exp(rng.normal(np.log(0.006), 1.6, count)),
    )


def _calm_air(rng: np.random.Generator, plan: Plan, times: Whole, links: _Links) -> _Air:
    steps, count = len(times), len(links.type)
    busy = np.array(OFFICE)[times // HOUR % 24] / max(OFFICE) * np.where(weekend(times), RESTING, 1.0)
    kept = 0.5 ** (plan.interval_s / 3_600)  # half is forgotten in an hour
    cells = links.access_point
    points = int(cells.max()) + 1
    wave = wandering(rng, (steps, points), kept)[:, cells]
    load = 0.08 + 0.4 * busy[:, None] + 0.08 * wave + 0.04 * rng.standard_normal((steps, count))
    hum = np.abs(wandering(rng, (steps, points), kept))[:, cells]
    talk = _FRAMES[links.type] * plan.interval_s / 300.0 * (0.15 + busy[:, None]) ** (links.type != 2)
    return _Air(
        signal=links.level + _WANDERING_DB[links.type] * wandering(rng, (steps, count), kept),
        fading=np.exp(rng.normal(np.log(1.0 + 0.35 * _WANDERING_DB[links.type]), 0.25, (steps, count))),
        noise=_NOISE_DBM + np.where(links.wide, 1.0, 2.5) * hum + 4.0 * busy[:, None] * ~links.wide,
        load=np.clip(load, 0.02, 0.95),
        frames=20 + rng.poisson(talk * np.exp(rng.normal(0, 0.6, (steps, count)))),
        away=np.zeros((steps, count)),
        lost=rng.random((steps, count)) < _LOST_AT_ALL,
        wide=np.broadcast_to(links.wide, (steps, count)),
        clutter=np.broadcast_to(links.clutter, (steps, count)),
    )


def _joined(rng: np.random.Generator, plan: Plan, links: _Links) -> NDArray[np.bool_]:
    often = np.minimum(_REJOINS_PER_DAY[links.type] * plan.interval_s / 86_400, 1.0)
    return rng.random((plan.steps, len(often))) < often


def _ages(rng: np.random.Generator, site: _Site) -> Numbers:
    """Seconds since each link associated, at the end of each interval, (intervals, links)."""
    steps, count = site.joined.shape
    number = np.arange(steps)[:, None]
    last = np.maximum.accumulate(np.where(site.joined, number, -1), axis=0)
    since = rng.uniform(1, site.plan.interval_s, site.joined.shape)
    before = rng.exponential(40_000, count)
    began = np.where(last < 0, before, np.take_along_axis(since, np.maximum(last, 0), axis=0))
    ages: Numbers = np.round(began + (number - np.maximum(last, 0)) * site.plan.interval_s)
    return ages


def _metrics(rng: np.random.Generator, air: _Air) -> dict[str, Numbers]:
    """What the links report, given what they are up against."""
    margin = air.signal - air.noise
    # One attempt fails from noise, and from others that begin to send in the same slot.
    fails = 0.02 + 0.4 * air.load**2 + 1 / (1 + np.exp((margin - 7.0) / 2.0))
    fails = np.clip(fails * np.exp(rng.normal(0, 0.2, fails.shape)), 0.001, 0.97)
    bursts = air.clutter * np.exp(rng.normal(0, 0.6, fails.shape))
    gone = np.clip(fails**_TRIES + bursts + air.away, 0.0, 0.99)
    missed = np.where(air.lost, air.frames, rng.binomial(air.frames, gone))
    heard = air.frames - missed
    again = rng.binomial(heard, fails)
    # The extremes of so many readings, each in whole dBm as receivers tell them.
    reach = np.sqrt(2 * np.log(np.maximum(heard, 2)))
    low = np.rint(air.signal - air.fading * reach * rng.normal(1, 0.12, fails.shape))
    high = np.rint(air.signal + air.fading * reach * rng.normal(1, 0.12, fails.shape))
    measured = air.fading * rng.normal(1, 0.05, fails.shape).clip(0.5)
    mean = air.signal + air.fading * rng.standard_normal(fails.shape) / np.sqrt(np.maximum(heard, 1))
    fastest = np.where(air.wide, 433.3, 144.4)
    rate = fastest * np.clip(margin / 42.0, 0.045, 1.0) * (1 - 0.5 * fails) * np.exp(rng.normal(0, 0.12, fails.shape))
    readings = {
        "signal_strength": np.clip(np.round(mean, 1), low, high),
        "signal_strength_std": np.round(measured, 2),
        "signal_strength_min": low,
        "signal_strength_max": high,
        "retry_rate": np.round(again / np.maximum(heard, 1), 4),
        "data_rate": np.round(np.minimum(rate, fastest), 1),
    }
    silent = heard == 0
    return {"packet_loss": np.round(missed / air.frames, 4)} | {
        name: np.where(silent, np.nan, values) for name, values in readings.items()
    }


def _trouble(rng: np.random.Generator, site: _Site, air: _Air, metrics: dict[str, Numbers]) -> NDArray[np.intp]:
    """Write the episodes into the metrics; what befell each cell, (intervals, links): 0 nothing, else a kind."""
    kinds = np.zeros(site.joined.shape, dtype=np.intp)
    for kind, cells in _episodes(rng, site, kinds):
        kinds[cells] = ANOMALIES.index(kind) + 1
        told = _metrics(rng, _troubled(rng, air.at(cells), kind))
        if kind == "deauthentication":
            told["connection_time"] = _young(rng, site.plan, len(cells[0]))
        for name, values in told.items():
            metrics[name][cells] = values
    return kinds


def _episodes(rng: np.random.Generator, site: _Site, kinds: NDArray[np.intp]) -> Iterator[tuple[str, Cells]]:
    """Kinds with the free cells that they fall on, until each has its share of the rows."""
    first = int(np.searchsorted(site.times, site.plan.attacked))
    wanted = round(site.joined[first:].size * site.plan.anomaly_rate)
    shares = np.diff(np.arange(len(ANOMALIES) + 1) * wanted // len(ANOMALIES))
    left = dict(zip(rng.permutation(ANOMALIES).tolist(), shares.tolist(), strict=True))
    for attempt in range(_ATTEMPTS):
        kind = ANOMALIES[attempt % len(ANOMALIES)]
        if left[kind]:
            steps, links = _cells(rng, site, kind, first)
            free = np.flatnonzero(kinds[steps, links] == 0)[-left[kind] :]
            left[kind] -= len(free)
            yield kind, (steps[free], links[free])


def _cells(rng: np.random.Generator, site: _Site, kind: str, first: int) -> Cells:
    """Where one episode lies, no earlier than the interval `first`; its last cells are its end."""
    length = max(1, round(rng.uniform(*_HOURS[kind]) * 3_600 / site.plan.interval_s))
    points = site.links.access_point
    victim = int(rng.integers(len(points)))
    may_end = site.joined[first:, victim] if kind in _AFTER_JOINING else np.ones(len(site.times) - first, dtype=bool)
    ends = first + np.flatnonzero(may_end)
    end = int(rng.choice(ends)) if len(ends) else first
    steps = np.arange(max(first, end - length), end)
    hit = np.flatnonzero(points == points[victim]) if kind in _SHARED else np.array([victim])
    return np.repeat(steps, len(hit)), np.tile(hit, len(steps))


def _troubled(rng: np.random.Generator, air: _Air, kind: str) -> _Air:
    """The air of an episode: each has a strength, and every row of it its own."""
    strength = rng.uniform(0.8, 1.5)
    rows = strength * rng.normal(1, 0.15, len(air.signal)).clip(0.5)
    if kind == "interference":
        return replace(air, noise=air.noise + 20 * rows, fading=air.fading * (1 + 0.25 * rows))
    if kind == "weak_signal":
        return replace(air, signal=np.maximum(air.signal - 20 * rows, -98.0))
    if kind == "congestion":
        load = np.clip(air.load + 0.6 * rows, 0, 0.98)
        return replace(air, load=load, frames=(air.frames * (1 + 0.4 * rows)).astype(np.int64))
    if kind == "deauthentication":
        return replace(air, away=np.clip(0.08 * rows * rng.exponential(1, len(rows)), 0.002, 0.9))
    return replace(air, lost=np.ones(len(rows), dtype=bool))


def _young(rng: np.random.Generator, plan: Plan, rows: int) -> Numbers:
    """Seconds since the last of the associations that a storm forces in one interval."""
    return np.maximum(1.0, np.round(rng.exponential(plan.interval_s / rng.uniform(2, 12), rows)))


def _batch(site: _Site, metrics: dict[str, Numbers], kinds: NDArray[np.intp]) -> Batch:
    steps, count = kinds.shape
    words: dict[str, Column] = {
        "device_id": np.array([f"02:00:5e:00:{i // 256:02x}:{i % 256:02x}" for i in range(count)], dtype=object),
        "device_type": np.array(_TYPES, dtype=object)[site.links.type],
        "connection_type": np.array(["2.4 GHz", "5 GHz"], dtype=object)[site.links.wide.astype(int)],
    }
    return Batch(
        {
            "timestamp": np.repeat(site.times, count).astype("datetime64[us]"),
            **{name: np.tile(column, steps) for name, column in words.items()},
            **{name: metrics[name].ravel() for name in METRICS},
            "label": np.array(["normal", *ANOMALIES], dtype=object)[kinds.ravel()],
            GENERATED: np.ones(kinds.size, dtype=bool),
        }
    )
