"""How often somebody may ask: a bucket of tokens for each, which fills at an even rate.

Source: Turner, New Directions in Communications, IEEE Communications Magazine 1986 (the leaky bucket as a meter).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MOST_KNOWN = 10_000
"""Askers remembered at once; of more, whoever asked longest ago begins with a full bucket again."""


class Rates:
    """A bucket per asker.

    Parameters
    ----------
    per_second
        Tokens that a bucket gains.
    burst
        Tokens that it holds.
    elapsed
        Seconds that only grow.
    """

    def __init__(self, per_second: float, burst: float, elapsed: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._elapsed = elapsed
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, asker: str, tokens: float = 1.0) -> float:
        """Take tokens; seconds until there will be enough, 0 if there were.

        Whoever asks for more than a bucket holds gets it from a full one, and pays with the time after it.
        """
        now = self._elapsed()
        held, since = self._buckets.pop(asker, (self._burst, now))
        held = min(self._burst, held + (now - since) * self._per_second)
        wanted = min(tokens, self._burst)
        enough = held >= wanted
        self._buckets[asker] = (held - tokens if enough else held, now)
        if len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (wanted - held) / self._per_second
