"""What every detector is: fit, score, explain, and a state made of arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from math import isfinite
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array, checked, rounded
from tocsin.component import Part, snake_case
from tocsin.detectors.base_course import Course
from tocsin.errors import NotFittedError, SchemaError
from tocsin.records import Matrix, Vector

Labels = NDArray[np.int8]
"""1 anomaly, 0 normal, -1 unknown; shape (n,)."""
State = dict[str, NDArray[Any]]


class Supervision(StrEnum):
    """What a detector needs to be told about its training rows."""

    NONE = "none"
    NORMAL_ONLY = "normal_only"
    LABELLED = "labelled"


class Detector(Part):
    """Scores rows of a matrix; higher = more anomalous.

    Subclasses write `fit`, `score`, `explain`, `state` and `arrays`, and `confidence` where several make a score:
    shape, type and NaN checks, the fitted check and `restore` are added here, once, around what they write. A
    detector holds no history, no time and no entity, and scoring never changes it.

    One that looks at more than a row says how many as `steps`. It is then given sequences instead of rows, (n, steps,
    d): each row behind those of its entity that came before it, the oldest first. Whatever is said of a row below
    holds for a sequence.
    """

    supervision: Supervision = Supervision.NONE
    steps: int = 1
    """Rows of an entity that make one score."""
    libraries: tuple[str, ...] = ()
    """Packages that `fit` learns with, besides numpy: a model's notes name their versions."""
    course: Course = Course()
    """Told how far a long `fit` is, and asked where an earlier one was ended."""

    _columns: int = 0
    """Width of the matrix it was fitted on; 0 before."""

    def meet(self, names: Sequence[str]) -> None:
        """Be told the names of the columns before `fit`, (d,), for parameters that name some; opens nothing.

        Raises
        ------
        SchemaError
            If a parameter names a column that is not there.
        """

    @abstractmethod
    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        """Learn from x, (n, d) without NaN; the same rows and parameters give the same bits.

        Raises
        ------
        SchemaError
            If x is not a finite float64 matrix with at least one row and one column.
        DataError
            If nothing can be learnt from these rows.
        """

    @abstractmethod
    def score(self, x: Matrix) -> Vector:
        """How unusual each row of x (n, d) is: (n,) float64, finite. Depends on that row alone."""

    @abstractmethod
    def explain(self, x: Matrix) -> Matrix:
        """Each value's share in each row's score, of the shape of x; higher = pushed the score further up."""

    def confidence(self, x: Matrix) -> Vector | None:
        """How far those agree that make the score of each row of x, (n,) in [0, 1]; None of one that stands alone."""
        return None

    @abstractmethod
    def state(self) -> State:
        """All that was learnt, as arrays; `name` is kept in the attribute `_name`."""

    @abstractmethod
    def arrays(self, columns: int) -> Mapping[str, Array]:
        """What each array of the state is, for a detector that was fitted on so many columns."""

    def adopt(self, arrays: State, columns: int) -> None:
        """Become what these arrays say, each of which is what `arrays` says of it.

        Overridden where arrays must fit each other, too: what could crash, hang or mislead scoring is refused.

        Raises
        ------
        IntegrityError
            Naming the array and what is wrong with it.
        """
        for name, array in arrays.items():
            setattr(self, f"_{name}", array)

    @classmethod
    def restore(cls, parameters: Mapping[str, Any], state: State, columns: int) -> Self:
        """The detector that had these parameters and this state, fitted on `columns` columns."""
        detector = cls(**parameters)
        detector.adopt(checked(state, detector.arrays(columns), snake_case(cls.__name__)), columns)
        detector._columns = columns
        return detector

    def rounded(self) -> Self:
        """The detector whose numbers float32 can hold, so that a bundle keeps them in half the bytes."""
        wanted = self.arrays(self._columns)
        state = {name: rounded(array, wanted[name]) for name, array in self.state().items()}
        return self.restore(self.parameters(), state, self._columns)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("fit", "score", "explain", "confidence"):
            if name in vars(cls):
                check = _checked_fit if name == "fit" else _checked
                setattr(cls, name, check(vars(cls)[name]))


def _checked_fit(fit: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fit)
    def checked(self: Detector, x: Matrix, y: Labels | None = None) -> Detector:
        x = _matrix(self, x)
        if not x.size:
            raise SchemaError(repr(self), f"a matrix of shape {x.shape}", "at least one row and one column")
        if y is not None and len(y) != len(x):
            raise SchemaError(repr(self), f"{len(y)} labels", f"{len(x)}, one per row")
        fit(self, x, y)
        self._columns = x.shape[-1]
        return self

    return checked


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def checked(self: Detector, x: Matrix) -> Any:
        columns = self._columns
        if not columns:
            raise NotFittedError(repr(self), f"{method.__name__} before fit", hint="call fit or restore first")
        x = _matrix(self, x)
        if x.shape[-1] != columns:
            raise SchemaError(repr(self), f"{x.shape[-1]} columns", f"{columns}, as in fit")
        return method(self, x)

    return checked


def _matrix(detector: Detector, x: Matrix) -> Matrix:
    steps = detector.steps
    between = (steps,) if steps > 1 else ()
    fits = isinstance(x, np.ndarray) and x.dtype == np.float64 and x.ndim == 2 + len(between)
    if not fits or x.shape[1:-1] != between:
        got = f"{x.dtype} of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        wanted = f"float64 sequences (rows, {steps}, columns)" if steps > 1 else "a float64 matrix (rows, columns)"
        raise SchemaError(repr(detector), got, wanted)
    # One row at a time is the stream's way: its squared length is quicker to have, and finite if all of it is.
    if not (len(x) == 1 and isfinite(np.vdot(x, x))) and not np.isfinite(x).all():
        place = tuple(np.argwhere(~np.isfinite(x))[0].tolist())
        raise SchemaError(
            repr(detector),
            f"{x[place]} in row {place[0]}, column {place[-1]}",
            "finite values",
            "missing values are imputed by the model's preparation, before the detector",
        )
    return x
