"""Rows that were seen before: the last keys of an entity, so that a repeat never enters its windows."""

from __future__ import annotations

from tocsin.kernel.frame import Action, Frame

REMEMBERED = 64
"""Keys of an entity that are remembered: a repeat comes soon after its first, when a sender was not answered."""


class Repeats(Action):
    """Fingerprints of an entity's last keys, in a ring; a row whose key is missing repeats nothing.

    Parameters
    ----------
    source
        Register of the key's fingerprint.
    """

    def __init__(self, source: int) -> None:
        super().__init__(source, 0)
        self.words = 1 + REMEMBERED
        self.found = False

    def step(self, frame: Frame) -> None:
        """Tell in `found` whether the row's key is among the last, and remember it if not."""
        at = frame.base + self.at
        key = frame.registers[self.source]
        self.found = False
        if key != key:  # noqa: PLR0124  # only NaN differs from itself
            return
        for place in range(at + 1, at + self.words):
            if frame.floats[place] == key:
                self.found = True
                return
        count = frame.whole[at]
        frame.floats[at + 1 + count % (self.words - 1)] = key
        frame.whole[at] = count + 1
