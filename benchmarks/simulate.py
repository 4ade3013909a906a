"""Simulated attacks on a running service: what rings, how soon, and how often for nothing.

Everything goes through the command line: a model learns three generated weeks, `tocsin run` serves it in a process of
its own, and `tocsin simulate` sends days with one kind of attack each, of seeds and strengths that no training saw.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
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

LEARNT_DAYS = 21
VARIANTS = {
    "flows": ("flows", ""),
    "flows, upload": (
        "flows",
        """\
features:
  derive:
    - {type: log_scale, columns: [bytes_in, bytes_out, packets_in, packets_out, duration_s]}
    - {type: ratio, numerator: bytes_in, denominator: packets_in}
    - {type: ratio, numerator: bytes_out, denominator: packets_out}
    - {type: category, columns: [protocol]}
    - {type: calendar, parts: [hour, is_weekend]}
    - {type: rolling, statistics: [count], windows: [1m, 10m, 1h]}
    - {type: rolling, columns: [log_bytes_in, log_bytes_out], statistics: [mean, max], windows: [10m]}
    - {type: rolling, columns: [dst_port], statistics: [std], windows: [10m]}
    - {type: zscore, columns: [log_bytes_out], window: 1d, min_count: 30, clip: 50}
""",
    ),
    "services": ("services", ""),
    "hosts": ("hosts", ""),
}
"""Presets, and what is put in their place: `upload` measures what a flow sent against its host's own day."""
DAYS = 2
"""Of each attack."""
PER_DAY = 6
TURNS = ((101, 0.7), (102, 1.5))
"""Seed and strength; the config of `upload` was found with seed 1."""
WINDOW_S = {"flows": 600, "services": 300, "hosts": 300}
"""The window of the features, or the interval between two rows."""
SOURCES = {
    "flows": "{type: jsonl, path: live.jsonl}",
    "services": "{type: sqlite_wal, path: events.db, message: event}",
    "hosts": "{type: jsonl, path: live.jsonl}",
}
MEMORY_S = {"flows": 3_600, "services": 3_600, "hosts": 1_800}
"""The longest window of the features, or the rows that a detector looks back at: so long an attack is not over yet."""
RECALL, DELAY_WINDOWS = 0.9, 2.0
START = datetime(2026, 1, 5, tzinfo=UTC)
PATIENCE_S = 120.0
CONFIG = """\
version: 1
name: simulated
preset: {preset}
source:
  type: synthetic
  kind: {preset}
  days: {days}
  attacks_from_day: {calm}
  seed: 42
  start: {start}
labels: {{column: label}}
stream: {{source: {source}}}
sinks: [{{type: jsonl, path: alerts.jsonl}}]
"""


@dataclass
class Trial:
    """A site that was trained, and what was sent to it so far."""

    folder: Path
    preset: str
    more: str = ""
    """Further lines of the config."""
    promise: dict[str, Any] = field(default_factory=dict)
    sent: int = 0
    days: int = 0
    served: subprocess.Popen[bytes] | None = None

    def train(self) -> None:
        """Learn, judge, promote."""
        text = CONFIG.format(
            preset=self.preset,
            days=LEARNT_DAYS,
            calm=0.8 * LEARNT_DAYS,
            start=START.isoformat(),
            source=SOURCES[self.preset],
        )
        (self.folder / "tocsin.yaml").write_text(text + self.more, "utf-8")
        told = self.tocsin("train", "--promote", "--no-plots", "--json")
        self.promise = json.loads(told.stdout)["report"]["promise"]

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
        begin = START + timedelta(days=LEARNT_DAYS + self.days)
        told = self.tocsin(
            "simulate", "--attack", attack, "--seed", str(seed), "--strength", str(strength),
            "--duration", f"{days}d", "--rate", f"{PER_DAY}/day", "--start", begin.strftime("%Y-%m-%dT%H:%M:%S"),
            "--after", f"{LEARNT_DAYS + self.days}d", "--truth", "truth.json", "--json",
        )  # fmt: skip
        self.sent += json.loads(told.stdout)["rows"]
        self.days += days

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
        return judge(alerts, windows, self.preset, self.days)


_TOCSIN = (sys.executable, "-c", "from tocsin.cli import main; main()")


def judge(alerts: Sequence[Alert], windows: Sequence[Window], preset: str, days: int) -> dict[str, Any]:
    """Hold alerts against the truth: an attack is found by an alert of its entity that begins before it is over.

    As long as the features remember an attack, an alert of its entity speaks of it; every other one is false.
    """
    found: dict[str, list[float | None]] = {}
    false = set(range(len(alerts)))
    for incident in windows:
        mine = [
            (number, alert.start)
            for number, alert in enumerate(alerts)
            if incident.entity in (alert.entity, *alert.entities)
            and alert.start is not None
            and alert.end is not None
            and alert.start <= incident.end + MEMORY_S[preset] * SECOND
            and alert.end >= incident.start
        ]
        false -= {number for number, _ in mine}
        delays = [max(start - incident.start, 0) / SECOND for _, start in mine if start <= incident.end]
        found.setdefault(incident.name, []).append(min(delays, default=None))
    return {
        "attacks": {name: _figures(delays, WINDOW_S[preset]) for name, delays in found.items()},
        "false_alarms_per_day": sum(alerts[number].quiet == "" for number in false) / days,
        "days": days,
    }


def _figures(delays: Sequence[float | None], window_s: float) -> dict[str, Any]:
    rang = [delay for delay in delays if delay is not None]
    return {
        "incidents": len(delays),
        "recall": len(rang) / len(delays),
        "delay_p95_windows": float(np.percentile(rang, 95)) / window_s if rang else None,
    }


def run(
    variant: str, folder: Path, attacks: Sequence[str], turns: Sequence[tuple[int, float]], days: int = DAYS
) -> dict[str, Any]:
    """Train, serve, and send so many days of each attack with every pair of seed and strength."""
    trial = Trial(folder, *VARIANTS[variant])
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
    return {**trial.judged(), "budget": trial.promise["asked"], "low": low, "high": high, "rows": trial.sent}


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    log.configure("error")
    results: dict[str, Any] = {}
    for name, (preset, _) in VARIANTS.items():
        with TemporaryDirectory() as folder:
            results[name] = run(name, Path(folder), ATTACKS[preset], TURNS)
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
