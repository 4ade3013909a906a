"""The course of a fit that takes long: who waits is told how far it is, and who was killed goes on where it stood."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


class Course:
    """What a long fit tells, and what it asks for. This one tells nobody and keeps nothing.

    A fit says before each round how far it is, and keeps where it stands after it under a name that all of its rounds
    depend on: rows and parameters. A fit that is killed and begun again finds it, and ends with the bits that it
    would have had.
    """

    def reached(self, done: int, rounds: int) -> None:
        """So many rounds are done of at most so many; may raise to end the fit."""

    def find(self, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays last kept under this name."""
        return None

    def keep(self, name: str, standing: dict[str, NDArray[Any]]) -> None:
        """Keep these arrays, in place of all that was kept before."""
