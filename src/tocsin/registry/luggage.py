"""What goes with a name besides its versions: one of them in a form to carry, and what other systems knew of theirs.

A package is a slice of its registry, under the same names: the roots, the document of one version, what gates said of
it, and its objects. It is read as any registry is: every byte stands under a hash, every document under a signature.

An heirloom is what another system wrote down of a model of its own. It is a document like others, signed by the train
key, and never a model: nothing of it can be loaded, judged or promoted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from tocsin.errors import LimitExceeded
from tocsin.model.bundle import LIMITS
from tocsin.model.documents import MAX_DOCUMENT_BYTES, timestamp
from tocsin.registry.ledger import Heirloom, Ledger
from tocsin.registry.objects import MAX_REPORT_BYTES, REPORT
from tocsin.registry.trust import MARKER, Trust
from tocsin.storage import Store

MAX_HEIRLOOMS = 1_000
_LIMITS = {**LIMITS, REPORT: MAX_REPORT_BYTES}


class Luggage:
    """Of one name.

    Parameters
    ----------
    store, ledger
        Where, and what is written about the models of the name.
    trust
        Whose documents count.
    """

    def __init__(self, store: Store, ledger: Ledger, trust: Trust) -> None:
        self._store = store
        self._ledger = ledger
        self._trust = trust

    def package(self, version: int) -> dict[str, bytes]:
        """All of one version by its names on the store.

        Raises
        ------
        NotStored
            If there is no such version.
        IntegrityError
            If any byte of it is not what was added.
        """
        self._trust.open()
        record, judgements = self._ledger.record(version), self._ledger.judgements(version)
        roots = (f"root/{number:06d}.json" for number in range(1, len(self._trust.roots.chain) + 1))
        judged = judgements.numbers()
        documents = [MARKER, *roots, self._ledger.versions.name(version), *map(judgements.name, judged)]
        objects = {item.name: min(item.size, _LIMITS[file]) for file, item in record.objects.items()}
        objects |= {item.name: item.size for item in (judgements.read(number).report for number in judged)}
        return {
            **{name: self._store.get(name, MAX_DOCUMENT_BYTES) for name in documents},
            **{name: self._store.get(name, limit) for name, limit in objects.items()},
        }

    def heirlooms(self) -> tuple[Heirloom, ...]:
        """What other systems wrote down, the first one first; none where there is no registry yet."""
        self._trust.open()
        return self._ledger.inherited()

    def keep(self, heirlooms: Iterable[Heirloom]) -> tuple[Heirloom, ...]:
        """Write down those that are not yet; returns them.

        Raises
        ------
        RegistryError
            If no train key is here.
        LimitExceeded
            If they are too many.
        """
        self._trust.begin()
        there = self.heirlooms()
        known = {item.identity for item in there}
        new = {item.identity: item for item in heirlooms if item.identity not in known}
        if len(there) + len(new) > MAX_HEIRLOOMS:
            raise LimitExceeded(self._ledger.heirlooms.folder, f"{len(there) + len(new)}", f"at most {MAX_HEIRLOOMS}")
        now = timestamp(self._trust.clock())
        for item in new.values():
            self._ledger.heirlooms.append(partial(_taken_in, item, now))
        self._ledger.inherited()  # and fewer count no more here
        return tuple(new.values())


def _taken_in(item: Heirloom, now: str, _number: int) -> Heirloom:
    return replace(item, issued=now)
