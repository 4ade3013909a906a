"""One hash that says whether this machine computes what every other does: every operation, over a stream of its own.

The stream is made of whole numbers and simple fractions, which are the same everywhere. It has ties, late rows and
rows that are too late, repeats, gaps, missing and hostile values, counters that wrap and reset, a change of clocks,
entities that are given up, and a clock that was set back.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from tocsin.kernel.columns import PARTS, PERIODS, CalendarPart
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch

GOLDEN = "a0642560612b67ee8ff8d1dc7ef0d314f0b09f21b6247e0c4444964a487cd8c9"
"""What `golden` returns wherever the arithmetic is right; it changes with every change of a value or a mark."""

ENTITIES = 4
_START = 1_774_745_400 * SECOND
"""Ten minutes before clocks go forward in Berlin."""
_CHANGE = 1_774_746_000
_ROWS = 900
_LONG = range(300, 600)
"""Rows among which there are no gaps, nearly all of one entity: more of its keys than are remembered."""
_NAN = float("nan")
_HARD = (_NAN, 0.0, -0.0, 1e9, 1e9 + 1.0, 1e12, -1e15, 5e-324, 1e308, -1e308, float("inf"), 0.1, 1.0 / 3.0, 1e-9)
_STEPS_US = (0, 250_000, 1_000_000, 3_000_000, 0, 7_000_000, 1, 20_000_000, 999_999, 2_000_000)
_DAY_US = 86_400_000_000
_GAPS_US = (60_000_000, 50 * _DAY_US, 61_000_000, 94 * _DAY_US, 26 * 3_600_000_000, 130 * _DAY_US, 5_000_000_000)
_LATE_US = (1, 3_000_000, 50_000_000, 60_000_000, 60_000_001, 61_000_000, 9_000_000_000, 64_000_000)
_ROUND: tuple[CalendarPart, ...] = ("hour", "month")
_WORDS = ("tcp", "udp", "icmp", "", "gre")


def program() -> Program:
    """A program with every operation of the kernel."""
    window = {"pane_us": 5 * SECOND, "panes": 12}
    statistics = ["mean", "std", "min", "max", "count", "sum"]
    calendar = {"changes": [_CHANGE], "offsets": [3_600, 7_200], "parts": PARTS, "circles": {}}
    circles = {part: [[step / 24, 1 - step / 12] for step in range(PERIODS[part])] for part in _ROUND}
    by_day = {"usual": [cell / 7 for cell in range(48)], "spread": [1 + cell / 3 for cell in range(48)]}
    by_month = {"usual": [cell - 3.3 for cell in range(12)], "spread": [9 - cell / 2 for cell in range(12)]}
    quantiles = {"quantiles": [0.25, 0.5, 0.99], "relative_error": 0.05, "smallest": 1e-3, "largest": 1e2}
    rate = {"max_gap_us": 300 * SECOND, "bits": 32, "reset": "nan", "quality": True}
    returns = {"window_us": 90 * SECOND, "apart_us": 2 * SECOND, "tolerance": 0.6, "gaps": 3, "values": 2}
    kinds: list[tuple[str, tuple[str, ...], int, dict[str, Any]]] = [
        ("log1p", ("x",), 1, {}),
        ("log1p", ("y",), 1, {}),
        ("log1p", ("y",), 1, {"scale": 1_000.0}),
        ("ratio", ("x", "y"), 1, {"offset": 0.5}),
        ("product", ("x", "y"), 1, {}),
        ("magnitude", ("x",), 1, {}),
        ("linear", ("y",), 1, {"factor": -0.01, "offset": 1.0}),
        ("calendar", ("time",), len(PARTS), calendar),
        ("calendar", ("time",), 4, {**calendar, "parts": list(circles), "circles": circles}),
        ("one_hot", ("word",), 3, {"values": ["tcp", "udp"]}),
        ("hash_one_hot", ("path",), 3, {"bins": 3}),
        ("panes", (), 1, {**window, "statistics": ["count"], "min_count": 1}),
        ("panes", ("x",), 6, {**window, "statistics": statistics, "min_count": 2}),
        ("panes", ("y",), 2, {"pane_us": 7 * SECOND, "panes": 1, "statistics": ["sum", "std"], "min_count": 1}),
        ("panes", ("sign",), 2, {**window, "statistics": ["min", "max"], "min_count": 1}),
        ("recent", (), 1, {"window_us": 60 * SECOND, "limit": 9, "statistics": ["count"], "min_count": 1}),
        ("recent", ("x",), 6, {"window_us": 60 * SECOND, "limit": 9, "statistics": statistics, "min_count": 2}),
        ("recent", ("sign",), 2, {"window_us": 9 * SECOND, "limit": 5, "statistics": ["min", "max"], "min_count": 1}),
        ("decay", ("y",), 3, {"half_life_us": 10 * SECOND, "statistics": ["weight", "mean", "std"]}),
        ("decay", ("x",), 2, {"half_life_us": 700_000, "statistics": ["weight", "std"]}),
        ("zscore", ("y",), 1, {**window, "min_count": 2, "clip": 8.0, "include_current": False}),
        ("zscore", ("sign",), 1, {**window, "min_count": 2, "clip": 3.0, "include_current": True}),
        ("rate", ("y",), 2, {**rate, "bits": None}),
        ("rate", ("total",), 2, rate),
        ("rate", ("total", "uptime"), 2, {**rate, "reset": "from_zero"}),
        ("residual", ("y", "hour", "is_weekend"), 1, {"season": ["hour", "is_weekend"], **by_day}),
        (
            "residual",
            ("x", "month"),
            1,
            {"season": ["month"], **by_month},
        ),
        ("distinct", ("path",), 1, {**window, "bits": 64, "reads": "text"}),
        ("distinct", ("y",), 1, {**window, "bits": 128, "reads": "number"}),
        ("share", ("path",), 1, {**window, "bins": 16, "reads": "text"}),
        ("share", ("sign",), 1, {**window, "bins": 16, "reads": "number"}),
        ("quantiles", ("y",), 3, {**window, **quantiles, "min_count": 2}),
        ("quantiles", ("x",), 3, {**window, **quantiles, "min_count": 1}),
        ("code", ("word",), 1, {"values": ["udp", "tcp"]}),
        ("returns", ("word",), 1, {**returns, "reads": "text"}),
        ("returns", ("sign",), 1, {**returns, "reads": "number", "values": 1}),
    ]
    named = [
        Operation(kind, inputs, PARTS if constants is calendar else _names(number, kind, width), constants)
        for number, (kind, inputs, width, constants) in enumerate(kinds)
    ]
    names = tuple(name for operation in named for name in operation.outputs)
    last = tuple(f"{name}@{back}" for back in (2, 1, 0) for name in ("x", "y"))
    named.append(Operation("sequence", ("x", "y"), last, {"steps": 3, "max_gap_us": 60 * SECOND}))
    return Program(tuple(named), (*names, *last, "x"), "time", "host", ("id",))


def _names(number: int, kind: str, width: int) -> tuple[str, ...]:
    return tuple(f"{kind}_{number}_{place}" for place in range(width))


def stream() -> Batch:
    """Rows in arrival order."""
    rows: list[tuple[Any, ...]] = []
    latest: dict[str, int] = {}
    counters: dict[str, tuple[int, int]] = {}
    now, number = _START, 1
    for place in range(_ROWS):
        # A linear congruence; its lower bits have short periods, so only the upper ones are used.
        number = (1_103_515_245 * number + 12_345) % 2**31
        high = number >> 16
        now += _GAPS_US[place // 41 % 7] if place % 41 == 40 and place not in _LONG else _STEPS_US[high % 10]
        if place == 60:
            now = _CHANGE * SECOND
        if place == _ROWS - 80:
            now -= 3_650 * _DAY_US
        host = f"host-{_host(place, high)}"
        late = _LATE_US[high // 11 % 8] if high % 5 == 0 else 0
        time = latest.get(host, now) - late if late else now
        latest[host] = max(latest.get(host, time), time) if place < _ROWS - 80 else time
        total, booted = counters.get(host, (2**32 - 10**9, time - 10**12))
        if high % 37 == 0:
            total, booted = 0, time - SECOND
        total = (total + high * 3_000) % 2**32
        counters[host] = total, booted
        rows.append((
            host,
            time,
            _WORDS[high % 5],
            f"/{high // 13 % 89}" if high % 31 else "",
            _HARD[high // 3 % 14] if high % 3 == 0 else high / 3 - 3_000,
            high % 1_000 / 8 if high % 17 else _NAN,
            (0.0, -0.0, 0.0, -0.0, 1.0)[high // 19 % 5 if place % 50 > 25 else high // 19 % 4],
            float(total),
            float((time - booted) // SECOND) if high % 23 else _NAN,
            float(_named(place, high)),
        ))  # fmt: skip
    names = ("host", "time", "word", "path", "x", "y", "sign", "total", "uptime", "id")
    types: dict[str, Any] = {"host": object, "time": np.int64, "word": object, "path": object}
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return Batch({name: np.array(column, dtype=types.get(name, np.float64)) for name, column in columns})


def _named(place: int, high: int) -> int:
    if place in _LONG:
        return place - 60 - high % 25 if high % 7 == 0 else place
    return place - high % 5 if high % 29 == 0 else place


def _host(place: int, high: int) -> int:
    if place in _LONG:
        return 0 if high % 8 else 1
    return high // 7 % (7 if place % 200 > 170 else 3)


def golden() -> str:
    """SHA-256 of all bits that the kernel makes of the stream: values, and marks."""
    kernel = Kernel(program(), entities=ENTITIES)
    return hashed(kernel.run(stream(), kernel.start()))


def hashed(matrix: FeatureMatrix) -> str:
    """SHA-256 of the bits of a matrix."""
    # As whole numbers: to convert a float to another byte order may touch the bits of a NaN.
    bits = matrix.values.view(np.int64).astype("<i8")
    return hashlib.sha256(bits.tobytes() + matrix.marks.tobytes()).hexdigest()
