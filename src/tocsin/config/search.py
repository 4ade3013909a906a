"""What `tocsin tune` searches: places in the config, and the values to try at each."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from tocsin.config.sections import Section

MAX_POINTS = 10_000
"""Of a grid."""
MOST_FOLDS = 20


class Range(Section):
    """Numbers from `low` to `high`, both included; whole ones where both are and `step` is.

    Parameters
    ----------
    low, high
        The ends.
    log
        Small numbers count as much as large ones.
    step
        Only `low`, `low + step` and so on; what a grid needs.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high {self.high:g}, wanted the lower one first")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("wanted log with a low end above 0, and without step")
        if self.step is not None and (self.high - self.low) / self.step > MAX_POINTS:
            raise ValueError(f"wanted at most {MAX_POINTS:,} steps")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 0))

    @property
    def points(self) -> tuple[Any, ...]:
        """All that a grid tries; nothing without a step."""
        if self.step is None:
            return ()
        count = int(np.floor((self.high - self.low) / self.step + 1e-9)) + 1
        return tuple(round(self.low + self.step * index, 12) for index in range(count))


def _values(value: object) -> object:
    """A mapping is a range, a list are choices; a single value leaves nothing to search."""
    if isinstance(value, Range):
        return value
    if isinstance(value, Mapping):
        return Range.model_validate(value)
    if isinstance(value, list | tuple) and len(value) > 1:
        return tuple(value)
    raise ValueError("wanted a list of at least two values, or a range as {low: 64, high: 1024}")


Values = Annotated[Any, BeforeValidator(_values)]


class TuneConfig(Section):
    """The search over parameters: see `docs/tuning.md`.

    Parameters
    ----------
    search
        Place -> values: `detector.trees`, `preparation.clip`, `features.derive[2].windows`, or a whole part as
        `detector`. A list of values, or a range as `{low: 64, high: 1024, log: true}`.
    sampler
        `tpe` tries where it has been good (Bergstra et al., NeurIPS 2011), `grid` every combination. `auto` is a grid
        where there are no more combinations than trials.
    trials
        How many combinations `tpe` tries.
    folds
        How often each is judged, each time on other rows.
    seed
        Of what is drawn.
    """

    search: Mapping[str, Values] = Field(min_length=1)
    sampler: Literal["auto", "tpe", "grid"] = "auto"
    trials: int = Field(default=30, ge=1, le=MAX_POINTS)
    folds: int = Field(default=3, ge=1, le=MOST_FOLDS)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _grid_is_finite(self) -> Self:
        if self.sampler != "grid":
            return self
        if "trials" in self.model_fields_set:
            raise ValueError("trials would have no effect, wanted a grid without; every combination is tried")
        if endless := self._endless:
            raise ValueError(f"wanted a list, or a range with a step, at {endless[0]}: a grid tries every value")
        if self._combinations > MAX_POINTS:
            raise ValueError(f"wanted at most {MAX_POINTS:,} combinations, not {self._combinations:,}")
        return self

    @property
    def every(self) -> bool:
        """Whether every combination is tried."""
        few = not self._endless and self._combinations <= self.trials
        return self.sampler == "grid" or (self.sampler == "auto" and few)

    @property
    def _endless(self) -> list[str]:
        return [place for place, values in self.search.items() if isinstance(values, Range) and not values.step]

    @property
    def _combinations(self) -> int:
        return prod(len(self.points(place)) for place in self.search)

    def points(self, place: str) -> tuple[Any, ...]:
        """The values that are named one by one at a place; of a range without a step its ends."""
        values = self.search[place]
        if isinstance(values, Range):
            return values.points or (values.low, values.high)
        return tuple(values)
