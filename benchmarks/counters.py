"""Counter truth: what becomes of wraps, resets, gaps and clock errors, with the device's uptime and without.

Simulated interface counters, every poll of which knows what truly happened since the one before:

- Links: 32-bit counters on 1 to 20 Mbit/s, for which RFC 2863 means them, and 64-bit counters on 100 Mbit/s to
  10 Gbit/s; and, told apart, 32-bit counters on 100 Mbit/s, for which they are not meant. Counters begin anywhere in
  their range, those of 64 bits below 2^50 as after years of traffic, and one in twenty a few hours before its top,
  which no real one reaches: else nothing would be known of their wraps.
- Traffic: a lognormal autoregressive level (deviation 1, correlation 20 minutes) around a usual load of 1 to 30 % of
  the link, cut off at its speed. A third of the links is silent save for spells of 10 minutes every 2 hours.
- Polls every 30, 60, 120 and 300 s, jitter 2 %, stamped when asked. Answers take some 20 ms (lognormal); one in 200
  comes at a second attempt, 1 to 5 s late; one in 300 never comes.
- Devices crash once a day, at any moment, and are back after a median of 90 s (lognormal, deviation 0.6, at least
  15 s) with counters at 0; the agent, whose uptime is told in hundredths of a second, starts up to 20 s later. They
  have been up for an hour to 400 days before, and after 497 days an uptime starts over.
- Collectors are away once a day for a median of 20 minutes (deviation 1), and their clocks are set once a day, forwards
  or back, by 1 s to 6 h (each power of ten as often).

Crashes, outages and clock errors are many times as frequent as in life, so that there are enough of them; traffic and
wraps are as they are.

The right class of a poll is, by this order: time that did not move on (5); a gap of more than `max_gap` (3), or of
nine times that, after which a value is declared to be a first one (4); a reset (2); a rate that would be false by more
than a tenth for the time that is told (5: a clock that was set, a late answer); a wrap (1); else a rate (0).

A clock that was set back by more than nine times `max_gap` makes polls too late; the kernel marks them, which counts
as 5 for the first, and sets up to eight of them aside before it believes the clock. To the feature each of them is a
first value: events among the others are counted apart.

A fake spike is a told rate of more than four times the largest true mean rate between two polls in the last hour, this
one included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tocsin import log
from tocsin.features.base import compile_program
from tocsin.features.rate import Rate
from tocsin.kernel.entities import STEPPED_BACK, TOO_LATE
from tocsin.kernel.rates import QUALITIES
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch, Mask, Vector
from tocsin.schema import Field, Schema

SEED = 20_261_120
LINKS, POLLS = 200, 12_000
"""Of each kind and interval."""
INTERVALS = (30, 60, 120, 300)
KINDS: dict[str, tuple[Literal[32, 64], float, float]] = {
    "32 bits, 1 to 20 Mbit/s": (32, 1e6, 2e7),
    "64 bits, 0.1 to 10 Gbit/s": (64, 1e8, 1e10),
}
BEYOND: dict[str, tuple[Literal[32, 64], float, float]] = {"32 bits, 100 Mbit/s": (32, 1e8, 1e8)}
RUNS: dict[str, dict[str, Any]] = {
    "with uptime": {"uptime": "uptime"},
    "without uptime": {},
    "with uptime, from_zero": {"uptime": "uptime", "reset": "from_zero"},
    "without uptime, from_zero": {"reset": "from_zero"},
}
DAY_S, HOUR_S = 86_400.0, 3_600.0
MAX_GAP_S = 600.0
FORGOTTEN_S = 9 * MAX_GAP_S
TENTH = 0.1
SPIKE = 4.0
START = 1_767_225_600 * SECOND
UPTIME_ENDS_S = 2**32 / 100
RATE, WRAP, RESET, GAP, FIRST, CLOCK = range(len(QUALITIES))
EVENTS = {WRAP: "wrap", RESET: "reset", GAP: "gap", FIRST: "gap, forgotten", CLOCK: "clock"}

Codes = NDArray[np.int64]


@dataclass(slots=True)
class Device:
    """What was behind each poll."""

    answers: Mask
    boots: Codes
    """How many there were."""
    counts_since: Vector
    up_since: Vector
    """When the agent was started."""


@dataclass(slots=True)
class Total:
    polls: int = 0
    classes: Codes = field(default_factory=lambda: np.zeros((len(QUALITIES), len(QUALITIES)), dtype=np.int64))
    """Right class, class that was told."""
    spikes: Codes = field(default_factory=lambda: np.zeros(len(QUALITIES), dtype=np.int64))
    """Fake ones, by right class."""
    set_aside: Codes = field(default_factory=lambda: np.zeros(len(QUALITIES), dtype=np.int64))
    """By right class."""


@dataclass(frozen=True, slots=True)
class Link:
    """One interface, as it truly was and as its collector tells it: what was answered, in order."""

    times: NDArray[np.int64]
    counter: Vector
    uptime: Vector
    right: Codes
    largest: Vector
    """The largest true mean rate of the last hour, bytes per second."""


def main(out: Path) -> None:
    log.configure("error")
    figures = {"as_meant": truth(KINDS, LINKS), "beyond_rfc_2863": truth(BEYOND, LINKS // 10)}
    for name, runs in figures.items():
        show(name, runs)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def truth(kinds: Mapping[str, tuple[Literal[32, 64], float, float]], links: int) -> dict[str, dict[str, Any]]:
    totals = {name: Total() for name in RUNS}
    for number, (bits, low, high) in enumerate(kinds.values()):
        for interval in INTERVALS:
            rng = np.random.default_rng([SEED, number, interval])
            speeds = np.exp(rng.uniform(np.log(low), np.log(high), links)) / 8
            load = np.minimum(traffic(rng, interval, links), 1.0) * speeds
            seen = [polled(rng, bits, interval, load[:, link]) for link in range(links)]
            for name, parameters in RUNS.items():
                feature = Rate(columns=("octets",), max_gap=MAX_GAP_S, quality=True, **parameters)
                judge(seen, measured(feature, bits, seen), totals[name])
    return {name: summary(total) for name, total in totals.items()}


def traffic(rng: np.random.Generator, interval: float, links: int) -> NDArray[np.float64]:
    """Share of the link's speed that is asked for between two polls, (polls, links)."""
    keep = np.exp(-interval / 1_200)
    noise = rng.normal(size=(POLLS, links))
    for poll in range(1, POLLS):
        noise[poll] = keep * noise[poll - 1] + np.sqrt(1 - keep**2) * noise[poll]
    share = np.exp(rng.uniform(np.log(0.01), np.log(0.3), links) + noise)
    silent = rng.random(links) < 1 / 3
    wakes, sleeps = 1 - np.exp(-interval / 7_200), 1 - np.exp(-interval / 600)
    awake = np.zeros(links, dtype=bool)
    chance = rng.random((POLLS, links))
    for poll in range(POLLS):
        awake = np.where(awake, chance[poll] >= sleeps, chance[poll] < wakes)
        share[poll] *= ~silent | awake
    return share


