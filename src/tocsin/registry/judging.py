"""Who judged a version, what they found, and whether that lets it go live."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tocsin.errors import GateRefused, IntegrityError, LimitExceeded
from tocsin.model.documents import Signed
from tocsin.records import Verdict
from tocsin.registry.keys import Role, key_id
from tocsin.registry.ledger import CANDIDATE, MAX_NOTE, Assessment, Ledger, Record
from tocsin.registry.root import Roots


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict on a version and who signed it."""

    verdict: Verdict
    issued: str
    """ISO 8601, UTC."""
    role: Role | None
    """`train` for the verdict that a version was added with."""
    key: str
    """Id of the key that signed it."""


def judgements(ledger: Ledger, roots: Roots, record: Signed[Record]) -> tuple[Judged, ...]:
    """All verdicts on a version, the one that it was added with first; raises IntegrityError if one is of another."""
    return collected(roots, record, ledger.assessments(record.document.version.version))


def collected(roots: Roots, record: Signed[Record], later: Iterable[Signed[Assessment]]) -> tuple[Judged, ...]:
    """The verdict that a version was added with, and those that came later; raises as `judgements` does."""
    version = record.document.version
    found = [Judged(record.document.verdict, version.created, roots.role_of(record.key), record.key)]
    for signed in later:
        if signed.document.manifest != version.manifest:
            where = f"{version.name} version {version.version}"
            raise IntegrityError(where, "a verdict on another model", "one on this version")
        found.append(Judged(signed.document.verdict, signed.document.issued, roots.role_of(signed.key), signed.key))
    return tuple(found)


def decisive(judged: Sequence[Judged]) -> Judged:
    """The verdict that counts: the last one by a channel key, or the last one while there is none."""
    return ([item for item in judged if item.role == "channel"] or judged)[-1]


def expect_permission(ledger: Ledger, roots: Roots, record: Signed[Record], approval: str | None) -> None:
    """Let a version go live or raise.

    Raises
    ------
    GateRefused
        If its verdict failed, if a soft bound was missed and nobody approved that, or if it is signed by a key that
        was replaced since and neither a channel nor a gate with the channel key has ever vouched for it.
    LimitExceeded
        If the approval is too long.
    """
    version = record.document.version
    where = f"{ledger.name} version {version.version}"
    judged = judgements(ledger, roots, record)
    verdict = decisive(judged).verdict
    missed = [item for item in verdict.judgements if item.asked and not item.passed]
    named = "; ".join(f"{item.target} {item.wanted}, got {item.got}" for item in missed)
    if not verdict.passed:
        hint = f"the verdict stays with the version: train again, or `tocsin gate {version.version}` judges it anew"
        raise GateRefused(where, f"a verdict that failed: {named}", "one that passed", hint)
    if approval is not None and len(approval) > MAX_NOTE:
        raise LimitExceeded(f"{where} approval", f"{len(approval)} characters", f"at most {MAX_NOTE}")
    if not approval and any(item.soft for item in missed):
        hint = 'look at it, then say why it may go live: `tocsin models promote VERSION --approve "..."`'
        raise GateRefused(where, f"a soft bound that was missed: {named}", "an approval", hint)
    if record.key in map(key_id, roots.last.roles["train"]) or any(item.role == "channel" for item in judged):
        return
    served = (step.manifest for channel in ledger.channels() if channel != CANDIDATE for step in ledger.steps(channel))
    if version.manifest not in served:
        got = f"a version signed by {record.key}, a key that was replaced since"
        raise GateRefused(where, got, "one that a gate vouches for", f"`tocsin gate {version.version}`, then promote")


def writable(verdict: Verdict) -> Verdict:
    """The verdict with figures that JSON cannot hold as words."""
    unwritable = [isinstance(item.got, float) and not math.isfinite(item.got) for item in verdict.judgements]
    judgements = (
        replace(item, got=str(item.got)) if odd else item
        for item, odd in zip(verdict.judgements, unwritable, strict=True)
    )
    return replace(verdict, judgements=tuple(judgements))
