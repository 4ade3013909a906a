"""Does the alert budget hold? Exchangeable rows, autocorrelated scores, and the normal spans of real series.

(a) Independent rows and a budget in rows: the realised count against its exact beta-binomial distribution.
(b) AR(1) scores and a budget a day: realised alerts a day on as long a span as was calibrated on.
(c) NAB outside its labelled windows, with a robust z-score of the value: reported, nothing is promised of series
    whose second half is another than the first.
(d) AR(1) scores whose mean drifts over 140 days, 420 alerts budgeted: the rate with the controller and without.
(e) An attack that rings again and again, for six hours and for three days: whether it moves the level it meets.
(f) Hosts of unlike scales on one budget: alerts rung and planted rises found, with scales by entity and without.
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

from tocsin import log
from tocsin.alerts import AlertPolicy, BudgetController, FlaggedRows
from tocsin.calibration import episodes, rows_band
from tocsin.records import SECOND, Column, Times, Vector
from tocsin.thresholds.base import REACH, AlertBudget, Calibration, Threshold
from tocsin.thresholds.conformal import Conformal

MINUTE = 60 * SECOND
COOLDOWN_S = 120.0
# The median absolute deviation of a standard normal variable.
NORMAL_MAD = 0.6745


def main(out: Path) -> None:
    log.configure("error")
    figures: dict[str, Any] = {
        "independent": independent(seeds=1_000),
        "autocorrelated": [*everything_autocorrelated()],
        "drift": [*everything_drifting()],
        "attack": [attack(seeds=20, hours=hours) for hours in (6, 72)],
        "hosts": hosts(seeds=5),
    }
    figures["bars"] = bars(figures)
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


def bars(figures: Mapping[str, Any]) -> dict[str, bool]:
    drift, short, hosts = figures["drift"], figures["attack"][0], figures["hosts"]
    return {
        "rows: 97.5 % of counts in the 99 % band": figures["independent"]["inside"] >= 0.975 * 1_000,
        "drift, 420 alerts budgeted: rate within 20 % of the budget with the controller": all(
            abs(case["controller"]["mean"] - 1.0) <= 0.2 for case in drift
        ),
        "drift, 420 alerts budgeted: so in every single span": all(case["within"] == 1.0 for case in drift),
        "attack of 6 h: the level it meets never rises": short["raised"] == 0,
        "hosts: scales by entity keep the budget within 20 %": abs(hosts["entity"]["rate"] - 1.0) <= 0.2,
        "hosts: scales by entity find more": hosts["entity"]["found"] > hosts["all"]["found"],
    }


def everything_drifting() -> Iterator[dict[str, Any]]:
    print("(d) AR(1) scores whose mean moves over 140 days, 3 alerts a day budgeted; alerts rung / budgeted")
    print(f"{'phi':>6} {'drift':>6} {'without':>16} {'with':>16} {'within 20 %':>12}")
    for phi in (0.0, 0.98, 0.995):
        for sds in (0.0, 0.45, -0.4):
            yield drifting(phi, sds, seeds=16)


def drifting(phi: float, sds: float, seeds: int, days: int = 140, calm: int = 28) -> dict[str, Any]:
    """Calibrate on 28 days that do not drift, ring on 140 that do by so many standard deviations."""
    series = autoregressive(np.random.default_rng(1_000), phi, (calm + days) * 1_440, seeds)
    half, rates = calm * 1_440, np.empty((seeds, 2))
    for seed in range(seeds):
        scores, times = series[:, seed], np.arange(len(series), dtype=np.int64) * MINUTE
        threshold, _ = calibrate_and_count(scores, times, half, per_day=3.0)
        later = scores[half:] + sds * np.linspace(0.0, 1.0, len(scores) - half)
        for column, controller in enumerate((None, BudgetController.of(threshold.promise()))):
            policy = AlertPolicy(cooldown_s=COOLDOWN_S, controller=controller)
            rates[seed, column] = len(policy.decide(may_ring(threshold, later, times[half:]))) / days / 3.0
    without, held = rates.T
    within = float((np.abs(held - 1.0) <= 0.2).mean())
    shown = [f"{rate.mean():.2f} ({rate.min():.2f}-{rate.max():.2f})" for rate in (without, held)]
    print(f"{phi:6} {sds:6} {shown[0]:>16} {shown[1]:>16} {within:12.2f}", flush=True)
    return {
        "phi": phi, "drift_sds": sds, "days": days, "seeds": seeds, "without": summary(without),
        "controller": summary(held), "within": within, "within_without": float((np.abs(without - 1.0) <= 0.2).mean()),
    }  # fmt: skip


def summary(rates: Vector) -> dict[str, float]:
    return {"mean": float(rates.mean()), "least": float(rates.min()), "most": float(rates.max())}


def may_ring(threshold: Threshold, scores: Vector, times: Times) -> FlaggedRows:
    """The rows of one host that a policy with a controller asks for."""
    ease = threshold.ease(scores)
    rows = np.flatnonzero(ease <= REACH)
    names = np.full(len(rows), "", dtype=object)
    return FlaggedRows(
        times[rows], None, scores[rows], threshold.p_value(scores[rows]), names, names, [b""] * len(rows),
        float(threshold.promise()["level_p"]), lambda chosen: [()] * len(chosen),
        lambda chosen: [None] * len(chosen), ease[rows], rows, lambda chosen: [""] * len(chosen), times,
    )  # fmt: skip


def attack(seeds: int, hours: int, phi: float = 0.98, days: int = 28) -> dict[str, Any]:
    """A spike of six deviations every ten minutes, begun at any hour of a calm day; and the same days without."""
    series = autoregressive(np.random.default_rng(2_000), phi, 2 * days * 1_440, seeds)
    half, raised, rang, after = days * 1_440, 0, 0, []
    for seed in range(seeds):
        scores, times = series[:, seed], np.arange(len(series), dtype=np.int64) * MINUTE
        threshold, _ = calibrate_and_count(scores, times, half, per_day=3.0)
        begin = 14 * 1_440 + (seed * 24 // seeds) * 60
        spiked = scores[half:].copy()
        spiked[begin : begin + hours * 60 : 10] += 6.0
        calm, _ = hourly(threshold, scores[half:], times[half:])
        under, alerts = hourly(threshold, spiked, times[half:])
        met = slice(begin // 60, begin // 60 + hours)
        # Tighter than as it began, and than without the attack: it would have raised its own level.
        raised += bool((under[met] < np.minimum(calm[met], under[met.start]) * (1.0 - 1e-9)).any())
        rang += int(alerts[met].sum())
        after.append(float((under / calm)[met.stop : met.stop + 7 * 24].min()))
    print(
        f"(e) attack of {hours} h: {rang / seeds:.1f} alerts; {raised} of {seeds} raised the level they met; "
        f"budget multiple in the week after, of that without: {np.mean(after):.2f}, least {min(after):.2f}"
    )
    return {
        "hours": hours, "seeds": seeds, "alerts": rang / seeds, "raised": raised,
        "week_after": float(np.mean(after)), "week_after_least": min(after),
    }  # fmt: skip


def hourly(threshold: Threshold, scores: Vector, times: Times) -> tuple[Vector, Vector]:
    """The budget multiple in each hour, and the alerts that rang in it."""
    controller = BudgetController.of(threshold.promise())
    assert controller is not None
    policy, multiples, alerts = AlertPolicy(cooldown_s=COOLDOWN_S, controller=controller), [], []
    for hour in range(len(scores) // 60):
        rows = slice(60 * hour, 60 * hour + 60)
        alerts.append(len(policy.decide(may_ring(threshold, scores[rows], times[rows]))))
        multiples.append(controller.multiple)
    return np.array(multiples), np.array(alerts)


def hosts(seeds: int, count: int = 30, days: int = 28) -> dict[str, Any]:
    """Hosts whose scores have means and spreads of their own, each of which rises once for half an hour."""
    found: dict[str, list[tuple[float, float]]] = {"all": [], "entity": []}
    for seed in range(seeds):
        rng = np.random.default_rng(3_000 + seed)
        steps = 2 * days * 288
        normal = autoregressive(rng, 0.9, steps, count)
        risen = np.zeros_like(normal, dtype=bool)
        for host, start in enumerate(rng.integers(steps // 2, steps - 6, count)):
            risen[start : start + 6, host] = True
        scores = (normal + 6.0 * risen) * np.exp(rng.normal(size=count)) + rng.normal(0.0, 2.0, count)
        times = np.repeat(np.arange(steps, dtype=np.int64) * 5 * MINUTE, count)
        names = np.tile(np.array([f"host {host}" for host in range(count)], dtype=object), steps)
        half = steps // 2 * count
        for by, figures in found.items():
            threshold = build_conformal(by).fit(
                Calibration(scores.ravel()[:half], times[:half], names[:half]), AlertBudget(per_day=3.0)
            )
            flagged = threshold.flag(scores.ravel()[half:], names[half:])
            rising = risen.ravel()[half:]
            hit = len(set(names[half:][flagged & rising]))
            false = flagged & ~rising
            figures.append((alerts_of(times[half:][false], names[half:][false]) / days / 3.0, hit / count))
    means = {
        by: dict(zip(("rate", "found"), np.mean(pairs, axis=0).tolist(), strict=True)) for by, pairs in found.items()
    }
    for by, mean in means.items():
        print(f"(f) {count} hosts, by {by}: {mean['rate']:.2f} of the budget, {mean['found']:.0%} of rises found")
    return {"hosts": count, "seeds": seeds, **means}


def alerts_of(times: Times, names: Column) -> int:
    return int(episodes(times, names, COOLDOWN_S).max(initial=-1)) + 1


def build_conformal(by: str) -> Conformal:
    return Conformal(by="entity" if by == "entity" else "all")


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
