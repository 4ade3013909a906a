"""The last document of a shelf, held against what this machine has seen of it."""

from __future__ import annotations

from typing import Any, TypeVar

from tocsin import observe
from tocsin.errors import IntegrityError
from tocsin.model.documents import Shelf, Signed
from tocsin.registry.seen import Seen
from tocsin.registry.trust import Trust

_Document = TypeVar("_Document")

_HINT = "somebody put an older or another state in its place; if it was you, `tocsin keys trust` accepts it"


class Watch:
    """What was seen before a look at the store, which can only be further by then.

    Parameters
    ----------
    trust
        Remembers.
    name
        Of the models.
    """

    def __init__(self, trust: Trust, name: str) -> None:
        self._trust = trust
        self._name = name
        pin = trust.memory.recall()
        before = f"{name}/"
        found = pin.channels.items() if pin else ()
        self.seen = {key.removeprefix(before): seen for key, seen in found if key.startswith(before)}
        """The last documents that were accepted here, by shelf."""

    def last(self, shelf: Shelf[_Document], what: str) -> Signed[_Document] | None:
        """The last document of a shelf, which is remembered from now on; None if there is none.

        Raises
        ------
        IntegrityError
            If it was not written by those who may, or is not what was seen here or a later one.
        """
        seen, numbers = self.seen.get(what), shelf.numbers()
        if numbers != list(range(1, len(numbers) + 1)):
            raise self.refusal(what, "gap", f"steps {str(numbers[-5:])[1:-1]}", "every number from 1 to the last")
        if seen and len(numbers) < seen.number:
            wanted = f"step {seen.number}, which was seen here"
            raise self.refusal(what, "rolled_back", f"step {len(numbers)} as the last", wanted)
        if not numbers:
            return None
        signed = shelf.signed(numbers[-1])
        if seen and (signed if seen.number == len(numbers) else shelf.signed(seen.number)).digest != seen.digest:
            raise self.refusal(what, "equivocation", f"another step {seen.number}", "the one that was seen here")
        if seen is None or seen.number < len(numbers):
            self.remember(what, len(numbers), signed.document, signed.digest)
        return signed

    def remember(self, what: str, number: int, document: Any, digest: str) -> None:
        """Accept nothing before this document from now on."""
        seen = Seen(number, digest, document.issued)
        kind = what.rpartition("/")[0]
        among = f"{self._name}/{kind}/" if kind else ""
        self._trust.memory.remember(self._trust.roots.last.registry, f"{self._name}/{what}", seen, among)

    def refusal(self, what: str, reason: str, got: str, wanted: str) -> IntegrityError:
        """What to raise, once it was said and counted."""
        observe.channel_refused(self._name, what, reason)
        return IntegrityError(f"{self._name} {what}", got, wanted, _HINT)
