"""What a registry gives up: versions that nobody needs, then the objects that only they needed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from tocsin.errors import ConflictError, NotStored
from tocsin.registry.ledger import Ledger, Retirement
from tocsin.storage import Store

GRACE = timedelta(hours=1)
"""Nothing younger is collected: longer than any add takes from its first object to its version."""


def retire(ledger: Ledger, keep: int, issued: str) -> None:
    """Give up the versions that are neither among the last nor needed by a channel.

    The mark comes first and the second look after it, while a promotion points first and then looks for a mark:
    whichever way the two meet, one of them sees the other and the mark goes.
    """
    for number in sorted(set(ledger.versions.numbers()[:-keep]) - ledger.retired() - ledger.needed()):
        with suppress(ConflictError):
            ledger.retirements.create(number, Retirement(number, issued))
        if number in ledger.needed():
            ledger.retirements.delete(number)


def collect_garbage(store: Store, ledgers: Iterable[Ledger], oldest: datetime) -> int:
    """Delete objects that no living version needs and that are older than `oldest`; returns their number.

    Raises
    ------
    IntegrityError
        If a version cannot be read; nothing is deleted then, for it might need anything.
    """
    needed = {
        item.name
        for ledger in ledgers
        for number in ledger.living(retired_before=oldest)
        for item in ledger.record(number).objects.values()
    }
    collected = 0
    for item in store.list("objects"):
        with suppress(NotStored):  # another collector was here
            if item not in needed and store.modified(item) < oldest:
                store.delete(item)
                collected += 1
    return collected
