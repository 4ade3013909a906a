"""What a registry gives up: versions that nobody needs, then the objects that only they needed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from tocsin import observe
from tocsin.errors import ConflictError, NotStored
from tocsin.registry.ledger import Ledger, Retirement
from tocsin.storage import Store

GRACE = timedelta(hours=1)
"""Nothing younger is collected: longer than any add takes from its first object to its version."""


def doomed(ledger: Ledger, keep: int, oldest: datetime | None = None) -> tuple[int, ...]:
    """Versions that no channel needs and that are not among the last `keep`, or were added before `oldest`."""
    numbers = ledger.versions.numbers()
    spent = set(numbers[:-keep])
    if oldest is not None:
        created = {number: ledger.record(number).version.created for number in numbers[-keep:]}
        spent |= {number for number, text in created.items() if datetime.fromisoformat(text) < oldest}
    return tuple(sorted(spent - ledger.retired() - ledger.needed()))


def retire(ledger: Ledger, numbers: Iterable[int], issued: str) -> tuple[int, ...]:
    """Give up versions unless a channel has come to need them; returns those given up.

    The mark comes first and the second look after it, while a promotion points first and then looks for a mark:
    whichever way the two meet, one of them sees the other and the mark goes.
    """
    retired = []
    for number in numbers:
        with suppress(ConflictError):
            ledger.retirements.create(number, Retirement(number, issued))
        if number in ledger.needed():
            ledger.retirements.delete(number)
        else:
            retired.append(number)
    if retired:
        observe.versions_retired(ledger.name, retired)
    return tuple(retired)


def orphans(store: Store, ledgers: Iterable[Ledger], oldest: datetime) -> tuple[str, ...]:
    """Objects that no living version needs and that are older than `oldest`.

    Raises
    ------
    IntegrityError
        If there are old ones and a version cannot be read: it might need anything.
    """
    old = [item for item, time in store.times("objects").items() if time < oldest]
    if not old:
        return ()
    needed = {
        item for ledger in ledgers for number in ledger.living(retired_before=oldest) for item in ledger.objects(number)
    }
    return tuple(item for item in old if item not in needed)


def collect(store: Store, ledgers: Iterable[Ledger], oldest: datetime) -> int:
    """Delete all orphans and return their number; raises as `orphans`, and deletes nothing then."""
    collected = 0
    for item in orphans(store, ledgers, oldest):
        if _older(store, item, oldest):  # still: an add that needs it again has touched it
            store.delete(item)
            collected += 1
    if collected:
        observe.objects_collected(collected)
    return collected


def _older(store: Store, item: str, oldest: datetime) -> bool:
    try:
        return store.modified(item) < oldest
    except NotStored:  # another collector was here
        return False
