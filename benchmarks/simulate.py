"""Simulated attacks on a running service: what rings, how soon, and how often for nothing.

Everything goes through the command line: a model learns generated weeks, `tocsin run` serves it in a process of its
own, and `tocsin simulate` sends days with one kind of attack each, of seeds and strengths that no training saw.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from tocsin import log
from tocsin.annotations import Window, read_windows
from tocsin.errors import NotStored
from tocsin.journal.stored import Stored
from tocsin.records import SECOND, Alert
from tocsin.synthetic.attacks import ATTACKS
from tocsin.system import Project

LEARNT_DAYS = {"flows": 42, "services": 84, "hosts": 21}
"""The rarer alerts may be, the longer it takes to know how often a level rings."""
VARIANTS = ("flows", "flows/behaviour", "services", "hosts", "hosts/labelled")
"""Presets; `hosts/labelled` learns from a history with attacks, of other seeds and strengths than those that follow."""
SCHOOL_DAYS, SCHOOL_PER_DAY, SCHOOL_STRENGTHS = 3, 12, (0.6, 0.8, 1.1, 1.3, 1.8)
"""Of each attack in turn, for three times as long as others learn."""
DAYS = 2
"""Of each attack."""
PER_DAY = 6
TURNS = ((304, 0.5), (305, 1.0), (306, 2.0))
"""Seed and strength; what the presets are was chosen with seeds below 10."""
WINDOW_S = {"flows": 600, "services": 300, "hosts": 300}
"""The window of the features, or the interval between two rows."""
SLOW_S = {"beaconing": 7_200}
"""The window of the one feature that finds an attack."""
APART_DAYS = {"flows": 0.0, "services": 0.0, "hosts": 0.25}
"""Between two sendings: the counters of `hosts` begin anew with each."""
SOURCES = {
    "flows": "{type: jsonl, path: live.jsonl}",
    "services": "{type: sqlite_wal, path: events.db, message: event}",
    "hosts": "{type: jsonl, path: live.jsonl}",
}
MEMORY_S = {"flows": 3_600, "services": 3_600, "hosts": 1_800}
"""The longest window of the features, or the rows that a detector looks back at: so long an attack is not over yet."""
RECALL, DELAY_WINDOWS = 0.9, 2.0
LUCK = 0.001
"""How likely more false alarms than `explained` are of a model that keeps its promise."""
START = datetime(2026, 1, 5, tzinfo=UTC)
PATIENCE_S = 600.0
CONFIG = """\
version: 1
name: simulated
preset: {preset}
source:
  type: synthetic
  kind: {kind}
  days: {days}
  attacks_from_day: {calm}
  seed: 42
  start: {start}