def polled(rng: np.random.Generator, bits: Literal[32, 64], interval: float, load: Vector) -> Link:
    asked = np.arange(POLLS) * interval + rng.normal(0, 0.02 * interval, POLLS).clip(-0.2 * interval, 0.2 * interval)
    read = asked + np.exp(rng.normal(np.log(0.02), 1, POLLS))
    second = rng.random(POLLS) < 1 / 200
    read[second] += rng.uniform(1, 5, second.sum())
    device = crashed(rng, read)
    answered = device.answers & reached(rng, asked)
    since = np.maximum(np.concatenate([[0.0], read[:-1]]), device.counts_since)
    total = counted(rng, bits, load * np.maximum(read - since, 0.0), device.boots)
    told = asked + clock_error(rng, asked)
    right = classes(told[answered], read[answered], device.boots[answered], wraps(bits, total)[answered])
    hour = int(HOUR_S / interval) + 1
    largest = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.zeros(hour - 1), load]), hour).max(axis=1)
    counter = (total & np.uint64(2**bits - 1)).astype(np.float64)
    uptime = np.floor((read - device.up_since) % UPTIME_ENDS_S * 100) / 100
    times = START + np.rint(told * SECOND).astype(np.int64)
    return Link(times[answered], counter[answered], uptime[answered], right, largest[answered])


def reached(rng: np.random.Generator, asked: Vector) -> Mask:
    """Whether the collector was there and the answer was not lost."""
    there = rng.random(POLLS) >= 1 / 300
    for away in moments(rng, asked[-1]):
        there &= (asked < away) | (asked >= away + np.exp(rng.normal(np.log(1_200), 1)))
    return there


def crashed(rng: np.random.Generator, read: Vector) -> Device:
    device = Device(
        answers=np.ones(POLLS, dtype=bool),
        boots=np.zeros(POLLS, dtype=np.int64),
        counts_since=np.zeros(POLLS),
        up_since=np.full(POLLS, -np.exp(rng.uniform(np.log(HOUR_S), np.log(400 * DAY_S)))),
    )
    for boot, crash in enumerate(moments(rng, read[-1]), start=1):
        up = crash + max(15.0, np.exp(rng.normal(np.log(90), 0.6)))
        agent = up + rng.uniform(0, 20)
        device.answers &= (read < crash) | (read >= agent)
        device.boots[read >= up] = boot
        device.counts_since[read >= up] = up
        device.up_since[read >= agent] = agent
    return device


def moments(rng: np.random.Generator, end: float) -> Vector:
    """Once a day, at any time."""
    return np.sort(rng.uniform(0, end, rng.poisson(end / DAY_S)))


def counted(rng: np.random.Generator, bits: int, moved: Vector, boots: Codes) -> NDArray[np.uint64]:
    """What the counter has come to, modulo 2^64, from what has moved since the poll before or since it began anew."""
    total = np.cumsum(moved.astype(np.uint64), dtype=np.uint64)
    last_boot = np.maximum.accumulate(np.where(np.diff(boots, prepend=0) > 0, np.arange(POLLS), 0))
    begin = np.uint64(rng.uniform(0, 2.0**32 if bits == 32 else 2.0**50))
    if bits == 64 and rng.random() < 1 / 20:
        begin = np.uint64(2**64 - 1) - np.uint64(moved.sum() / POLLS * rng.uniform(50, 500))
    return np.where(last_boot > 0, total - total[last_boot - 1], total + begin)


