"""From one poll of a device to the next: how long its agent has been up, and totals of counters that come and go.

The rate of a total is told by the feature `rate`, which takes a total that falls, or an uptime that falls, for a new
beginning. What cannot be known must therefore make one of them fall: a missing rate does no harm, a made-up one does.

Source: RFC 2863, sections 3.1.5 and 3.1.6, on discontinuities, and on 32-bit counters; RFC 3418: sysUpTime; RFC 3411:
snmpEngineBoots and snmpEngineTime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nextafter
from typing import Literal, NamedTuple

NAN = float("nan")
TICKS_PER_S = 100
TICKS = 1 << 32
"""Hundredths of seconds after which a TimeTicks starts over: 497 days."""
# As in kernel/rates.py, so that a total and its rate cannot disagree; compiled, that file gives its numbers to nobody.
SHORT = 0.25
"""Share of its range by which a 32-bit counter moves at most from one poll to the next, as far as it keeps to RFC."""
SLACK_S = 2.0
SLACK_SHARE = 0.1
"""How far two clocks may drift apart between polls: an answer may be late, and engine times are whole seconds."""

Key = tuple[str, ...]
"""All that must stay the same for a counter to go on: index, object, name, time of the last discontinuity."""


Life = Literal["ran_on", "restarted", "unknown"]
"""What became of an agent between two polls."""


class Count(NamedTuple):
    """What a counter stands at."""

    value: int
    bits: int
    """32 or 64."""


Counts = Mapping[Key, Count]


@dataclass(frozen=True, slots=True)
class Clock:
    """What a device tells of its own time; None for what it does not tell."""

    ticks: int | None
    """sysUpTime, since the agent started."""
    host_ticks: int | None = None
    """hrSystemUptime, since the host started."""
    boots: int | None = None
    engine_s: int | None = None
    """snmpEngineTime, since the agent started; lasts 68 years."""


class Uptime:
    """How long an agent has been up, also behind the wrap of its clock, and whether it started anew.

    A clock that fell has wrapped only if it stands where the wrap would have left it and a second clock ran on;
    otherwise the agent restarted.
    """

    def __init__(self) -> None:
        self._last: tuple[Clock, float] | None = None
        self._wraps = 0

    def follow(self, clock: Clock, moment_s: float) -> tuple[float, Life]:
        """Seconds, NaN if they are not told, and what became of the agent since the last poll.

        Parameters
        ----------
        clock
            As the agent tells it in this poll.
        moment_s
            Seconds on the clock of who polls.
        """
        if clock.ticks is None:
            return NAN, "unknown"
        life: Life = "unknown"
        if self._last is None:
            self._wraps = _wraps_before(clock)
        else:
            before, then = self._last
            seconds = moment_s - then
            slack = max(SLACK_S, SLACK_SHARE * seconds)
            wrapped = _wrapped(before, clock, seconds, slack)
            up = (clock.ticks + TICKS * (self._wraps + wrapped)) / TICKS_PER_S
            fell = clock.ticks < (before.ticks or 0) and not wrapped
            life = "restarted" if fell or _fell(before, clock) or up < seconds - slack else "ran_on"
            self._wraps = self._wraps + wrapped if life == "ran_on" else _wraps_before(clock)
        self._last = clock, moment_s
        return (clock.ticks + TICKS * self._wraps) / TICKS_PER_S, life


def _wraps_before(clock: Clock) -> int:
    """How often the clock has wrapped already, as far as the engine's time agrees with it."""
    if clock.engine_s is None or clock.ticks is None:
        return 0
    ahead = clock.engine_s * TICKS_PER_S - clock.ticks
    wraps = round(ahead / TICKS)
    return wraps if wraps > 0 and abs(ahead - wraps * TICKS) <= SLACK_S * TICKS_PER_S else 0


def _wrapped(before: Clock, clock: Clock, seconds: float, slack: float) -> bool:
    if before.ticks is None or clock.ticks is None or clock.ticks >= before.ticks or _fell(before, clock):
        return False
    expected = before.ticks + seconds * TICKS_PER_S - TICKS
    if abs(clock.ticks - expected) > slack * TICKS_PER_S:
        return False
    return _ran_on(before.engine_s, clock.engine_s) or _ran_on(before.host_ticks, clock.host_ticks)


def _fell(before: Clock, clock: Clock) -> bool:
    boots = (before.boots, clock.boots)
    rebooted = None not in boots and before.boots != clock.boots
    return rebooted or (clock.engine_s is not None and before.engine_s is not None and clock.engine_s < before.engine_s)


def _ran_on(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now > before


class Totals:
    """Totals of counters by column, each the sum over what a device has of them: interfaces, disks.

    A total starts as the sum of the counters. From poll to poll it grows by what each counter grew that was there
    before and is there now, a wrap at 32 bits undone where the agent ran on and the way through zero is shorter than a
    quarter of the range; a counter that came, went or was reset adds nothing. Where no counter at all went on, as after
    a restart, it falls by as little as can be told, so that there is no rate: an uptime need not fall over a restart.

    Parameters
    ----------
    resumed
        Whether another process has told totals of this device before: then the first is 0, which is less than any.
    """

    def __init__(self, *, resumed: bool = False) -> None:
        self._resumed = resumed
        self._last: dict[str, Counts] = {}
        self._totals: dict[str, int] = {}

    def follow(self, columns: Mapping[str, Counts], life: Life) -> dict[str, float]:
        """The totals; NaN where the device has none of a column's counters."""
        if life == "restarted":
            self._last.clear()
        return {column: self._total(column, counts, life) for column, counts in columns.items()}

    def _total(self, column: str, counts: Counts, life: Life) -> float:
        if not counts:
            return NAN
        before = self._last.get(column, {})
        grown = [_growth(before[key], count, life) for key, count in counts.items() if key in before]
        known = [growth for growth in grown if growth is not None]
        last = self._totals.get(column)
        if known:
            total = (last or 0) + sum(known)
        elif last is None:
            total = 0 if self._resumed else sum(count.value for count in counts.values())
        else:
            total = int(nextafter(last, 0.0))
        self._last[column] = counts
        self._totals[column] = total
        # A total that cannot fall any further would tell of a rate of 0.
        return NAN if not known and last == total == 0 else float(total)


def _growth(before: Count, count: Count, life: Life) -> int | None:
    """By how much a counter grew; None if it did not go on."""
    growth = count.value - before.value
    if growth >= 0:
        return growth
    way_on = growth + (1 << count.bits)
    # 64 bits do not wrap within the life of a device.
    if life == "ran_on" and count.bits == 32 and way_on < SHORT * (1 << count.bits):
        return way_on
    return None