labels: {{column: label}}
"""
SCHOOL = """\
version: 1
name: simulated
preset: {preset}
source: {{type: jsonl, path: school.jsonl}}
labels: {{windows: school.json}}
"""
LIVE = """\
stream: {{source: {source}}}
sinks: [{{type: jsonl, path: alerts.jsonl}}]
"""


@dataclass(frozen=True, slots=True)
class Sending:
    """Some days with one kind of attack."""

    attack: str
    seed: int
    strength: float
    days: int
    begin: datetime
    after: float
    """Days of the world before."""
    per_day: int = PER_DAY


@dataclass
class Trial:
    """A site that was trained, and what was sent to it so far."""

    folder: Path
    preset: str
    promise: dict[str, Any] = field(default_factory=dict)
    sent: int = 0
    sendings: list[Sending] = field(default_factory=list)
    served: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.kind = self.preset.partition("/")[0]
        self.learnt = LEARNT_DAYS[self.kind]

    @property
    def days(self) -> int:
        """That were sent."""
        return sum(sending.days for sending in self.sendings)

    def train(self) -> None:
        """Learn, judge, promote."""
        taught = self.preset.endswith("/labelled")
        text = (SCHOOL if taught else CONFIG) + LIVE
        told = text.format(
            preset=self.preset,
            kind=self.kind,
            days=self.learnt,
            calm=0.8 * self.learnt,
            start=START.isoformat(),
            source=SOURCES[self.kind],
        )
        (self.folder / "tocsin.yaml").write_text(told, "utf-8")
        if taught:
            self.teach()
        report = self.tocsin("train", "--promote", "--no-plots", "--json").stdout
        self.promise = json.loads(report)["report"]["promise"]

    def teach(self) -> None:
        """Write a history with all attacks in turn, which ends where others' does."""
        lessons = 3 * self.learnt // SCHOOL_DAYS
        for lesson in range(lessons):
            attack = ATTACKS[self.kind][lesson % len(ATTACKS[self.kind])]
            strength = SCHOOL_STRENGTHS[lesson % len(SCHOOL_STRENGTHS)]
            begin = START + timedelta(days=self.learnt - SCHOOL_DAYS * (lessons - lesson))
            self.send(Sending(attack, 11 + lesson, strength, SCHOOL_DAYS, begin, self.learnt, SCHOOL_PER_DAY), "school")

    def tocsin(self, *words: str) -> CompletedProcess[str]:
        """The command line in a process of its own."""
        return subprocess.run(
            [*_TOCSIN, *words], cwd=self.folder, capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )

    def start(self) -> None:
        """Begin to serve."""
        with (self.folder / "service.log").open("ab") as said:
            self.served = subprocess.Popen([*_TOCSIN, "run"], cwd=self.folder, stdout=said, stderr=said)

    def stop(self) -> None:
        """End the service as systemd would."""
        if self.served is not None:
            self.served.terminate()
            if self.served.wait(PATIENCE_S):
                raise AssertionError((self.folder / "service.log").read_text("utf-8")[-2_000:])
        self.served = None

    def simulate(self, attack: str, seed: int, strength: float, days: int) -> None:
        """Send some days behind those that were sent, with the attack in them."""
        ago = self.learnt + self.days + len(self.sendings) * APART_DAYS[self.kind]
        # Devices are those of a history of the length that was learnt from; the other worlds go on.
        after = self.learnt if self.kind == "hosts" else ago
        self.sendings.append(Sending(attack, seed, strength, days, START + timedelta(days=ago), after))
        self.sent += self.send(self.sendings[-1])

    def send(self, what: Sending, to: str = "") -> int:
        """How many rows of an attack and what is around it went to the stream, or to a file of this name."""
        told = self.tocsin(
            "simulate", "--attack", what.attack, "--seed", str(what.seed), "--strength", str(what.strength),
            "--duration", f"{what.days}d", "--rate", f"{what.per_day}/day", "--after", f"{what.after}d",
            "--start", what.begin.strftime("%Y-%m-%dT%H:%M:%S"), "--truth", f"{to or 'truth'}.json", "--json",
            *(("--to", f"{to}.jsonl") if to else ()),
        )  # fmt: skip
        return int(json.loads(told.stdout)["rows"])

    def settle(self) -> None:
        """Wait until all that was sent is committed."""
        until = time.monotonic() + PATIENCE_S
        while self._received() < self.sent:
            if time.monotonic() > until or (self.served and self.served.poll() is not None):
                raise AssertionError((self.folder / "service.log").read_text("utf-8")[-2_000:])
            time.sleep(0.05)

    def _received(self) -> int:
        try:
            return int(Stored.beside(self.folder / ".tocsin" / "stream").progress().tally.get("received", 0))
        except NotStored:  # it is only beginning
            return 0

    def judged(self) -> dict[str, Any]:
        """By attack, what was found and when; and what rang for nothing."""
        windows = read_windows(self.folder / "truth.json", None)
        name = Project.load(self.folder / "tocsin.yaml").privacy.name
        kept = Stored.beside(self.folder / ".tocsin" / "stream").alerts(limit=100_000)
        alerts = [item.alert.named(name) for item in kept if item.alert.quiet in ("", "incident")]
        return judge(alerts, windows, self.kind, self.sendings)


_TOCSIN = (sys.executable, "-c", "from tocsin.cli import main; main()")