def wraps(bits: int, total: NDArray[np.uint64]) -> Codes:
    """How often the counter has wrapped so far."""
    if bits == 32:
        return (total >> np.uint64(32)).astype(np.int64)
    fell = (total[1:] < total[:-1]) & (total[:-1] > np.uint64(2**63))
    return np.concatenate([[0], np.cumsum(fell)])


def clock_error(rng: np.random.Generator, asked: Vector) -> Vector:
    error = np.zeros(POLLS)
    for moment in moments(rng, asked[-1]):
        error[asked >= moment] += rng.choice([-1, 1]) * 10.0 ** rng.uniform(0, np.log10(6 * HOUR_S))
    return error


def classes(told: Vector, read: Vector, restarts: Codes, turns: Codes) -> Codes:
    """The right class of each answered poll; the first is a first value."""
    recorded, true = np.diff(told), np.diff(read)
    chosen = np.select(
        [
            recorded <= 0,
            recorded >= FORGOTTEN_S,
            recorded > MAX_GAP_S,
            np.diff(restarts) > 0,
            np.abs(true - recorded) > TENTH * recorded,
            np.diff(turns) > 0,
        ],
        [CLOCK, FIRST, GAP, RESET, CLOCK, WRAP],
        RATE,
    )
    return np.concatenate([[FIRST], chosen])


def measured(feature: Rate, bits: Literal[32, 64], links: list[Link]) -> list[FeatureMatrix]:
    schema = Schema(
        fields={
            "time": Field(dtype="time"),
            "link": Field(dtype="category"),
            "octets": Field(dtype="integer", kind="counter", bits=bits, minimum=0),
            "uptime": Field(unit="s", minimum=0),
        },
        time="time",
        entity="link",
    )
    kernel = Kernel(compile_program(schema, (), [feature], Batch({})))
    state = kernel.start()
    return [
        kernel.run(
            Batch(
                {
                    "time": link.times,
                    "link": np.full(len(link.times), str(number), dtype=object),
                    "octets": link.counter,
                    "uptime": link.uptime,
                }
            ),
            state,
        )
        for number, link in enumerate(links)
    ]


def judge(links: list[Link], matrices: list[FeatureMatrix], total: Total) -> None:
    for link, matrix in zip(links, matrices, strict=True):
        rates, codes = matrix.values[:, 0], matrix.values[:, 1].astype(np.int64)
        too_late = (matrix.marks & (TOO_LATE | STEPPED_BACK)) != 0
        first = too_late & (link.right == CLOCK)
        codes[first] = CLOCK
        # The first value of a link is no event.
        taken = (~too_late | first) & (np.arange(len(codes)) > 0)
        np.add.at(total.classes, (link.right[taken], codes[taken]), 1)
        np.add.at(total.spikes, link.right[rates > SPIKE * link.largest], 1)
        np.add.at(total.set_aside, link.right[too_late & ~first], 1)
        total.polls += len(rates)


def summary(total: Total) -> dict[str, Any]:
    right, polls = total.classes.diagonal(), total.classes.sum(axis=1)
    chosen = list(EVENTS)
    rightly, events, aside = (int(counts[chosen].sum()) for counts in (right, polls, total.set_aside))
    return {
        "polls": total.polls,
        "events": events,
        "right": rightly / events,
        "set_aside": aside,
        "right_with_set_aside_as_wrong": rightly / (events + aside),
        "fake_spikes": named(total.spikes),
        "ordinary_polls_with_a_rate": float(right[RATE] / (polls[RATE] + total.set_aside[RATE])),
        "kinds": {
            kind: {
                "events": int(polls[code]),
                "right": float(right[code] / polls[code]),
                "taken_for": named(total.classes[code]),
            }
            for code, kind in EVENTS.items()
        },
    }


def named(counts: Codes) -> dict[str, int]:
    return {name: int(count) for name, count in zip(QUALITIES, counts, strict=True) if count}


def show(name: str, runs: Mapping[str, dict[str, Any]]) -> None:
    for run, row in runs.items():
        ordinary, spikes = row["ordinary_polls_with_a_rate"], row["fake_spikes"]
        print(f"{name}, {run}: {row['polls']:,} polls, {ordinary:.3%} of the ordinary ones with a rate")
        print(f"    {sum(spikes.values())} fake spikes {spikes or ''}")
        if "from_zero" in run:
            continue
        print(f"    {row['events']:,} events, {row['right']:.3%} in the right class")
        print(f"    {row['set_aside']:,} set aside by the kernel: {row['right_with_set_aside_as_wrong']:.3%} with them")
        for kind, counts in row["kinds"].items():
            print(f"    {kind:<16}{counts['events']:>8,}{counts['right']:>10.3%}  told: {counts['taken_for']}")
