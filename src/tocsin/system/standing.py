"""How a service stands, as its journal and its checkpoint tell, whether it runs or not; nothing is held up by that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tocsin.database import in_use
from tocsin.journal.stored import FILE, Stored
from tocsin.records import SECOND
from tocsin.scoring.stream import CHECKPOINT
from tocsin.system.project import Project


@dataclass(frozen=True, slots=True)
class ServiceStanding:
    """What an operator wants to know of a service."""

    running: bool
    committed: str | None
    """When the last step was committed, ISO 8601, UTC; None before the first."""
    rows: Mapping[str, Any]
    """What became of all that was received, see `tocsin.sources.base.Tally`."""
    position: Mapping[str, int]
    """How far the source was read."""
    model: str
    """Digest of the model that scored the last rows."""
    deliveries: Mapping[str, Mapping[str, int]]
    """By sink how many alerts are `waiting`, `delivered` and `given_up`."""
    quiet: Mapping[str, int]
    """Alerts that are kept and not delivered, by why."""
    letters: Mapping[str, int]
    """Refused rows that are kept, by reason."""
    checkpoint: str | None
    """When it was written, ISO 8601, UTC."""
    bytes: int
    """Of journal and checkpoint."""


def standing(project: Project) -> ServiceStanding | None:
    """How the service of a config stands; None if it was never started.

    Raises
    ------
    TocsinError
        If the journal cannot be read, or is damaged.
    """
    folder = project.config.resolve(project.config.stream.journal)
    journal, checkpoint = folder / FILE, folder / CHECKPOINT
    if not journal.exists():
        return None
    stored = Stored.beside(folder)
    progress = stored.progress()
    files = [path for path in (journal, folder / f"{FILE}-wal", checkpoint) if path.exists()]
    return ServiceStanding(
        running=in_use(journal),
        committed=_iso(progress.committed / SECOND) if progress.committed else None,
        rows=progress.tally,
        position=progress.position.offsets if progress.position else {},
        model=progress.model,
        deliveries=stored.deliveries(),
        quiet=stored.quiet(),
        letters=stored.letters_by_reason(),
        checkpoint=_iso(checkpoint.stat().st_mtime) if checkpoint.exists() else None,
        bytes=sum(path.stat().st_size for path in files),
    )


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
