"""Statistics with a long memory and little state: a value counts half as much after each half-life.

Source: Mirsky et al., Kitsune: an ensemble of autoencoders for online network intrusion detection, NDSS 2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import window_text
from tocsin.kernel.decay import MAX_HALF_LIFE_US, DecayStatistic
from tocsin.kernel.program import Operation
from tocsin.records import SECOND
from tocsin.schema import Schema


class Decay(Feature):
    """`<column>_decay_<statistic>_<half life>`, per entity and up to the row itself.

    Take it where a window would need many panes, or its edge would tell: eight numbers per entity and half-life hold
    what happened at several paces at once. The weight is a rate in disguise: it settles at about 1.44 values per
    half-life of steady traffic. The first value after a silence of 64 half-lives begins anew, and of what lies 128
    half-lives back nothing is felt, not in the last digit.

    A missing value stays out, and its row tells the state damped to its time. Late rows count at their entity's
    latest time. A value so far from the mean that its square is no number begins anew, too.

    Parameters
    ----------
    columns
        Numeric fields or columns of earlier features.
    half_lives
        Durations; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    statistics
        `weight`, the damped count; `mean`; `std`, divided by the weight and missing for a single value.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a column is not numeric.
    ValueError
        If there is no statistic, or a half-life is shorter than a microsecond or longer than 285 years.

    Examples
    --------
    >>> Decay(columns=("packets",), half_lives=(10.0,)).names({})
    ('packets_decay_weight_10s', 'packets_decay_mean_10s', 'packets_decay_std_10s')
    """

    def __init__(
        self,
        *,
        columns: tuple[str, ...],
        half_lives: tuple[Duration, ...] = (10.0, 60.0, 600.0),
        statistics: tuple[DecayStatistic, ...] = ("weight", "mean", "std"),
    ) -> None:
        self.columns = columns
        self.half_lives = tuple(seconds(half_life) for half_life in half_lives)
        self.statistics = statistics
        if not statistics:
            raise ValueError("no statistic, wanted weight, mean or std")
        if any(not 1 <= round(half_life * SECOND) <= MAX_HALF_LIFE_US for half_life in self.half_lives):
            raise ValueError("a half-life is shorter than a microsecond or longer than 285 years")

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("bytes", "temperature"), half_lives=(10.0, 300.0))

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(
            name
            for column in self.columns
            for half_life in self.half_lives
            for name in self._names(column, half_life)
        )  # fmt: skip

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        for column in self.columns:
            self.numeric(schema, column)
        return tuple(self._operation(column, half_life) for column in self.columns for half_life in self.half_lives)

    def _operation(self, column: str, half_life: float) -> Operation:
        constants = {"half_life_us": round(half_life * SECOND), "statistics": self.statistics}
        return Operation("decay", (column,), self._names(column, half_life), constants)

    def _names(self, column: str, half_life: float) -> tuple[str, ...]:
        return tuple(f"{column}_decay_{statistic}_{window_text(half_life)}" for statistic in self.statistics)
