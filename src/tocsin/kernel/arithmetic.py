"""Elementary functions made of + - * / and tables alone.

A mathematics library may round the last digit otherwise on another machine, or in its next edition; these do not.
"""

from __future__ import annotations

from array import array
from decimal import Context, Decimal
from typing import Any

FORGOTTEN = 64
"""Halvings after which nothing is left: 2^-64 vanishes beside 1."""
_STEPS = 256


def _powers(root: Decimal, number: int) -> list[float]:
    """1, root, root^2 and so on, each rounded once from 40 digits."""
    exact = Context(prec=40)
    powers, power = [], Decimal(1)
    for _ in range(number):
        powers.append(float(power))
        power = exact.multiply(power, root)
    return powers


def _root_of_half(steps: int) -> Decimal:
    exact = Context(prec=40)
    root = Decimal("0.5")
    for _ in range(steps.bit_length() - 1):
        root = exact.sqrt(root)
    return root


_HALVES: Any = memoryview(array("d", _powers(Decimal("0.5"), FORGOTTEN)))
_FRACTIONS: Any = memoryview(array("d", _powers(_root_of_half(_STEPS), _STEPS)))
_STEP = float(Context(prec=40).divide(Context(prec=40).ln(Decimal(2)), Decimal(_STEPS)))
"""ln 2 / 256: 2^-(rest / 256) = e^-(rest * this)."""
# ln 2 in two parts: the first has so few digits that its product with an exponent is exact.
_LN2_HIGH = float(int(Context(prec=40).ln(Decimal(2)) * 2**32)) / 2**32
_LN2_LOW = float(Context(prec=40).subtract(Context(prec=40).ln(Decimal(2)), Decimal(_LN2_HIGH)))
_ROOT_OF_TWO = 1.4142135623730951
_NEAR = 0.41421356237309503
"""Up to here x itself is near 0."""
_DOUBLINGS = 9
"""2^(2^9) is the largest such power below the largest float64."""
_SCALES: Any = memoryview(array("d", [2.0 ** (1 << power) for power in range(_DOUBLINGS + 1)]))
NAN = float("nan")


def halved(gap: int, half_life: int) -> float:
    """2^-(gap / half_life) for a gap of at least 0, within 3e-16 of it; 0 from 64 half-lives on.

    Half-lives of up to 2^53 are exact in a float64, as is their share that is then left.
    """
    whole = gap // half_life
    if whole >= len(_HALVES):
        return 0.0
    place = (gap - whole * half_life) / half_life * _STEPS
    step = int(place)
    small = (place - step) * _STEP
    # The first term left out, small^6 / 720, is below 1e-18.
    rest = 1.0 - small * (1.0 - small / 2.0 * (1.0 - small / 3.0 * (1.0 - small / 4.0 * (1.0 - small / 5.0))))
    power: float = _HALVES[whole] * (_FRACTIONS[step] * rest)
    return power


def log1p(x: float) -> float:
    """The natural logarithm of 1 + x for x of at least 0, within 1.6e-16 of it; NaN below 0 and for NaN.

    With 1 + x = (1 + f) 2^e and f near 0, log(1 + f) = f - f^2/2 + s (f^2/2 + 2 s^2/3 + 2 s^4/5 + ...) where
    s = f / (2 + f): f, most of the result, is not rounded.

    Source: Ng, log1p of the freely distributable mathematics library, Sun Microsystems 1993 (that form).
    """
    if not x >= 0.0:
        return NAN
    if x - x != 0.0:
        return x
    exponent = 0
    near, lost = x, 0.0
    if x > _NEAR:
        share = 1.0 + x
        # What rounding took from 1 + x, relative to it.
        lost = (x - (share - 1.0)) / share if share < 1e16 else 0.0
        for power in range(_DOUBLINGS, -1, -1):
            if share >= _SCALES[power]:
                share /= _SCALES[power]
                exponent += 1 << power
        if share > _ROOT_OF_TWO:
            share *= 0.5
            exponent += 1
        near = share - 1.0
    ratio = near / (2.0 + near)
    square = ratio * ratio
    series = 0.0
    for term in range(21, 1, -2):
        series = (series + 2.0 / term) * square
    half = 0.5 * near * near
    small = ratio * (half + series) + (exponent * _LN2_LOW + lost)
    return exponent * _LN2_HIGH - ((half - small) - near)


def month(day: int) -> int:
    """The month, 1 to 12, of a day counted from 1 January 1970 in the Gregorian calendar.

    Source: Hinnant, chrono-compatible low-level date algorithms, 2021 (years that begin in March).
    """
    # Days of a 400-year era that begins on 1 March, so that the leap day is a year's last.
    era_day = (day + 719_468) % 146_097
    year = (era_day - era_day // 1_460 + era_day // 36_524 - era_day // 146_096) // 365
    year_day = era_day - (365 * year + year // 4 - year // 100)
    place = (5 * year_day + 2) // 153
    return place + 3 if place < 10 else place - 9
