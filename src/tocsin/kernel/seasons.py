"""How far a value is from what is usual at its hour and on its day.

The hour and the day are columns that the operation `calendar` wrote before; what is usual comes with the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from tocsin.kernel.columns import PERIODS, CalendarPart
from tocsin.kernel.frame import Action, Frame

SIZES: Mapping[CalendarPart, int] = {**PERIODS, "is_weekend": 2, "is_business_hours": 2}
"""How many values a part has."""
MAX_CELLS = 16_384
FURTHEST = 1e150
"""Values further out count as this far out, so that no distance overflows."""
NAN = float("nan")


class Residual(Action):
    """The operation `residual`: (value - usual) / spread, with both looked up by the parts of the season.

    The table has a cell for each combination of parts, the last part running fastest; it is empty where there was
    nothing to learn from, and then every value is missing.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        sizes = [SIZES[part] for part in constants["season"]]
        usual = np.array(constants["usual"], dtype=np.float64)
        spread = np.array(constants["spread"], dtype=np.float64)
        if len(sizes) != len(inputs) - 1:
            raise ValueError("wanted a column for each part of the season")
        if usual.shape != spread.shape or usual.shape not in ((0,), (prod(sizes),)):
            raise ValueError(f"wanted a usual value and a spread for each of {prod(sizes)} cells, or none")
        if not ((np.abs(usual) <= FURTHEST) & (spread >= 1 / FURTHEST) & (spread < np.inf)).all():
            raise ValueError("wanted finite usual values, and spreads above 0")
        self.parts: Any = np.array(inputs[1:], dtype=np.int64).data
        self.sizes: Any = np.array(sizes, dtype=np.int64).data
        self.usual: Any = np.ascontiguousarray(usual).data
        self.spread: Any = np.ascontiguousarray(spread).data
        self.furthest = FURTHEST

    def step(self, frame: Frame) -> None:
        """Write the distance."""
        value = frame.registers[self.source]
        cell = self.cell(frame)
        if value - value != 0.0 or cell < 0:
            frame.registers[self.target] = NAN
            return
        if value > self.furthest:
            value = self.furthest
        elif value < -self.furthest:
            value = -self.furthest
        frame.registers[self.target] = (value - self.usual[cell]) / self.spread[cell]

    def cell(self, frame: Frame) -> int:
        """The row's place in the table; -1 if there is none."""
        if len(self.usual) == 0:
            return -1
        cell = 0
        for place in range(len(self.parts)):
            part = frame.registers[self.parts[place]]
            # A program may come from a file and name another column as a part.
            if not 0.0 <= part <= self.sizes[place]:
                return -1
            step = int(part)
            # Months count from 1, and December is their place 0.
            cell = cell * self.sizes[place] + step % self.sizes[place]
        return cell
