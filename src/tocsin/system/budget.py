"""What one training asks of services elsewhere: requests and bytes, before it asks for any of them.

Source: https://firebase.google.com/pricing, Cloud Storage, no-cost usage, as of November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tocsin.sources.base_remote import RemoteSource
from tocsin.storage import elsewhere
from tocsin.system.project import Project
from tocsin.training.period import Period

PUBLISHING, PER_KEPT = 120, 5
"""Requests for a version and a promotion, with the champion read and judged beside it, and more for each version that
is kept, however many there were; a little above what was measured."""
COUNTED = ("object_store", "firebase")
"""Sources of which somebody else counts what is asked."""
FREE_DAILY = {"requests": 50_000, "transfer": 10**9}
"""Firebase Storage: downloads and bytes a day without a bill; uploads 20,000."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A source elsewhere; what is None is not known before it is listed, or no listing tells it."""

    place: str
    kind: str
    service: str
    """`s3`, `gs` or `https`, as its URL begins."""
    pieces: int | None = None
    requests: int | None = None
    transfer: int | None = None
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a training takes at most, and what it is expected to take."""

    readings: tuple[Reading, ...]
    publishing: int
    """Requests to a registry elsewhere."""
    registry: str
    """`s3` or `gs`, as its URL begins; empty for one on this machine."""
    most_requests: int
    most_transfer: int
    listed: bool

    @property
    def requests(self) -> int | None:
        """All of them; None if one is not known."""
        known = [reading.requests for reading in self.readings]
        return None if None in known else sum(filter(None, known)) + self.publishing

    @property
    def transfer(self) -> int | None:
        """Bytes that are read; None if they are not known."""
        known = [reading.transfer for reading in self.readings]
        return None if None in known else sum(filter(None, known))

    @property
    def fits(self) -> bool:
        """Whether the limits allow as much of it as is known."""
        return (self.requests or 0) <= self.most_requests and (self.transfer or 0) <= self.most_transfer

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "readings": self.readings,
            "publishing_requests": self.publishing,
            "requests": self.requests,
            "transfer_bytes": self.transfer,
            "limits": {"requests": self.most_requests, "transfer": self.most_transfer},
            "fits": self.fits,
            "share_of_free": self.shares,
        }

    @property
    def shares(self) -> dict[str, float]:
        """How much of what Firebase Storage gives for nothing a training a day takes, as far as it is known."""
        objects = [item for item in self.readings if item.service == "gs"]
        publishing = self.publishing if self.registry == "gs" else 0
        requests = sum(item.requests or 0 for item in objects) + publishing
        transfer = sum(item.transfer or 0 for item in objects)
        found = {"requests": requests / FREE_DAILY["requests"], "bytes": transfer / FREE_DAILY["transfer"]}
        return {what: share for what, share in found.items() if share}


def budget(project: Project, *, connect: bool) -> Budget:
    """What the next training takes; it is asked for a list of what there is only where that is wished.

    Raises
    ------
    DataError, SourceLost
        If there is nothing to list, or nobody answers.
    LimitExceeded
        If the listing alone is more than the limits allow.
    """
    limits, registry = project.config.limits, project.config.registry
    return Budget(
        tuple(_readings(project, connect=connect)),
        PUBLISHING + PER_KEPT * registry.keep if elsewhere(registry.path) else 0,
        _scheme(registry.path),
        limits.requests,
        limits.transfer,
        connect,
    )


def _readings(project: Project, *, connect: bool) -> Iterator[Reading]:
    config = project.config
    since = Period(config.history.last).since(project.clock())
    for place, spec, oldest in (("source", config.source, since), ("test", config.test, None)):
        url = str(spec.parameters.get("url", "")) if spec and spec.type in COUNTED else ""
        if spec is None or _scheme(url) in ("", "file"):
            continue
        source = project.reader.source(spec, oldest)
        if not connect or not isinstance(source, RemoteSource):
            yield Reading(place, spec.type, _scheme(url))
            continue
        pieces = tuple(source.pieces)
        cost = source.cost(pieces)
        yield Reading(place, spec.type, _scheme(url), len(pieces), cost.requests, cost.transfer)


def _scheme(place: str) -> str:
    """How a URL begins; empty for a path."""
    return place.partition("://")[0] if elsewhere(place) else ""
