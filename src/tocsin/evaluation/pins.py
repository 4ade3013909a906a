"""Rows that every candidate of a name is tried on: clean ones, and attacks that must always be found.

They are kept as typed rows and not as features, so that a candidate with other features can be judged, and they never
move with the telemetry. Identities in them are `e0`, `e1` …; nothing leads back to a pseudonym.

Source: Kloft and Laskov, Online Anomaly Detection under Adversarial Impact, AISTATS 2010: whoever may shape
training data moves a model as far as they like, unless something that they cannot shape holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.calibration import codes_of, episodes
from tocsin.errors import IntegrityError
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import Bundle
from tocsin.model.profile import Profile, described
from tocsin.records import CLASS, FILE, LABEL, ROW, Batch, Column, Mask, Scores, Vector
from tocsin.schema import Schema, describe
from tocsin.synthetic.injection import Attack, Kind, disturbable, stage
from tocsin.thresholds.base import REACH

MOST_ROWS, MOST_CELLS = 2_000, 200_000
"""Clean rows, and values in them; the attacked copies have as many each."""
ROWS_EACH = 100
"""Of an entity, so that its windows fill."""
MOST_ATTACKS = 96
"""In one copy: where there are few fields, each is attacked in several places."""
TOGETHER = 3
"""Fields of an attack that combines some."""
STRENGTHS = (4.0, 8.0, 16.0)
"""In robust standard deviations; a copy of the clean rows for each."""
FIRM, MARGIN = 0.25, 1.1
"""Part of the budget at which an attack must ring to be pinned, and how far above the usual it must be, in levels."""
ATTACK_ROWS = 5
MOST_REAL, REAL_ROWS, BEFORE = 40, 5, 20
"""Labelled attacks, the rows of each, and the rows of the same entity before them."""
KIND = "tocsin.pins"
_WINDOW, _COPY = "_window", "_copy"
_NUMBERS, _TEXTS = "number.", "text."


@dataclass(frozen=True, slots=True, eq=False)
class Pins:
    """Rows and what is known of them."""

    schema: Schema
    """That the rows are typed by."""
    clean: Batch
    attacked: tuple[Batch, ...]
    """Copies with attacks in them, each in a pass of its own; `_window` is the number of the attack, or -1."""
    attacks: tuple[str, ...]
    """What the golden attacks are, (k,): those that the anchor rings for and would with a quarter of its budget."""
    uncovered: tuple[str, ...]
    """What the anchor misses at the highest strength."""
    anchor: str
    """Digest of the model that they were pinned with."""
    profile: Profile
    """Of what the anchor learnt from: telemetry is held against it however often models follow each other."""
    usual: Vector
    """Scores that the anchor gives to the clean rows, (n,); NaN where a window was not full."""
    alerts: int
    """That the anchor rings on them."""
    in_reach: int = 0
    """That it would with `REACH` times its budget; 0 where that was not counted when they were pinned."""

    def rung(self, flags: Callable[[Batch, Mask], Mask]) -> Mask:
        """Which golden attacks ring, (k,); `flags` says which of the chosen rows of a copy are flagged."""
        rang = np.zeros(len(self.attacks), dtype=bool)
        for copy in self.attacked:
            attacked = copy[_WINDOW] >= 0
            rang[copy[_WINDOW][attacked][flags(copy, attacked)]] = True
        return rang

    def bundle(self) -> Bundle:
        """The pins as JSON values and arrays, without anything that is executed."""
        content: dict[str, Any] = {"kind": KIND, "anchor": self.anchor, "alerts": self.alerts}
        content["in_reach"] = self.in_reach
        content["schema"] = describe(self.schema)
        content |= {"attacks": list(self.attacks), "uncovered": list(self.uncovered)}
        rows = Batch.concatenate([_marked(copy, number) for number, copy in enumerate((self.clean, *self.attacked))])
        arrays: dict[str, NDArray[Any]] = {}
        for name, column in rows.items():
            if column.dtype == object:
                words, codes = np.unique(column.astype(str), return_inverse=True)
                content[_TEXTS + name] = words.tolist()
                arrays[_TEXTS + name] = codes.astype(np.int32)
            else:
                arrays[_NUMBERS + name] = column
        arrays |= {"anchor.usual": self.usual, **self.profile.state()}
        return Bundle(content, arrays, {})

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """What `bundle` gave; raises IntegrityError if it is anything else."""
        content, arrays = bundle.content, bundle.arrays
        if content.get("kind") != KIND:
            raise IntegrityError("pinned rows", f"kind {content.get('kind')!r}", KIND)
        try:
            schema = Schema.model_validate(content["schema"])
            rows = Batch({**bundle.under(_NUMBERS), **dict(_texts(content, arrays))})
            copies = [rows.take(rows[_COPY] == number) for number in range(int(rows[_COPY].max()) + 1)]
            pins = cls(
                schema=schema,
                clean=copies[0],
                attacked=tuple(copies[1:]),
                attacks=tuple(map(str, content["attacks"])),
                uncovered=tuple(map(str, content["uncovered"])),
                alerts=int(content["alerts"]),
                in_reach=int(content.get("in_reach", 0)),
                anchor=str(content["anchor"]),
                profile=Profile.restore(arrays, len(described(schema))),
                usual=arrays["anchor.usual"],
            )
            whole = bool((rows[_WINDOW] < len(pins.attacks)).all()) and len(pins.usual) == pins.clean.rows
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise IntegrityError("pinned rows", f"what does not hold together ({error})", "as written") from error
        if not whole:
            raise IntegrityError("pinned rows", "an attack without a name, or rows without a score", "as written")
        return pins


def pin(model: AnomalyModel, test: Batch) -> Pins:
    """Choose rows from those that a model was judged on, attack copies of them, and keep what the model rings for.

    Parameters
    ----------
    model
        The anchor.
    test
        Typed rows, in time order where there is a clock; those labelled as anomalies are no clean rows.

    Raises
    ------
    DataError
        If no numeric field varies in the clean rows.
    """
    schema = model.design.schema
    normal = test[LABEL] != 1 if LABEL in test else np.ones(test.rows, dtype=bool)
    clean = _plain(test.take(_some(test, schema, np.flatnonzero(normal))), schema)
    planned = list(_planned(disturbable(clean, schema), timed=schema.time is not None))
    planned *= max(1, MOST_ATTACKS // len(planned))
    copies, names = list[Batch](), list[str]()
    for strength in STRENGTHS:
        attacks = [Attack(kind, fields, strength) for kind, fields in planned]
        staged = stage(clean, schema, attacks, ATTACK_ROWS, seed=0)
        copies.append(_windowed(staged.batch, schema, np.where(staged.windows < 0, -1, staged.windows + len(names))))
        names += [f"{attack.kind} of {' and '.join(attack.fields)} by {strength:g} deviations" for attack in attacks]
    hardest = names[-len(planned) :]
    if real := _real(test, schema, len(names)):
        copies.append(real[0])
        names += real[1]
    scores = model.score(clean)
    usual = np.where(scores.state == "warming_up", np.nan, scores.score)
    rang = alerts(model, clean, scores.flagged), alerts(model, clean, in_reach(model, clean, scores))
    tried = Pins(schema, clean, tuple(copies), tuple(names), (), model.digest, model.profile, usual, *rang)
    found = tried.rung(lambda copy, attacked: _firmly(model, copy, attacked, usual))
    numbers = np.append(np.where(found, np.cumsum(found) - 1, -1), -1)  # the last one is that of rows without an attack
    pinned = [name for name, rings in zip(names, found.tolist(), strict=True) if rings]
    return replace(
        tried,
        attacked=tuple(copy.replace({_WINDOW: numbers[copy[_WINDOW]]}) for copy in copies),
        attacks=tuple(pinned),
        uncovered=tuple(name for name in dict.fromkeys(hardest) if name not in pinned),
    )


def judged_at(model: AnomalyModel, rows: Batch, chosen: Mask) -> Scores:
    """Scores of some rows, behind all that went before each; raises SchemaError if they lack what the model reads."""
    matrix, entities = model.features(rows, model.start()), model.entities(rows)
    some = FeatureMatrix(matrix.values[chosen], matrix.marks[chosen])
    return model.judge(some, None if entities is None else entities[chosen])


def _firmly(model: AnomalyModel, rows: Batch, chosen: Mask, usual: Vector) -> Mask:
    """Rows that ring well above the level and a part of the budget: what only just rings, any other training loses."""
    scores, entities = judged_at(model, rows, chosen), model.entities(rows)
    middle = float(np.nanmedian(usual))
    above = scores.score - middle >= MARGIN * (float(model.promise["level"]) - middle)
    ease = model.threshold.ease(scores.score, None if entities is None else entities[chosen])
    return np.asarray(scores.flagged & above & (ease <= FIRM))


def in_reach(model: AnomalyModel, rows: Batch, scores: Scores) -> Mask:
    """Rows that would ring with `REACH` times the budget, (n,)."""
    ease = model.threshold.ease(scores.score, model.entities(rows))
    return np.asarray((scores.state != "warming_up") & (ease <= REACH))


def alerts(model: AnomalyModel, rows: Batch, flagged: Mask) -> int:
    """How often flagged rows ring, (n,): those of one entity that lie close together once."""
    schema = model.design.schema
    if schema.time is None:
        return int(flagged.sum())
    entities = None if schema.entity is None else rows[schema.entity][flagged]
    found = episodes(rows[schema.time][flagged], entities, model.design.budget.cooldown_s)
    return len(np.unique(found))


def _some(test: Batch, schema: Schema, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows of so few entities that each has some, the last ones of them; evenly spread where there is no clock."""
    if schema.entity is not None and len(rows):
        codes = codes_of(test[schema.entity][rows], len(rows))
        counts = np.bincount(codes)
        busy = np.argsort(-counts, kind="stable")[: max(1, int((counts >= ROWS_EACH).sum()))]
        chosen = busy[np.linspace(0, len(busy) - 1, min(len(busy), MOST_ROWS // ROWS_EACH)).astype(np.intp)]
        rows = rows[np.isin(codes, chosen)]
    most = min(MOST_ROWS, MOST_CELLS // len(schema.fields))
    if schema.time is not None:
        return rows[-most:]
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.intp))]


def _planned(fields: Sequence[str], *, timed: bool) -> Iterator[tuple[Kind, tuple[str, ...]]]:
    """Every kind of attack on single fields, on a few together and on all."""
    kinds: tuple[Kind, ...] = ("spike", "ramp", "shift") if timed else ("spike",)
    most = MOST_ATTACKS // len(kinds) // 2
    chosen = [fields[place] for place in np.unique(np.linspace(0, len(fields) - 1, most).astype(np.intp))]
    groups = [(name,) for name in chosen]
    groups += [tuple(chosen[start : start + TOGETHER]) for start in range(0, len(chosen) - 1, TOGETHER)]
    yield from product(kinds, dict.fromkeys([*groups, tuple(chosen)]))


def _real(test: Batch, schema: Schema, first: int) -> tuple[Batch, list[str]] | None:
    """Some labelled attacks of each class behind the rows of their entity that came before, and their names."""
    anomalous = np.asarray(test[LABEL] == 1) if LABEL in test else np.zeros(test.rows, dtype=bool)
    if not anomalous.any():
        return None
    codes = codes_of(test[schema.entity] if schema.entity else None, test.rows)
    order = np.argsort(codes, kind="stable")
    bad, codes = anomalous[order], codes[order]
    begins = np.flatnonzero(bad & ~(np.roll(bad, 1) & (np.roll(codes, 1) == codes)))
    if schema.time is None:
        begins = np.flatnonzero(bad)
    classes = (test[CLASS] if CLASS in test else np.full(test.rows, "anomaly", dtype=object))[order]
    number, taken, names = np.full(test.rows, -1), np.zeros(test.rows, dtype=bool), list[str]()
    for begin in _of_each(begins, classes[begins]):
        end = begin + (1 if schema.time is None else REAL_ROWS)
        rows = np.arange(max(0, begin - BEFORE), min(end, test.rows))
        rows = rows[codes[rows] == codes[begin]]
        taken[rows] = True
        number[rows[(rows >= begin) & bad[rows]]] = first + len(names)
        names.append(f"labelled {classes[begin] or 'anomaly'}")
    kept = np.sort(order[taken])
    numbers = np.empty(test.rows, dtype=np.int64)
    numbers[order] = number
    return _windowed(_plain(test.take(kept), schema), schema, numbers[kept]), names


def _of_each(rows: NDArray[np.intp], classes: Column) -> list[int]:
    """At most `MOST_REAL` rows, as many of each class as there are, evenly spread."""
    names = np.unique(classes.astype(str))[:MOST_REAL]
    each = max(1, MOST_REAL // len(names))
    found = [rows[classes == name] for name in names]
    spread = [some[np.unique(np.linspace(0, len(some) - 1, each).astype(np.intp))] for some in found if len(some)]
    return sorted(np.concatenate(spread).tolist())


def _plain(rows: Batch, schema: Schema) -> Batch:
    """Without labels, files and identities; numbered anew."""
    whose = {name: rows[name] for name in schema.identities}
    known = {
        value: f"e{place}" for place, value in enumerate(dict.fromkeys(np.concatenate([*whose.values(), []]).tolist()))
    }
    named = {
        name: np.array([known[value] for value in column.tolist()], dtype=object) for name, column in whose.items()
    }
    beside = {FILE: np.full(rows.rows, "pinned", dtype=object), ROW: np.arange(1, rows.rows + 1)}
    return Batch({name: rows[name] for name in schema.fields} | named | beside)


def _windowed(rows: Batch, schema: Schema, windows: NDArray[np.intp]) -> Batch:
    kept = {name: rows[name] for name in (*schema.fields, FILE, ROW)}
    return Batch({**kept, _WINDOW: windows.astype(np.int64)})


def _marked(rows: Batch, copy: int) -> Batch:
    """With the number of its copy, and windows where it has none."""
    windows = rows[_WINDOW] if _WINDOW in rows else np.full(rows.rows, -1, dtype=np.int64)
    return rows.replace({_WINDOW: windows, _COPY: np.full(rows.rows, copy, dtype=np.int64)})


def _texts(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, Column]]:
    for name, codes in arrays.items():
        if name.startswith(_TEXTS):
            yield name.removeprefix(_TEXTS), np.array(content[name], dtype=object)[codes]
