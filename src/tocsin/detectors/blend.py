"""Several detectors as one: each says how rare a row is among normal ones, and what they say is combined.

Source: Fisher, Statistical Methods for Research Workers, 1932 (`fisher`); Vovk and Wang, E-values: Calibration,
combination and applications, The Annals of Statistics 49(3), 2021 (`bayesian`: the mixture of all power calibrators).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal, Self, cast

import numpy as np

from tocsin import observe
from tocsin.arrays import Array, checked
from tocsin.component import PartSpec, Spec, build
from tocsin.detectors.base import Detector, Labels, State, Supervision
from tocsin.detectors.base_blocks import held_out
from tocsin.detectors.base_surprise import Surprise
from tocsin.errors import DataError, IntegrityError
from tocsin.records import Matrix, Vector

MAX_MEMBERS = 16
OF = (PartSpec("isolation_forest"), PartSpec("denoising_reconstruction"), PartSpec("nearest_neighbours"))
# Below it a Bayes factor is taken from its series, since its closed form comes to 0 / 0 there.
_SMALL = 0.01
_ROUNDING = 1e-9


class Blend(Detector):
    """Score a row by what several detectors make of it.

    Takes telemetry whose anomalies are of several kinds: each member finds those that the others are blind to. With
    labels, a supervised member beside unsupervised ones finds incidents that come again and does not call new ones
    normal.

    Members are fitted on three quarters of the training rows, in blocks. The quarter held out says how high each
    scores normal rows that it has not learnt from: by that every score becomes a p-value, and p-values compare where
    scores do not. They are not learnt on the calibration rows, since a level that is set there for the blend has to
    see it as it will be on any other row. Members that need no labels learn from rows that are not known to be
    anomalies. One that needs labels of both kinds, where there are not, is left out with a warning, and the others
    share its weight.

    Parameters
    ----------
    of
        The members: detectors with their parameters, 1 to 16, none of them a blend.
    method
        `weighted_average` of -log p; `max`, which rings if a single member does; `bayesian`, the product of the
        members' Bayes factors, which lies between the two; `fisher`, -log p of the members together, as if they were
        independent: an unweighted average in the unit of a p-value.
    weights
        How much each member counts in `weighted_average` and `bayesian`, greater than 0. `auto` takes them from the
        labels of the rows held out: by how much a member's average precision there is above that of chance. Without
        labels of both kinds all members count alike.

    Raises
    ------
    ConfigError
        If a member is unknown or its parameters do not fit.
    DataError
        On fit, if every member has to be left out.
    ValueError
        If there are no members, too many, a blend among them, or not one weight for each.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(1_000, 2))
    >>> blend = Blend(of=(PartSpec("isolation_forest"), PartSpec("robust_zscore"))).fit(rows)
    >>> usual, unusual = blend.score(np.array([[0.0, 0.0], [0.0, 9.0]]))
    >>> bool(unusual > 10 * usual)
    True
    >>> bool(blend.confidence(np.array([[0.0, 9.0]]))[0] > 0.9)
    True
    """

    _surprises: list[Surprise | None]
    """What each member's scores say; None for one that was left out."""
    _weights: Vector
    """(members,), together 1; 0 for a member that was left out."""

    def __init__(
        self,
        *,
        of: tuple[Spec, ...] = OF,
        method: Literal["weighted_average", "max", "bayesian", "fisher"] = "weighted_average",
        weights: Literal["auto"] | tuple[float, ...] = "auto",
    ) -> None:
        if not 1 <= len(of) <= MAX_MEMBERS:
            raise ValueError(f"of names {len(of)} members, wanted 1 to {MAX_MEMBERS}")
        if any(spec.type == "blend" for spec in of):
            raise ValueError("of names a blend, wanted detectors that are none")
        if weights != "auto" and (len(weights) != len(of) or not all(isfinite(w) and w > 0 for w in weights)):
            raise ValueError(f"weights are {weights}, wanted auto or {len(of)} numbers greater than 0")
        self._members = [cast("Detector", build("detectors", spec, f"$.of[{at}]")) for at, spec in enumerate(of)]
        # With all parameters, so that a stored blend stays what it is when a default changes.
        self.of = tuple(PartSpec(spec.type, m.spec().parameters) for spec, m in zip(of, self._members, strict=True))
        self.method = method
        self.weights = weights
        self.libraries = tuple(dict.fromkeys(name for member in self._members for name in member.libraries))
        self.steps = max(member.steps for member in self._members)
        asked = {member.supervision for member in self._members}
        ranked = (Supervision.LABELLED, Supervision.NORMAL_ONLY, Supervision.NONE)
        self.supervision = next(supervision for supervision in ranked if supervision in asked)

    def meet(self, names: Sequence[str]) -> None:
        for member in self._members:
            member.meet(names)

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        y = np.full(len(x), -1, dtype=np.int8) if y is None else y
        held, usual = held_out(y), y != 1
        if not (held & usual).any():  # too few rows to hold any out: they judge what was learnt from them
            held = np.zeros_like(held)
        learns = [self._learns(member, y[~held]) for member in self._members]
        if not usual.any() or not any(learns):
            got = f"{np.count_nonzero(usual)} rows that are no anomalies, {np.count_nonzero(~usual)} that are"
            raise DataError(repr(self), got, "rows and labels that a member can learn from")
        judged = held if held.any() else usual
        found: list[Vector | None] = []
        for member, able in zip(self._members, learns, strict=True):
            member.course = self.course
            rows = ~held & (usual | (member.supervision is Supervision.LABELLED))
            fitted = member.fit(self._seen(member, x[rows]), y[rows]) if able else None
            found.append(fitted.score(self._seen(member, x[judged])) if fitted else None)
        self._surprises = [None if scores is None else Surprise.of(scores[usual[judged]]) for scores in found]
        self._weights = self._weighted(found, y[judged])
        return self

    def score(self, x: Matrix) -> Vector:
        """What the members say together, (n,), by `method`; higher = less like any normal row."""
        surprises = self._surprised(x)
        if self.method == "max":
            return np.asarray(surprises.max(axis=0))
        if self.method == "fisher":
            return _fisher(surprises)
        if self.method == "bayesian":
            return np.asarray(len(surprises) * (self._present * _log_bayes_factor(surprises)).sum(axis=0))
        return np.asarray((self._present * surprises).sum(axis=0))

    def explain(self, x: Matrix) -> Matrix:
        """What each value adds to -log p: each member's own shares, made to add up to its part, of the shape of x.

        A member's part is its weighted -log p (`max`: that of the most surprised member alone), so that shares add up
        to the score of `weighted_average` and of `max`, wherever each member names a reason.
        """
        surprises, shares = self._surprised(x), np.zeros(x.shape)
        told = self._present * surprises
        if self.method == "max":
            told = np.where(np.arange(len(surprises))[:, None] == surprises.argmax(axis=0), surprises, 0.0)
        elif self.method == "fisher":
            told = surprises / len(surprises)
        for member, part in zip(self._heard, told, strict=True):
            theirs = np.maximum(member.explain(self._seen(member, x)), 0.0)
            each = tuple(range(1, theirs.ndim))
            largest = theirs.max(axis=each, keepdims=True)  # a sum of the largest numbers would overflow
            theirs /= np.where(largest > 0, largest, 1.0)
            total = theirs.sum(axis=each, keepdims=True)
            theirs *= part.reshape(total.shape) / np.where(total > 0, total, 1.0)
            self._seen(member, shares)[...] += theirs
        return shares

    def confidence(self, x: Matrix) -> Vector | None:
        """The part of the members, by weight, that finds a row as rare as the most surprised of them does, (n,).

        1: all of them. No more than the weight of one: the others find the row most usual. What is compared is -log p,
        since p itself is close to 0 for whatever rings. Beyond the rarest row held out, where nobody has counted, more
        surprise is no disagreement. A blend of which a single member is heard has nobody to agree with.
        """
        if len(self._heard) == 1:
            return None
        highest = np.array([learnt.surprises[-1] for learnt in self._learnt])
        counted = np.minimum(self._surprised(x), highest[:, None])
        most = counted.max(axis=0)
        agreeing = (self._present * counted).sum(axis=0) / np.where(most > 0, most, 1.0)
        return np.where(most > 0, np.minimum(agreeing, 1.0), 1.0)

    def state(self) -> State:
        arrays = {"weights": self._weights}
        for at in np.flatnonzero(self._weights):
            learnt = cast("Surprise", self._surprises[at]).state()
            arrays |= {f"{at}.{name}": array for name, array in self._members[at].state().items()}
            arrays |= {f"{at}.surprise.{name}": array for name, array in learnt.items()}
        return arrays

    def arrays(self, columns: int) -> Mapping[str, Array]:
        """Its own; those of the members are what each of them says."""
        return {"weights": Array((len(self._members),), least=0, most=1)}

    @classmethod
    def restore(cls, parameters: Mapping[str, Any], state: State, columns: int) -> Self:
        blend = cls(**parameters)
        own = {name: array for name, array in state.items() if "." not in name}
        weights = checked(own, blend.arrays(columns), "blend")["weights"]
        if abs(weights.sum() - 1.0) > _ROUNDING:
            raise IntegrityError("blend.weights", repr(weights)[:80], "weights that are 1 together")
        heard = {str(at) for at in np.flatnonzero(weights)}
        if strangers := {name.partition(".")[0] for name in state} - heard - own.keys():
            raise IntegrityError(
                f"blend.{min(strangers)[:80]}", "arrays of no member that is heard", "its members' own"
            )
        blend._weights, blend._surprises, blend._columns = weights, [None] * len(weights), columns
        for at in np.flatnonzero(weights):
            own, learnt = _under(state, f"{at}."), _under(state, f"{at}.surprise.")
            member = blend._members[at]
            kept = {name: array for name, array in own.items() if not name.startswith("surprise.")}
            blend._members[at] = type(member).restore(member.parameters(), kept, columns)
            blend._surprises[at] = Surprise.restore(learnt, f"blend.{at}.surprise")
        return blend

    def rounded(self) -> Self:
        state = self.state()
        for at in np.flatnonzero(self._weights):
            state |= {f"{at}.{name}": array for name, array in self._members[at].rounded().state().items()}
        return self.restore(self.parameters(), state, self._columns)

    @property
    def _heard(self) -> list[Detector]:
        return [self._members[at] for at in np.flatnonzero(self._weights)]

    @property
    def _learnt(self) -> list[Surprise]:
        return [cast("Surprise", self._surprises[at]) for at in np.flatnonzero(self._weights)]

    @property
    def _present(self) -> Matrix:
        """The weights of those that are heard, (members, 1)."""
        return self._weights[self._weights > 0, None]

    def _seen(self, member: Detector, x: Matrix) -> Matrix:
        """Of rows or sequences what a member looks at: the last of its steps."""
        if member.steps == self.steps:
            return x
        return x[:, -1] if member.steps == 1 else x[:, -member.steps :]

    def _learns(self, member: Detector, y: Labels) -> bool:
        able = member.supervision is not Supervision.LABELLED or {0, 1} <= set(np.unique(y).tolist())
        if not able:
            observe.member_left_out(repr(member), "its training rows do not hold both labels")
        return able

    def _weighted(self, found: Sequence[Vector | None], y: Labels) -> Vector:
        """The weight of each member, (members,), by what they found on rows of y that none has learnt from."""
        heard = np.array([scores is not None for scores in found])
        weights = np.where(heard, 1.0 if self.weights == "auto" else self.weights, 0.0)
        if self.weights == "auto" and {0, 1} <= set(np.unique(y).tolist()):
            known = y >= 0
            chance = np.mean(y[known])
            gains = np.array([0.0 if s is None else _average_precision(s[known], y[known]) - chance for s in found])
            weights = np.maximum(gains, 0.0) if (gains > 0).any() else weights
        return np.asarray(weights / weights.sum())

    def _surprised(self, x: Matrix) -> Matrix:
        """-log p of each member that is heard, (members, n)."""
        pairs = zip(self._heard, self._learnt, strict=True)
        return np.stack([learnt(member.score(self._seen(member, x))) for member, learnt in pairs])


def _fisher(surprises: Matrix) -> Vector:
    """-log of the survival function of chi-squared with two degrees of freedom a member, at twice the sum, (n,)."""
    total = surprises.sum(axis=0)
    terms, term = np.ones_like(total), np.ones_like(total)
    for degree in range(1, len(surprises)):
        term = term * total / degree
        terms += term
    return np.asarray(total - np.log(terms))


def _log_bayes_factor(surprises: Matrix) -> Matrix:
    """Log of (1 - p + p log p) / (p log^2 p), the mean of k p^(k - 1) over k in (0, 1): finite for every p above 0."""
    t = np.maximum(surprises, _SMALL)
    exact = (1.0 - (1.0 + t) * np.exp(-t)) / (t * t)
    t = np.minimum(surprises, _SMALL)
    series = 0.5 - t / 3.0 + t * t / 8.0 - t * t * t / 30.0
    return np.asarray(surprises + np.log(np.where(surprises < _SMALL, series, exact)))


def _average_precision(scores: Vector, y: Labels) -> float:
    """Mean precision at each anomaly, those of one score taken together."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(y[order], dtype=np.int64)[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1.0)).sum() / hits[-1])


def _under(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
