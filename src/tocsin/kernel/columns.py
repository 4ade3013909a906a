"""Actions that look at one row alone: they hold no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from tocsin.kernel import arithmetic
from tocsin.kernel.frame import Action, Frame

CalendarPart = Literal[
    "hour", "minute", "second", "minute_of_day", "day_of_week", "month", "is_weekend", "is_business_hours"
]
PARTS: tuple[CalendarPart, ...] = get_args(CalendarPart)
PERIODS: Mapping[CalendarPart, int] = {
    "hour": 24,
    "minute": 60,
    "second": 60,
    "minute_of_day": 1_440,
    "day_of_week": 7,
    "month": 12,
}
"""After how many steps a part starts again; the others are flags."""
NAN = float("nan")


class Log1p(Action):
    """The operation `log1p`: log(1 + scale x) of one column, for x of at least 0."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        self.scale = float(constants.get("scale", 1.0))

    def step(self, frame: Frame) -> None:
        """Write the logarithm."""
        frame.registers[self.target] = arithmetic.log1p(self.scale * frame.registers[self.source])


class Linear(Action):
    """The operation `linear`: offset + factor x of one column, missing where that is no finite number."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        self.factor = float(constants["factor"])
        self.offset = float(constants["offset"])

    def step(self, frame: Frame) -> None:
        """Write the value on its new scale."""
        scaled = self.offset + self.factor * frame.registers[self.source]
        frame.registers[self.target] = scaled if scaled - scaled == 0.0 else NAN


class Magnitude(Action):
    """The operation `magnitude`: a column without its sign."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)

    def step(self, frame: Frame) -> None:
        """Write the value, turned round if it is below 0."""
        value = frame.registers[self.source]
        frame.registers[self.target] = 0.0 - value if value <= 0.0 else value


class Product(Action):
    """The operation `product`: one column times another, missing where that is no finite number."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        self.other = inputs[1]

    def step(self, frame: Frame) -> None:
        """Write the product."""
        product = frame.registers[self.source] * frame.registers[self.other]
        frame.registers[self.target] = product if product - product == 0.0 else NAN


class Ratio(Action):
    """The operation `ratio`: numerator / (denominator + offset), missing where that is no finite number."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        self.below = inputs[1]
        self.offset = float(constants["offset"])

    def step(self, frame: Frame) -> None:
        """Write the quotient."""
        below = frame.registers[self.below] + self.offset
        quotient = NAN if below == 0.0 else frame.registers[self.source] / below
        frame.registers[self.target] = quotient if quotient - quotient == 0.0 else NAN


class OneHot(Action):
    """The operations `one_hot` and `hash_one_hot`: a column of zeros for each code, and a one in that of the row."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        # A vocabulary has one more column, for every other value.
        self.width = int(constants["bins"]) if "bins" in constants else len(constants["values"]) + 1

    def step(self, frame: Frame) -> None:
        """Write the zeros and the one; a missing code has none."""
        code = frame.registers[self.source]
        for place in range(self.width):
            frame.registers[self.target + place] = 1.0 if code == place else 0.0


class Calendar(Action):
    """The operation `calendar`: parts of local time, from UTC and a stored table of clock changes."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(-1, target)
        changes = np.array(constants["changes"], dtype=np.int64)
        offsets = np.array(constants["offsets"], dtype=np.int64)
        flat = changes.ndim == offsets.ndim == 1
        if not flat or len(offsets) != len(changes) + 1 or (np.diff(changes) <= 0).any():
            raise ValueError("wanted ascending clock changes and one more offset than changes")
        if unknown := set(constants["parts"]) - set(PARTS):
            raise ValueError(f"unknown parts {sorted(unknown)}")
        circles = {part: np.array(circle, dtype=np.float64) for part, circle in constants["circles"].items()}
        if any(circle.shape != (PERIODS[part], 2) for part, circle in circles.items()):
            raise ValueError("wanted a sine and a cosine for each step of a part")
        self.changes: Any = changes.data
        self.offsets: Any = offsets.data
        self.codes: Any = memoryview(bytes(PARTS.index(part) for part in constants["parts"]))
        starts, tables = [], [np.zeros((0, 2))]
        for part in constants["parts"]:
            starts.append(sum(map(len, tables)) if part in circles else -1)
            tables += [circles[part]] if part in circles else []
        self.starts: Any = np.array(starts, dtype=np.int64).data
        self.circles: Any = np.concatenate([*tables, np.zeros((1, 2))]).data
        self.width = sum(1 if start < 0 else 2 for start in starts)

    def step(self, frame: Frame) -> None:
        """Write the parts of the row's own time."""
        second = frame.time // 1_000_000
        low, high = 0, len(self.changes)
        while low < high:
            middle = (low + high) // 2
            if self.changes[middle] <= second:
                low = middle + 1
            else:
                high = middle
        local = second + self.offsets[low]
        target = self.target
        for place in range(len(self.codes)):
            value = self.part(self.codes[place], local)
            start = self.starts[place]
            if start < 0:
                frame.registers[target] = value
                target += 1
            else:
                # Months count from 1; a circle begins at 0, and December is its own place 0.
                turn = start + (value % 12 if self.codes[place] == 5 else value)
                frame.registers[target] = self.circles[turn, 0]
                frame.registers[target + 1] = self.circles[turn, 1]
                target += 2

    def part(self, code: int, local: int) -> int:
        """One part of local time, by its place in `PARTS`, from seconds since 1970 on the local clock."""
        hour = local // 3_600 % 24
        if code == 0:
            return hour
        if code == 1:
            return local // 60 % 60
        if code == 2:
            return local % 60
        if code == 3:
            return local // 60 % 1_440
        if code == 7:
            return 9 <= hour <= 17
        return self.date_part(code, local // 86_400)

    def date_part(self, code: int, day: int) -> int:
        """One of the parts that do not change during a day."""
        if code == 5:
            return arithmetic.month(day)
        # 1 January 1970 was a Thursday, and Monday is 0.
        weekday = (day + 3) % 7
        return weekday if code == 4 else weekday >= 5
