"""Units of what operations write, told from the units of what they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tocsin.kernel.program import Operation, Program
from tocsin.records import LOGARITHM
from tocsin.schema import Schema

ROWS, VALUES, FLAG, SHARE, DEVIATIONS, PER_SECOND = "rows", "values", "flag", "ratio", "deviations", "/s"
_SPANS: Mapping[str, str] = {
    "hour": "hour", "minute": "minute", "second": "second", "minute_of_day": "minute", "day_of_week": "day",
    "month": "month",
}  # fmt: skip

Units = tuple[str, ...]
Rule = Callable[[Operation, int, Units], str]
"""An operation, the place of one of its outputs, the units of what it reads -> the unit of that output."""


def _statistic(operation: Operation, place: int, read: Units) -> str:
    statistic = operation.constants["statistics"][place]
    if statistic in ("count", "weight"):
        return VALUES if read else ROWS
    if statistic in ("std", "sum") and read[0].startswith(LOGARITHM):
        return ""  # how far logarithms spread, or their sum, is the logarithm of no amount
    return read[0]


def _calendar(operation: Operation, place: int, _read: Units) -> str:
    parts, circles = operation.constants["parts"], operation.constants["circles"]
    told = [unit for part in parts for unit in (("", "") if part in circles else (_SPANS.get(part, FLAG),))]
    return told[place]


def _ratio(_operation: Operation, _place: int, read: Units) -> str:
    above, below = read
    if above == below:
        return ""
    if above.endswith(PER_SECOND) and below.endswith(PER_SECOND):
        above, below = above.removesuffix(PER_SECOND), below.removesuffix(PER_SECOND)
    return f"{above or 1}/{below or 1}"


def _fixed(unit: str) -> Rule:
    return lambda _operation, _place, _read: unit


_RULES: Mapping[str, Rule] = {
    "log1p": lambda _operation, _place, read: f"{LOGARITHM}{read[0] or 1}",
    "ratio": _ratio,
    "product": lambda _operation, _place, read: " ".join(unit for unit in read if unit and unit != SHARE),
    "linear": lambda operation, _place, _read: str(operation.constants["unit"]),
    "magnitude": lambda _operation, _place, read: read[0],
    "calendar": _calendar,
    "one_hot": _fixed(FLAG),
    "hash_one_hot": _fixed(FLAG),
    "code": _fixed("code"),
    "panes": _statistic,
    "recent": _statistic,
    "decay": _statistic,
    "rate": lambda _operation, place, read: "code" if place else f"{read[0] or 1}{PER_SECOND}",
    "zscore": _fixed(DEVIATIONS),
    "residual": _fixed(DEVIATIONS),
    "sequence": lambda operation, place, read: read[place % len(operation.inputs)],
    "distinct": _fixed(VALUES),
    "share": _fixed(SHARE),
    "quantiles": lambda _operation, _place, read: read[0],
    "returns": _fixed("gaps"),
}


def units(schema: Schema, program: Program) -> dict[str, str]:
    """The unit of every field and of every column that a program computes; "" where it has none."""
    known = {name: item.unit for name, item in schema.fields.items()}
    for operation in program.operations:
        read = tuple(known.get(name, "") for name in operation.inputs)
        rule = _RULES[operation.kind]
        known.update((name, rule(operation, place, read)) for place, name in enumerate(operation.outputs))
    return known
