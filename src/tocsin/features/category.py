"""Categories as columns of zeros and ones: a frozen vocabulary, or bins of a keyed hash; or as a code.

Source: Weinberger et al., Feature hashing for large scale multitask learning, ICML 2009; RFC 7693 (BLAKE2).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, Self

from tocsin.errors import SchemaError
from tocsin.features.base import Feature, Tables
from tocsin.kernel.encoders import MAX_BINS
from tocsin.kernel.program import Operation
from tocsin.records import Batch, Column
from tocsin.schema import Schema

OTHER = "other"


class Category(Feature):
    """One column per value, `<column>=<value>`, that is 1 where the row has the value and 0 elsewhere.

    A vocabulary is learnt on the training rows and frozen; every value outside it, and a missing one, is
    `<column>=other`. A hash needs no learning and takes any number of values, but several share a column,
    `<column>=bin_<k>`, and a missing value is in none: take it for fields with more values than the limit.

    A code is a single column, `<column>_code`: the place of the value in the vocabulary, or the length of that for
    all others. Codes that lie close together mean nothing alike: they are for detectors that take a column as a
    context, such as `context_residual`, and no measure for any other.

    Parameters
    ----------
    columns
        Fields of dtype category or address.
    how
        `vocabulary`, `hash` or `code`.
    limit
        Values in a vocabulary: the most frequent, among equals the alphabetically first.
    bins
        Columns of a hash.

    Raises
    ------
    SchemaError
        On compile, if a field is no text, or a vocabulary would store identities.
    ValueError
        If `limit` or `bins` is not between 1 and 4096.

    Examples
    --------
    >>> Category(columns=("protocol",)).names({"protocol": ["tcp", "udp"]})
    ('protocol=tcp', 'protocol=udp', 'protocol=other')
    """

    def __init__(
        self,
        *,
        columns: tuple[str, ...],
        how: Literal["vocabulary", "hash", "code"] = "vocabulary",
        limit: int = 64,
        bins: int = 16,
    ) -> None:
        for name, value in (("limit", limit), ("bins", bins)):
            if not 1 <= value <= MAX_BINS:
                raise ValueError(f"{name} is {value}, wanted 1 to {MAX_BINS}")
        self.columns = columns
        self.how = how
        self.limit = limit
        self.bins = bins

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("protocol",), limit=3)

    def learn(self, schema: Schema, batch: Batch) -> dict[str, list[str]]:
        if self.how == "hash":
            return {}
        # A column that is absent is refused by compile, which knows the names there are.
        return {column: self._vocabulary(batch[column]) if column in batch else [] for column in self.columns}

    def _vocabulary(self, column: Column) -> list[str]:
        # A value spelled like the column of unknown values falls into that column.
        counts = Counter(value for value in column.tolist() if value not in ("", OTHER))
        return sorted(counts, key=lambda value: (-counts[value], value))[: self.limit]

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name in self._names(column, tables))

    def _names(self, column: str, tables: Tables) -> tuple[str, ...]:
        if self.how == "hash":
            return tuple(f"{column}=bin_{number}" for number in range(self.bins))
        if self.how == "code":
            return (f"{column}_code",)
        return tuple(f"{column}={value}" for value in (*tables[column], OTHER))

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        for column in self.columns:
            self._check(schema, column)
        return tuple(self._operation(column, tables) for column in self.columns)

    def _operation(self, column: str, tables: Tables) -> Operation:
        names = self._names(column, tables)
        if self.how == "hash":
            return Operation("hash_one_hot", (column,), names, {"bins": self.bins})
        return Operation("code" if self.how == "code" else "one_hot", (column,), names, {"values": tables[column]})

    def _check(self, schema: Schema, column: str) -> None:
        item = schema.field(column, repr(self))
        if item.dtype not in ("category", "address"):
            hint = "numbers enter as columns or through other features" if column in schema.numeric else ""
            raise SchemaError(repr(self), f'field "{column}", a {item.dtype}', "a category or an address", hint)
        if self.how != "hash" and item.identity:
            hint = "a vocabulary is stored in the model, which holds no identities: take `how: hash`"
            raise SchemaError(repr(self), f'a vocabulary of "{column}", an identity', "a field that names nobody", hint)
