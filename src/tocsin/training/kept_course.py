"""Where a long fit stands, kept on disk: a training that is killed goes on from its last round."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.detectors.base_course import Course
from tocsin.kernel import checkpoint
from tocsin.training.history import Progress
from tocsin.training.limits import Limits

_FORMAT = b"tocsin.fit.1\n"
_NAME = "fit"


class KeptCourse(Course):
    """The course of the last fit, in one file of a folder of its own.

    The file holds the fit's name, the arrays and a hash of both. One that is damaged, or of another fit, is as good
    as none; a disk that will not take it ends no training.

    Parameters
    ----------
    folder
        Made with the first round.
    limits
        Looked at before each round.
    progress
        Told how many rounds are done.
    """

    def __init__(self, folder: Path, limits: Limits, progress: Progress) -> None:
        self._file = folder / _NAME
        self._limits = limits
        self._progress = progress

    def reached(self, done: int, rounds: int) -> None:
        """Show the bar; raises LimitExceeded if the training took too much."""
        self._limits.check(f"round {done + 1} of {rounds}")
        self._progress("learning", done, rounds)

    def find(self, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays that a fit of this name kept last."""
        try:
            kept = self._file.read_bytes()
        except OSError:
            return None
        arrays = kept[len(_sealed(name, b"")) :]
        if kept != _sealed(name, arrays):
            return None
        with np.load(io.BytesIO(arrays), allow_pickle=False) as loaded:
            return dict(loaded)

    def keep(self, name: str, standing: dict[str, NDArray[Any]]) -> None:
        """Keep these arrays in place of all others."""
        arrays = io.BytesIO()
        np.savez(arrays, allow_pickle=False, **standing)
        try:
            with checkpoint.replacing(self._file) as file:
                file.write(_sealed(name, arrays.getvalue()))
        except OSError as error:
            observe.fit_not_kept(str(error))


def _sealed(name: str, arrays: bytes) -> bytes:
    """The arrays under their name, with a hash of both in between."""
    head = _FORMAT + name.encode() + b"\n"
    return head + hashlib.sha256(head + arrays).digest() + arrays
