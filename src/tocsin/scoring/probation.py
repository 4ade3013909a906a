"""Which version has just taken over in a service, and which failed there: what a restart must know of a swap."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from tocsin.errors import RegistryError, TocsinError
from tocsin.model.documents import seal, unseal
from tocsin.observe import swapping
from tocsin.records import SECOND
from tocsin.registry import private_files

FILE = "probation.json"
FORMAT = 1
MAX_BYTES = 4_096
MOST_STARTS = 4
"""Of a service within the probation of its model; one that ends so often is taken to end of the model."""


@dataclass(frozen=True, slots=True)
class Probation:
    """A version that is watched, or was and failed.

    Parameters
    ----------
    version, before
        It, and the one that serves again if it fails.
    step
        Of the channel that led to it.
    since
        When it took over, UTC microseconds.
    starts
        How often the service has begun since.
    failed
        The last step that failed: nothing up to it is followed again.
    """

    version: int = 0
    before: int = 0
    step: int = 0
    since: int = 0
    starts: int = 0
    failed: int = 0

    def lasts(self, version: int, now: int, watch_s: float) -> bool:
        """Whether this version is still watched at a time of day."""
        return version == self.version and abs(now - self.since) < watch_s * SECOND

    def lost(self, version: int) -> bool:
        """Whether this version failed, however far it was taken back."""
        return version == self.version and 0 < self.step <= self.failed

    def write(self, folder: Path) -> None:
        """Keep it; raises RegistryError if there is no room."""
        path = folder / FILE
        private_files.replace(path, seal({"format": FORMAT, "probation": asdict(self)}, str(path)))

    @classmethod
    def read(cls, folder: Path) -> Probation:
        """What was kept; nothing if it is damaged: the model is then taken for any other."""
        path = folder / FILE
        try:
            data = private_files.read(path, MAX_BYTES)
            if data is None:
                return cls()
            found = unseal(data, str(path), ("format", "probation"), FORMAT)["probation"]
            return _PROBATION.validate_json(orjson.dumps(found), strict=True)
        except (TocsinError, ValidationError):
            return cls()


_PROBATION = TypeAdapter(Probation)


def version_to_begin_with(folder: Path, version: int, now: int, watch_s: float) -> int:
    """The version that a service ended with, or the one before it if that failed, or ended it time and again.

    A start that cannot be counted, for lack of room, is none.

    Parameters
    ----------
    folder
        Where the probation is kept.
    version
        Of the last checkpoint.
    now
        The time of day, UTC microseconds.
    watch_s
        How long a version is watched.
    """
    probation = Probation.read(folder)
    if probation.lost(version):
        return probation.before
    if not probation.lasts(version, now, watch_s):
        return version
    begun = replace(probation, starts=probation.starts + 1)
    failed = begun.starts >= MOST_STARTS
    with suppress(RegistryError):
        (replace(begun, failed=begun.step) if failed else begun).write(folder)
    if not failed:
        return version
    swapping.model_swapped_back(version, begun.before, f"the service began {begun.starts} times since it serves")
    return begun.before


def blame(folder: Path, version: int, now: int, watch_s: float) -> None:
    """The version can score no row: if it is watched, the service begins with the one before it next time.

    Parameters
    ----------
    folder, version, now, watch_s
        As of `version_to_begin_with`.
    """
    probation = Probation.read(folder)
    if probation.lasts(version, now, watch_s):
        with suppress(RegistryError):
            replace(probation, failed=probation.step).write(folder)
        swapping.model_swapped_back(version, probation.before, "it can score no row")
