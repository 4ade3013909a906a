"""An alert in words: the same on a terminal, on a phone and in a log. Control characters of telemetry are shown."""

from __future__ import annotations

from dataclasses import replace
from math import expm1, isnan
from typing import Any

from tocsin.errors import visible
from tocsin.records import LOGARITHM, Alert, Reason
from tocsin.sinks.base import iso_time

WEAK = 1 / 3
"""A usual value that gave less than this share of the first reason's contribution explains nothing."""
_MOST_LOGARITHM = 700.0
"""Beyond it there is no float64 for the amount."""
_NUMBERS = ("value", "usual_low", "usual_high", "similar_low", "similar_high", "normal")


def whose(alert: Alert) -> str:
    """The entity, or those of an incident."""
    if alert.entities:
        return f"{len(alert.entities)} or more together: {', '.join(map(visible, alert.entities))}"
    return visible(alert.entity) or "all telemetry"


def window(alert: Alert) -> str:
    """`2026-01-01 00:00:00 to 00:00:30 UTC`; empty where telemetry has no clock."""
    if alert.start is None or alert.end is None:
        return ""
    start, end = _readable(alert.start), _readable(alert.end)
    if start == end:
        return f"{start} UTC"
    day = start.split(" ")[0]
    return f"{start} to {end.removeprefix(day + ' ')} UTC"


def rows(alert: Alert) -> str:
    """How many rows rang."""
    return "1 row" if alert.rows == 1 else f"{alert.rows} rows"


def strongest(alert: Alert, most: int) -> list[Reason]:
    """Reasons that explain something, the strongest first."""
    return [reason for reason in alert.reasons if not _is_weak(reason, alert.reasons[0])][:most]


def explained(reason: Reason) -> str:
    """`bytes_out 9.5e+06 bytes (usual 120 to 4.1e+05)`, with what similar rows had if that is known."""
    told = _without_logarithm(reason)
    unit = f" {visible(told.unit)}" if told.unit else ""
    value = "missing" if isnan(told.value) else f"{told.value:.6g}{unit}"
    inside = told.usual_low <= told.value <= told.usual_high
    usual = f"{'rare within' if inside else 'usual'} {told.usual_low:.4g} to {told.usual_high:.4g}"
    return f"{visible(told.feature)} {value} ({usual}{_alike(told)})"


def _without_logarithm(reason: Reason) -> Reason:
    """The amounts, where a feature is their logarithm: nobody counts in log bytes at night."""
    amount = reason.unit.removeprefix(LOGARITHM)
    if amount == reason.unit or not amount.isalnum():
        return reason
    amounts: dict[str, Any] = {name: expm1(min(getattr(reason, name), _MOST_LOGARITHM)) for name in _NUMBERS}
    return replace(reason, unit="" if amount == "1" else amount, **amounts)


def _readable(micros: int) -> str:
    return str(iso_time(micros)).split(".")[0].replace("T", " ")


def _is_weak(reason: Reason, first: Reason) -> bool:
    usual = reason.usual_low <= reason.value <= reason.usual_high
    return usual and reason.contribution < WEAK * first.contribution


def _alike(reason: Reason) -> str:
    """What rows had that were like this one otherwise; nothing where none of them had a value."""
    if isnan(reason.similar_low):
        return ""
    span = f"{reason.similar_low:.4g} to {reason.similar_high:.4g}"
    return f"; in similar rows {span}, nearest {reason.normal:.4g}"
