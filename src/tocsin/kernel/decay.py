"""Statistics in which a value counts half as much after each half-life.

Weight, mean and squares are damped together, in the form of West's weighted update: nothing cancels, as it does where
sums of squares are damped and subtracted. The power 2^-x is made of a table and of + - * / alone: a library's exp2
may differ from one machine to the next.

Source: Mirsky et al., Kitsune, NDSS 2018, section IV.B (damped statistics of packets); West, Updating mean and variance
estimates: an improved method, Communications of the ACM 1979.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from math import inf
from typing import Any, Literal, get_args

import numpy as np

from tocsin.records import Column, Mask, Matrix, Times

DecayStatistic = Literal["weight", "mean", "std"]
FORGOTTEN = 64
"""Half-lives after which nothing is left: 2^-64 vanishes beside the weight 1 of a new value."""
_STEPS = 256
_NAN = float("nan")


def _fractions() -> tuple[float, ...]:
    """2^-(i/256) for i of 0 to 255, each rounded once from 40 digits."""
    exact = Context(prec=40)
    root = Decimal("0.5")
    for _ in range(_STEPS.bit_length() - 1):
        root = exact.sqrt(root)
    powers = [Decimal(1)]
    while len(powers) < _STEPS:
        powers.append(exact.multiply(powers[-1], root))
    return tuple(float(power) for power in powers)


_HALVES = tuple(1.0 / (1 << whole) for whole in range(FORGOTTEN))
_FRACTIONS = _fractions()
_STEP = 0.693147180559945309417 / _STEPS
"""ln 2 / 256: 2^-(rest / 256) = e^-(rest * this)."""


def halved(gap: int, half_life: int) -> float:
    """2^-(gap / half_life) for whole numbers, gap of at least 0; 0 from 64 half-lives on."""
    whole, left = divmod(gap, half_life)
    if whole >= FORGOTTEN:
        return 0.0
    place = left / half_life * _STEPS
    # The division may round up to 1, which the last step with a full rest says as well.
    step = min(int(place), _STEPS - 1)
    small = (place - step) * _STEP
    # The first term left out, small^6 / 720, is below 1e-18.
    rest = 1.0 - small * (1.0 - small / 2.0 * (1.0 - small / 3.0 * (1.0 - small / 4.0 * (1.0 - small / 5.0))))
    return _HALVES[whole] * (_FRACTIONS[step] * rest)


class Damped:
    """One entity's damped statistics of one column, as they were at its last present value."""

    __slots__ = ("mean", "squares", "time", "weight")

    def __init__(self) -> None:
        self.time = 0
        self.weight = 0.0
        self.mean = self.squares = _NAN

    def at(self, time: int, value: float, half_life: int) -> tuple[float, float, float]:
        """Weight, mean and variance at this time and with this value; NaN is no value and changes nothing."""
        factor = halved(time - self.time, half_life) if self.weight else 0.0
        if value == value:  # noqa: PLR0124  # only NaN differs from itself, and math.isnan costs a call per row
            self._add(value, factor)
            self.time, factor = time, 1.0
        if not factor:
            return 0.0, _NAN, _NAN
        # Damping takes the same share from weight and squares, and so leaves mean and variance as they are.
        return self.weight * factor, self.mean, self.squares / self.weight if self.weight > 1.0 else _NAN

    def _add(self, value: float, factor: float) -> None:
        if factor:
            damped = self.weight * factor
            weight = damped + 1.0
            distance = value - self.mean
            mean = self.mean + distance / weight
            # A square times a share: rounding cannot make it negative, however little the past still weighs.
            squares = self.squares * factor + distance * distance * (damped / weight)
            if squares < inf:
                self.weight, self.mean, self.squares = weight, mean, squares
                return
        # Nothing before it, or so far away that the square is no number: the value begins anew.
        self.weight, self.mean, self.squares = 1.0, value, 0.0


class Decay:
    """The operation `decay`: damped statistics of a column at one half-life, the row itself included.

    The standard deviation divides by the weight, and is missing while one value is all that weighs.
    """

    reads: np.dtype[Any] = np.dtype(np.float64)
    arity: tuple[int, ...] = (1,)

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._half_life = int(constants["half_life_us"])
        self._statistics: tuple[DecayStatistic, ...] = tuple(constants["statistics"])
        if self._half_life < 1:
            raise ValueError("wanted half_life_us of at least 1")
        if unknown := set(self._statistics) - set(get_args(DecayStatistic)):
            raise ValueError(f"unknown statistics {sorted(unknown)}")
        self.width = len(self._statistics)

    def new_cell(self) -> Damped:
        """A cell that has seen no value."""
        return Damped()

    def run(self, cells: Sequence[Damped], times: Times, inputs: Sequence[Column], out: Matrix, warm: Mask) -> None:
        """Move the cells row by row and write (n, statistics) into `out`; one value is enough to be warm."""
        rows = zip(cells, times.tolist(), inputs[0].tolist(), strict=True)
        weight, mean, variance = np.array([cell.at(time, value, self._half_life) for cell, time, value in rows]).T
        told = {"weight": weight, "mean": mean, "std": np.sqrt(variance)}
        for position, statistic in enumerate(self._statistics):
            out[:, position] = told[statistic]