def judge(alerts: Sequence[Alert], windows: Sequence[Window], kind: str, sendings: Sequence[Sending]) -> dict[str, Any]:
    """Hold alerts against the truth: an attack is found by an alert of its entity that begins before it is over.

    As long as the features remember an attack, an alert of its entity speaks of it; every other one is false.
    """
    begins = [round(sending.begin.timestamp() * SECOND) for sending in sendings]
    found: dict[str, list[tuple[float, float | None]]] = {}
    false = set(range(len(alerts)))
    for incident in windows:
        mine = [
            (number, alert.start)
            for number, alert in enumerate(alerts)
            if incident.entity in (alert.entity, *alert.entities)
            and alert.start is not None
            and alert.end is not None
            and alert.start <= incident.end + MEMORY_S[kind] * SECOND
            and alert.end >= incident.start
        ]
        false -= {number for number, _ in mine}
        delays = [max(start - incident.start, 0) / SECOND for _, start in mine if start <= incident.end]
        strength = sendings[bisect_right(begins, incident.start) - 1].strength
        found.setdefault(incident.name, []).append((strength, min(delays, default=None)))
    days = sum(sending.days for sending in sendings)
    return {
        "attacks": {name: _figures(rang, SLOW_S.get(name, WINDOW_S[kind])) for name, rang in found.items()},
        "false_alarms_per_day": sum(alerts[number].quiet == "" for number in false) / days,
        "days": days,
    }


def _figures(found: Sequence[tuple[float, float | None]], window_s: float) -> dict[str, Any]:
    """Of the strength of each incident and how soon it rang, if it did."""
    rang = [delay for _, delay in found if delay is not None]
    by_strength = {
        f"{strength:g}": [
            sum(s == strength and delay is not None for s, delay in found),
            sum(s == strength for s, _ in found),
        ]
        for strength in sorted({strength for strength, _ in found})
    }
    return {
        "incidents": len(found),
        "recall": len(rang) / len(found),
        "found_of": by_strength,
        "delay_p95_windows": float(np.percentile(rang, 95)) / window_s if rang else None,
        "delay_p95_minutes": float(np.percentile(rang, 95)) / 60 if rang else None,
    }


def run(
    variant: str, folder: Path, attacks: Sequence[str], turns: Sequence[tuple[int, float]], days: int = DAYS
) -> dict[str, Any]:
    """Train, serve, and send so many days of each attack with every pair of seed and strength."""
    trial = Trial(folder, variant)
    trial.train()
    trial.start()
    try:
        for attack in attacks:
            for seed, strength in turns:
                trial.simulate(attack, seed, strength, days)
        trial.settle()
    finally:
        trial.stop()
    low, high = trial.promise["interval"]
    return {
        **trial.judged(),
        "budget": trial.promise["asked"],
        "low": low,
        "high": high,
        "explained": explained(trial.promise, trial.days),
        "rows": trial.sent,
    }


def explained(promise: dict[str, Any], days: float) -> float:
    """The most false alarms a day, over so many days, that a promise which is kept explains.

    By the law of the promise's own interval: clumps of alerts are Poisson with a gamma rate, as well known as a span
    as long as the calibration tells it. That makes their number negative binomial, which counts spans of any length.
    More come with a probability of `LUCK` at most.
    """
    together, length = promise["together"], promise["days"]
    shape, share = promise["served"] * length / together + 1.0, days / (days + length)
    count = np.arange(10_000.0)
    logs = np.concatenate([[0.0], np.cumsum(np.log((shape + count) / (count + 1.0) * share))])
    reached = np.cumsum(np.exp(logs - logs.max()))
    return float(np.searchsorted(reached, (1.0 - LUCK) * reached[-1]) * together / days)


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    log.configure("error")
    results: dict[str, Any] = {}
    for name in VARIANTS:
        with TemporaryDirectory() as folder:
            results[name] = run(name, Path(folder), ATTACKS[name.partition("/")[0]], TURNS)
        print(name, orjson.dumps(results[name]).decode())
    results["bars"] = bars(results)
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def bars(results: dict[str, Any]) -> dict[str, bool]:
    """What was asked, and whether it holds."""
    held = {}
    for preset, found in results.items():
        for attack, figures in found["attacks"].items():
            delay = figures["delay_p95_windows"]
            held[f"{preset}, {attack}: recall >= {RECALL}"] = figures["recall"] >= RECALL
            held[f"{preset}, {attack}: p95 <= {DELAY_WINDOWS:g} windows"] = delay is not None and delay <= DELAY_WINDOWS
        held[f"{preset}: false alarms within the budget"] = found["false_alarms_per_day"] <= found["high"]
    return held
