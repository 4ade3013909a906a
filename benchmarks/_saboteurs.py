"""Detectors of a package that means no good: each holds an honest one and spoils what it says.

A config names them as `saboteurs/NAME`. `installed` makes the package known to this process and to its children, as
pip would: what is spoilt is the model, never Tocsin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any, Self, cast

import numpy as np

from tocsin.component import PartSpec, Spec, build
from tocsin.detectors.base import Detector, Labels, State
from tocsin.records import Mask, Matrix, Vector

PACKAGE = "saboteurs"
_FAR = 1e4
"""Spreads rows that are alike over a whole period."""


@contextmanager
def installed() -> Iterator[None]:
    """The package `saboteurs` is there, for this process and for those that it starts."""
    before = os.environ.get("PYTHONPATH")
    with TemporaryDirectory() as folder:
        about = Path(folder) / f"{PACKAGE}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n", "utf-8")
        points = [f"{kind.__name__.lower()} = {__name__}:{kind.__name__}" for kind in Spoilt.__subclasses__()]
        (about / "entry_points.txt").write_text("\n".join(["[tocsin.detectors]", *points]) + "\n", "utf-8")
        home = str(Path(__file__).parents[1])
        sys.path.append(folder)
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, home, *([before] if before else [])])
        try:
            yield
        finally:
            sys.path.remove(folder)
            os.environ.pop("PYTHONPATH")
            if before:
                os.environ["PYTHONPATH"] = before


class Spoilt(Detector):
    """An honest detector that learns and explains as ever.

    Parameters
    ----------
    of
        The honest detector.
    strength
        How much of it is spoilt, in the unit of what spoils it.
    """

    def __init__(self, *, of: Spec, strength: float) -> None:
        self._honest = cast("Detector", build("detectors", of, "$.of"))
        self.of = PartSpec(of.type, self._honest.spec().parameters)
        self.strength = strength
        self.steps, self.supervision = self._honest.steps, self._honest.supervision

    def meet(self, names: Sequence[str]) -> None:
        self._honest.meet(names)

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        self._honest.fit(x, y)
        return self

    def score(self, x: Matrix) -> Vector:
        return self._honest.score(x)

    def explain(self, x: Matrix) -> Matrix:
        return self._honest.explain(x)

    def state(self) -> State:
        return self._honest.state()

    @classmethod
    def restore(cls, parameters: Mapping[str, Any], state: State, columns: int) -> Self:
        detector = cls(**parameters)
        detector._honest = type(detector._honest).restore(detector._honest.parameters(), state, columns)
        detector._columns = columns
        return detector

    def hit(self, x: Matrix) -> Mask:
        """A share of the rows, `strength` of all, (n,); always the same ones."""
        wave = np.abs(np.sin(_FAR * x.sum(axis=tuple(range(1, x.ndim)))))
        return np.asarray(wave <= np.sin(self.strength * np.pi / 2))


class Constant(Spoilt):
    """A share of the rows scores the same, whatever they hold."""

    def score(self, x: Matrix) -> Vector:
        return np.where(self.hit(x), 0.0, self._honest.score(x))


class Inverted(Spoilt):
    """A share of the rows scores with the wrong sign."""

    def score(self, x: Matrix) -> Vector:
        honest = self._honest.score(x)
        return np.where(self.hit(x), -honest, honest)


class Misscaled(Spoilt):
    """Every other column is scaled by this factor too much, the rest too little; not while it learns."""

    def score(self, x: Matrix) -> Vector:
        factors = np.where(np.arange(x.shape[-1]) % 2, self.strength, 1.0 / self.strength)
        return self._honest.score(x * factors)


class Slow(Spoilt):
    """Every score takes so many milliseconds more."""

    def score(self, x: Matrix) -> Vector:
        sleep(self.strength / 1e3)
        return self._honest.score(x)


class Oversized(Spoilt):
    """So many megabytes of noise, which nobody needs, are kept beside what was learnt."""

    def state(self) -> State:
        noise = np.random.default_rng(0).integers(0, 256, round(self.strength * 1e6), dtype=np.uint8)
        return {**self._honest.state(), "noise": noise}

    @classmethod
    def restore(cls, parameters: Mapping[str, Any], state: State, columns: int) -> Self:
        return super().restore(parameters, {name: array for name, array in state.items() if name != "noise"}, columns)
