"""What is asked of a figure, as a person writes it: `>= 0.953`, `<= 5%`, `<= 100ms`, `< 400MB`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from tocsin.evaluation.measures import Unit

_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z%]*)\s*(when labelled)?\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
# How many of the figure's own unit one of the written unit is; exact, so that 57 % is 0.57 and nothing else.
_UNITS: dict[Unit, dict[str, Fraction]] = {
    "ratio": {"": Fraction(1), "%": Fraction(1, 100)},
    "count": {"": Fraction(1)},
    "per_day": {"": Fraction(1)},
    "ms": {"": Fraction(1), "ms": Fraction(1), "s": Fraction(1_000)},
    "s": {"": Fraction(1), "ms": Fraction(1, 1_000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3_600)},
    "bytes": {
        unit: Fraction(size)
        for unit, size in zip(
            ("", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"),
            (1, 1, 10**3, 10**6, 10**9, 2**10, 2**20, 2**30),
            strict=True,
        )
    },
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sign, a number and a unit."""

    sign: str
    number: str
    """As written."""
    unit: str
    factor: Fraction
    """How many of the figure's own unit one of the written unit is."""
    when_labelled: bool = False
    """Not asked where no row is labelled."""

    @classmethod
    def parse(cls, text: str, unit: Unit, *, needs_unit: bool = False) -> Self:
        """What a text asks of a figure of that unit.

        Raises
        ------
        ValueError
            If it asks nothing, or another unit, or is a bare number where it `needs_unit`; saying what was wanted.
        """
        units = {name: factor for name, factor in _UNITS[unit].items() if name or not needs_unit}
        match = _COMPARISON.fullmatch(text)
        if match is None or match[3] not in units:
            written = " or ".join(name or "no unit" for name in units)
            sample = f">= 1{next(iter(units))}"
            raise ValueError(f'a comparison such as "{sample}": one of {", ".join(_COMPARE)}, a number, {written}')
        sign, number, written, condition = match.groups()
        return cls(sign, number, written, units[written], condition is not None)

    def expect_within(self, least: float, most: float) -> None:
        """Raise ValueError if no value from `least` to `most` meets it, or its number is none of them."""
        number = float(Fraction(self.number) * self.factor)
        if not least <= number <= most or not (self.holds(least) or self.holds(most)):
            raise ValueError(f"a bound that can be met: values go from {least:g} to {most:g}")

    def holds(self, value: float) -> bool:
        """Whether a value in the figure's own unit is on the right side."""
        return _COMPARE[self.sign](value, float(Fraction(self.number) * self.factor))

    @property
    def wanted(self) -> str:
        """As it was written."""
        return f"{self.sign} {self.number}{self.unit}"

    def shown(self, value: float) -> str:
        """In the written unit, in as few digits as keep the outcome: never `0.871 is not >= 0.871`."""
        written = value / float(self.factor)
        for digits in range(3, 18):
            text = f"{written:.{digits}f}".rstrip("0").rstrip(".")
            if self.holds(float(Fraction(text) * self.factor)) == self.holds(value):
                return text + self.unit
        return f"{written!r}{self.unit}"
