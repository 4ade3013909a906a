"""Change per second since the entity's last present value, and how much it can be trusted.

The last value is the one that arrived last, also if its time lies before that of an earlier one: any two true
samples make a true rate, and after a clock was set back the times of its own rows are the ones that fit together.

A counter that falls has wrapped or begun anew, and one that rises may have begun anew as well. The device's uptime
tells which, where it is known. A missing rate does no harm and a made-up one looks like an attack, so a fall is
a wrap only if two of three witnesses say so: the way on through zero is short; it is no faster than a few times the
entity's last rates; the device ran on.

Source: RFC 2863, section 3.1.6: 32-bit octet counters are for links of up to 20 Mbit/s, which move by less than a
quarter of that range in five minutes. RFC 3418: sysUpTime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from tocsin.kernel.frame import Action, Frame

Quality = Literal["rate", "wrap", "reset", "gap", "first", "stood_still"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
MAX_GAP_US = 2**53
"""Whole numbers up to it are exact in a float64."""

RATE, WRAP, RESET, GAP, FIRST, STOOD_STILL = range(6)
"""Their places in `QUALITIES`, the codes that are told."""
REMEMBERED = 8
"""Rates that tell what is likely of an entity."""
SHORT = 0.25
"""Share of its range that a counter moves by at most from one value to the next, as far as it keeps to RFC 2863."""
FEW = 3.0
"""How many times the largest of its last rates an entity may move by and still be believed without another witness."""
SLACK_S = 2.0
SLACK_SHARE = 0.1
"""Times and uptimes may both be whole seconds; an answer may be late, and a rate that is off by a tenth still tells."""
NAN = float("nan")


class Rate(Action):
    """The operation `rate`, of a column and, if there is a second one, the device's uptime in seconds.

    The slab holds the last value, its time and the uptime then, and for a counter the last rates of which the two
    values alone are witness enough, so that what is believed of a fall hangs on no earlier belief. They count as long
    as no gap comes between, so nothing is older than the gaps that they and the newest rate span together.

    Attributes
    ----------
    per_second, certain
        The rate of this row, and the same if it is to be remembered, otherwise 0: both live no longer than a step.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        self.uptime = inputs[1] if len(inputs) > 1 else -1
        max_gap_us = int(constants["max_gap_us"])
        bits = constants["bits"]
        if bits is not None and bits not in (32, 64):
            raise ValueError(f"wanted bits of 32, 64 or none, got {bits!r}")
        if not 1 <= max_gap_us <= MAX_GAP_US:
            raise ValueError(f"wanted max_gap_us of 1 to {MAX_GAP_US}")
        self.max_gap_us = max_gap_us
        self.from_zero = {"nan": False, "from_zero": True}[constants["reset"]]
        self.full = 0.0 if bits is None else 2.0**bits
        self.quality = bool(constants["quality"])
        self.per_second = self.certain = 0.0
        self.width = 2 if self.quality else 1
        # How many pairs of values were judged, plus 1; the last time, value and uptime; the last rates.
        self.words = 4 + (REMEMBERED if bits else 0)
        self.horizon = max_gap_us * (REMEMBERED + 1) + 1

    def step(self, frame: Frame) -> None:
        """Write the rate, and its quality where that is wanted."""
        value = frame.registers[self.source]
        code = FIRST
        self.per_second = NAN
        # The difference is NaN for what is infinite, too.
        if value - value == 0.0:
            code = self.follow(frame, value)
        frame.registers[self.target] = self.per_second
        if self.quality:
            frame.registers[self.target + 1] = code

    def follow(self, frame: Frame, value: float) -> int:
        """Hold a value against the last one, and put it in its place."""
        at = frame.base + self.at
        uptime = frame.registers[self.uptime] if self.uptime >= 0 else NAN
        code = self.timed(frame)
        if code in (FIRST, GAP):
            frame.whole[at] = 1
            for word in range(at + 4, at + self.words):
                frame.whole[word] = 0
        elif code == RATE:
            code = self.judged(frame, value, uptime)
        frame.whole[at + 1] = frame.time
        frame.floats[at + 2] = value
        frame.floats[at + 3] = uptime
        return code

    def timed(self, frame: Frame) -> int:
        """What the times alone say."""
        at = frame.base + self.at
        last = frame.whole[at + 1]
        if frame.whole[at] == 0 or frame.now - last >= self.horizon:
            return FIRST
        if frame.time <= last:
            return STOOD_STILL
        return GAP if frame.time - last > self.max_gap_us else RATE

    def judged(self, frame: Frame, value: float, uptime: float) -> int:
        """What values and uptimes say, where the times are right; sets the rate."""
        at = frame.base + self.at
        seconds = (frame.time - frame.whole[at + 1]) / 1e6
        change = value - frame.floats[at + 2]
        if self.full == 0.0:
            self.per_second = change / seconds
            return RATE
        self.certain = 0.0
        code = self.counted(frame, value, change, seconds, uptime)
        pairs = frame.whole[at]
        frame.floats[at + 4 + (pairs - 1) % REMEMBERED] = self.certain
        frame.whole[at] = pairs + 1
        return code

    def counted(self, frame: Frame, value: float, change: float, seconds: float, uptime: float) -> int:
        """What became of a counter."""
        before = frame.floats[frame.base + self.at + 3]
        slack = max(SLACK_S, SLACK_SHARE * seconds)
        # Whatever is compared with an unknown uptime is false.
        restarted = uptime < seconds - slack or uptime < before - slack
        ran_on = uptime >= seconds + slack
        if not restarted and abs(uptime - before - seconds) > slack:
            return STOOD_STILL
        if change >= 0.0 and not restarted:
            self.per_second = self.certain = change / seconds
            return RATE
        most = FEW * self.largest(frame)
        way_on = change + self.full
        if way_on >= 0.0 and not restarted:
            short = way_on < SHORT * self.full
            likely = way_on / seconds <= most
            if (short and likely) or (ran_on and (short or likely)):
                self.per_second = way_on / seconds
                self.certain = self.per_second if short and ran_on else 0.0
                return WRAP
        if self.from_zero and 0.0 <= value / seconds <= most:
            self.per_second = value / seconds
        return RESET

    def largest(self, frame: Frame) -> float:
        """The largest of the last rates; 0 for a late row, since some of them may be too old for it."""
        most = 0.0
        if frame.time == frame.now:
            at = frame.base + self.at + 4
            for word in range(at, at + REMEMBERED):
                most = max(most, frame.floats[word])
        return most
