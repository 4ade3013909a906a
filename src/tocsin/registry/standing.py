"""How every channel of a name stands: where it points, since when, by whom, how fresh, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.errors import Problem, TocsinError
from tocsin.registry.ledger import ChannelEntry, Ledger


@dataclass(frozen=True, slots=True)
class Standing:
    """A channel at one moment."""

    channel: str
    step: ChannelEntry | None = None
    """The step that counts; None where it cannot be trusted."""
    key: str = ""
    """Id of the key that signed it."""
    stale: bool = False
    """Whether it is past its time: nobody has renewed it, or somebody hides that."""
    problem: Problem | None = None
    """Why it cannot be trusted; the last good model serves meanwhile."""


def standings(ledger: Ledger) -> tuple[Standing, ...]:
    """All channels that are there or were seen here, by name."""
    channels = sorted({*ledger.channels(), *ledger.seen()})
    return tuple(_standing(ledger, channel) for channel in channels)


def _standing(ledger: Ledger, channel: str) -> Standing:
    try:
        signed = ledger.signed_last(channel)
        if signed is None:
            return Standing(channel)
        ledger.follow(signed.document)
    except TocsinError as error:
        return Standing(channel, problem=error.problem)
    return Standing(channel, signed.document, signed.key, ledger.stale(signed.document))
