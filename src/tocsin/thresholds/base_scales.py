"""Where the scores of each entity lie, so that one level fits quiet entities and loud ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from sys import float_info
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.arrays import Array, checked
from tocsin.calibration import codes_of
from tocsin.errors import IntegrityError
from tocsin.records import Column, Vector

OWN_ROWS = 500
"""Calibration rows from which an entity, or a group of them, has a scale of its own."""
MOST_SCALES = 20_000
"""Entities and groups that have one, half a megabyte; those with the fewest rows go without."""
SPREAD_SHARE = 0.9
LEAST_SPREAD = 0.02
"""An entity's spread is at least this part of everybody's: one that never moved must not ring at the first stir."""


@dataclass(frozen=True, slots=True, eq=False)
class EntityScales:
    """Middle and spread of the scores of each entity, of each group, and of all.

    The middle is the median of the calibration scores, the spread the way from there to their nine-tenths quantile.
    An entity with too few rows takes the scale of its group; a group with too few, and whoever is new, that of all.
    Entities are known by a digest of their name alone: a model holds no identities.

    Parameters
    ----------
    keys
        Digests of entities and groups, ascending, (m,).
    middle, spread
        (m + 1,), the last of all rows.
    separator
        What stands between the group in an entity's name and the rest: `.` makes 10.0.1 the group of 10.0.1.7.
        Empty: no groups.
    """

    keys: NDArray[np.int64]
    middle: Vector
    spread: Vector
    separator: str = ""

    @classmethod
    def of(cls, scores: Vector, entities: Column | None, separator: str = "") -> Self:
        """The scales of calibration scores (n,), n >= 1, finite, and the entities of their rows, (n,)."""
        middle, spread = _scale(np.sort(scores))
        spread = spread if spread > 0 else 1.0
        found: dict[int, tuple[int, float, float]] = {}
        if entities is not None:
            names = entities.astype(str)
            groups = np.array([_group(name, separator) for name in names.tolist()]) if separator else names[:0]
            for level, rows_of in (("", names), ("group", groups)):
                found |= _scales_of(scores[: len(rows_of)], rows_of, level)
        kept = sorted(sorted(found, key=lambda key: -found[key][0])[:MOST_SCALES])
        if len(found) > len(kept):
            observe.entities_evicted("calibration", len(found) - len(kept))
        middles = np.array([*(found[key][1] for key in kept), middle])
        spreads = np.maximum([*(found[key][2] for key in kept), spread], LEAST_SPREAD * spread)
        return cls(np.array(kept, dtype=np.int64), middles, spreads, separator)

    def apply(self, scores: Vector, entities: Column | None) -> Vector:
        """Scores on one scale, (n,): the distance from the entity's middle in its spread."""
        place = np.full(len(scores), len(self.keys))
        if entities is not None and len(self.keys):
            codes = codes_of(entities, len(scores))
            place = np.array([self._place(str(name)) for name in dict.fromkeys(entities.tolist())], np.intp)[codes]
        return np.asarray((scores - self.middle[place]) / self.spread[place])

    def _place(self, name: str) -> int:
        for key in (_key(name, ""), _key(_group(name, self.separator), "group")):
            place = int(np.searchsorted(self.keys, key))
            if place < len(self.keys) and self.keys[place] == key:
                return place
        return len(self.keys)

    def state(self) -> dict[str, Any]:
        """Arrays by name; `restore` reads them back."""
        return {"scale_keys": self.keys, "scale_middle": self.middle, "scale_spread": self.spread}

    @classmethod
    def restore(cls, state: Mapping[str, Any], separator: str, where: str) -> Self:
        """The scales that `state` wrote.

        Raises
        ------
        IntegrityError
            If the arrays cannot be scales: in order, finite, and no spread of zero.
        """
        wanted = {
            "scale_keys": Array(("keys",), np.int64),
            "scale_middle": Array(("scales",), exact=True),
            "scale_spread": Array(("scales",), least=float_info.min, exact=True),
        }
        arrays = {name: state[name] for name in wanted if name in state}
        keys, middle, spread = checked(arrays, wanted, where).values()
        if len(keys) + 1 != len(middle) or len(keys) > MOST_SCALES or (np.diff(keys) <= 0).any():
            got = f"{len(keys)} keys and {len(middle)} scales"
            raise IntegrityError(f"{where}.scale_keys", got, "ascending keys, and a scale more than keys")
        return cls(keys, middle, spread, separator)


def _scales_of(scores: Vector, names: Column, level: str) -> dict[int, tuple[int, float, float]]:
    """Key -> rows, middle and spread, for all names that have rows enough."""
    if not len(names):
        return {}
    codes = codes_of(names, len(names))
    unique = list(dict.fromkeys(names.tolist()))
    order = np.lexsort((scores, codes))
    parts = np.split(scores[order], np.cumsum(np.bincount(codes))[:-1])
    pairs = zip(unique, parts, strict=True)
    return {_key(name, level): (len(part), *_scale(part)) for name, part in pairs if len(part) >= OWN_ROWS}


def _scale(ascending: Vector) -> tuple[float, float]:
    middle, high = ascending[[len(ascending) // 2, int((len(ascending) - 1) * SPREAD_SHARE)]]
    return float(middle), float(high - middle)


def _group(name: str, separator: str) -> str:
    return name.rpartition(separator)[0] if separator else ""


def _key(name: str, level: str) -> int:
    digest = hashlib.blake2b(f"{level}\x1f{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
