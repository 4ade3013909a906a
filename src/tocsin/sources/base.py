"""What every source is, and the one way from a source into Tocsin."""

from __future__ import annotations

import gzip
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import IO, ClassVar

from tocsin.component import Part
from tocsin.errors import DataError
from tocsin.records import Batch, Position


class Source(Part):
    """Reads telemetry in batches. Life: `open`, then `read` and `acknowledge` in turns, then `close`."""

    replayable: ClassVar[bool] = True
    """Whether a position can be read again later; if not, accepted input is journalled."""

    @abstractmethod
    def open(self, resume: Position | None = None) -> None:
        """Make ready to read, from the start or from a position that `acknowledge` returned.

        Raises
        ------
        DataError
            If there is nothing to read at all (no file matches).
        SourceLost
            If a server does not answer.
        """

    @abstractmethod
    def read(self, timeout_s: float) -> Batch | None:
        """The next rows as the source has them, with `_file` and `_row`; None if none came in time or it ended.

        What could not become a row travels as `batch.rejected`: one broken row or file never stops the others.
        """

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether nothing more will ever come."""

    @abstractmethod
    def acknowledge(self, batch: Batch) -> Position:
        """This batch, the last one read, is safe; reading may resume behind it."""

    def close(self) -> None:  # noqa: B027  # many sources have nothing to release
        """Release what `open` took; may be called twice."""
