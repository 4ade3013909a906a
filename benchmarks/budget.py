"""Does the alert budget hold? Exchangeable rows, autocorrelated scores, and the normal spans of real series.

(a) Independent rows and a budget in rows: the realised count against its exact beta-binomial distribution.
(b) AR(1) scores and a budget a day: realised alerts a day on as long a span as was calibrated on.
(c) NAB outside its labelled windows, with a robust z-score of the value: reported, nothing is promised of series
    whose second half is another than the first.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.calibration import episodes, rows_band
from tocsin.records import SECOND, Times, Vector
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.conformal import Conformal

MINUTE = 60 * SECOND
COOLDOWN_S = 120.0
# The median absolute deviation of a standard normal variable.
NORMAL_MAD = 0.6745


def main(out: Path) -> None:
    observe.configure("error")
    figures: dict[str, Any] = {
        "independent": independent(seeds=1_000),
        "autocorrelated": [*everything_autocorrelated()],
    }
    folder = os.environ.get("TOCSIN_DATA")
    if folder:
        figures["nab"] = nab(Path(folder) / "nab")
    else:
        print("(c) left out: TOCSIN_DATA does not name the folder of real data")
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def independent(seeds: int, rows: int = 4_999, rate: float = 0.01) -> dict[str, Any]:
    """How often the realised count lies in the 99 % band of the distribution that is promised."""
    low, high = rows_band(round(rate * (rows + 1)) - 1, rows, coverage=0.99)
    counts = np.empty(seeds)
    for seed in range(seeds):
        scores = np.random.default_rng(seed).normal(size=2 * rows)
        threshold = Conformal().fit(Calibration(scores[:rows]), AlertBudget(per_row=rate))
        counts[seed] = threshold.flag(scores[rows:]).sum()
    inside = int(((counts >= low) & (counts <= high)).sum())
    mean_rate = counts.mean() / rows
    print(f"(a) independent rows: {inside} of {seeds} counts inside [{low}, {high}]; mean rate {mean_rate:.5f}")
    return {
        "seeds": seeds, "rows": rows, "rate": rate, "band": [low, high], "inside": inside,
        "mean_rate": mean_rate,
    }  # fmt: skip


def everything_autocorrelated() -> Iterator[dict[str, Any]]:
    print("(b) AR(1) scores, a row a minute, cool-down 2 min; alerts a day realised / budget")
    print(f"{'phi':>6} {'budget':>7} {'days':>5} {'mean':>6} {'sd':>6} {'inside':>7}  states")
    yield autocorrelated(seeds=200)
    for phi in (0.0, 0.9, 0.98, 0.995):
        for per_day, days in ((1.0, 14), (3.0, 7), (3.0, 28), (24.0, 14)):
            yield autocorrelated(seeds=50, phi=phi, per_day=per_day, days=days)


def autocorrelated(seeds: int, phi: float = 0.98, per_day: float = 3.0, days: int = 14) -> dict[str, Any]:
    """Calibrate on the first half of AR(1) series, count alerts on the second."""
    half = days * 1_440
    series = autoregressive(np.random.default_rng(0), phi, 2 * half, seeds)
    ratios, states, inside = np.empty(seeds), Counter[str](), 0
    for seed in range(seeds):
        times = np.arange(2 * half, dtype=np.int64) * MINUTE
        threshold, realised = calibrate_and_count(series[:, seed], times, half, per_day)
        low, high = threshold.promise()["interval"]
        inside += low <= realised / days <= high
        states[threshold.promise()["state"]] += 1
        ratios[seed] = realised / days / per_day
    told = ", ".join(f"{state} {count}" for state, count in states.items())
    print(
        f"{phi:6} {per_day:7g} {days:5} {ratios.mean():6.2f} {ratios.std(ddof=1):6.2f} {inside / seeds:7.2f}  {told}",
        flush=True,
    )
    return {
        "phi": phi, "per_day": per_day, "days": days, "seeds": seeds, "mean": ratios.mean(),
        "sd": ratios.std(ddof=1), "inside_interval": inside / seeds, "states": dict(states),
    }  # fmt: skip


def autoregressive(rng: np.random.Generator, phi: float, rows: int, columns: int) -> NDArray[np.float64]:
    """Stationary AR(1) series of unit variance, (rows, columns)."""
    series = rng.normal(size=(rows, columns))
    scale = np.sqrt(1.0 - phi**2)
    for row in range(1, rows):
        series[row] = phi * series[row - 1] + scale * series[row]
    return series


def calibrate_and_count(scores: Vector, times: Times, half: int, per_day: float) -> tuple[Conformal, int]:
    calibration = Calibration(scores[:half], times[:half])
    threshold = Conformal().fit(calibration, AlertBudget(per_day=per_day, cooldown_s=COOLDOWN_S))
    flagged = np.flatnonzero(threshold.flag(scores[half:])) + half
    return threshold, int(episodes(times[flagged], None, COOLDOWN_S).max(initial=-1)) + 1


def nab(folder: Path, per_day: float = 3.0) -> dict[str, Any]:
    """Alerts a day in the second half of each series' normal rows, calibrated on the first."""
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    realised, states = {}, Counter[str]()
    for name in sorted(windows):
        times, values = normal_rows(folder / "data" / f"{name}.gz", windows[name])
        half = len(values) // 2
        median = np.median(values[:half])
        scale = np.median(np.abs(values[:half] - median)) / NORMAL_MAD
        scores = np.abs(values - median) / (scale or 1.0)
        threshold, alerts = calibrate_and_count(scores, times, half, per_day)
        states[threshold.promise()["state"]] += 1
        days = (times[-1] - times[half]) / (86_400 * SECOND)
        realised[name] = {"alerts_per_day": alerts / days, **promised(threshold.promise())}
    by_state = {
        state: [series["alerts_per_day"] for series in realised.values() if series["state"] == state]
        for state in states
    }
    print(f"(c) NAB, {len(realised)} series, budget {per_day:g}/day; realised alerts a day")
    for state, rates in by_state.items():
        quartiles = np.quantile(rates, (0.25, 0.5, 0.75)).round(2).tolist()
        print(f"    {state} {len(rates)}: mean {np.mean(rates):.2f}, quartiles {quartiles}, most {max(rates):.2f}")
    return {"per_day": per_day, "states": dict(states), "series": realised}


def promised(promise: Mapping[str, Any]) -> dict[str, Any]:
    return {name: promise[name] for name in ("state", "served", "interval", "days")}


def normal_rows(path: Path, windows: list[list[str]]) -> tuple[Times, Vector]:
    """The rows outside the labelled windows, in order of time."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [(micros(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times = np.array([time for time, _ in rows], dtype=np.int64)
    values = np.array([value for _, value in rows])
    normal = np.ones(len(rows), dtype=bool)
    for start, end in windows:
        normal &= (times < micros(start)) | (times > micros(end))
    order = np.argsort(times[normal], kind="stable")
    return times[normal][order], values[normal][order]


def micros(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND
