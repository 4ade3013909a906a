"""When things happen on a site, and how what changes slowly goes on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tocsin.records import DAY, SECOND, Mask, Times
from tocsin.synthetic.plan import Plan

HOUR = 3_600 * SECOND

Hours = tuple[int, ...]
"""How much goes on in each of the 24 hours of a UTC day, beside the others."""
OFFICE: Hours = (1, 1, 1, 1, 1, 2, 5, 20, 55, 75, 80, 75, 60, 70, 80, 75, 65, 45, 20, 10, 8, 5, 3, 2)
ALWAYS: Hours = (1,) * 24
RESTING = 0.25
"""What goes on at weekends where people work in offices, of that on workdays."""


def weekend(times: int | Times) -> Mask:
    """Whether it is Saturday or Sunday, UTC.

    >>> weekend(np.arange(7) * DAY).tolist()
    [False, False, True, True, False, False, False]
    """
    return np.asarray((times // DAY + 3) % 7 >= 5)  # 1 January 1970 was a Thursday


def arrivals(rng: np.random.Generator, plan: Plan, per_day: float, hours: Hours, at_weekends: float) -> Times:
    """Moments of a Poisson process, hour by hour, within an hour in any order.

    Parameters
    ----------
    per_day
        How many are expected on a workday.
    hours
        How they are spread over it.
    at_weekends
        How many are expected then, of those on a workday; 0 to 1.
    """
    beginnings = np.arange(plan.begin, plan.end, HOUR)
    weight = np.array(hours)[beginnings // HOUR % 24] / sum(hours)
    rows = rng.poisson(per_day * weight * np.where(weekend(beginnings), at_weekends, 1.0))
    times = np.repeat(beginnings, rows) + rng.integers(0, HOUR, rows.sum())
    return np.asarray(times[times < plan.end])


def wandering(rng: np.random.Generator, shape: tuple[int, int], kept: float) -> NDArray[np.float64]:
    """Autoregressions of mean 0 and variance 1, (steps, columns); each row keeps a share of the one before."""
    values = rng.standard_normal(shape)
    values[1:] *= np.sqrt(1 - kept**2)
    for step in range(1, len(values)):
        values[step] += kept * values[step - 1]
    return values
