"""What can go wrong, as a tree. Every message says where, what was got, what was wanted and what to do.

TocsinError
├── ConfigError            the config or a part's parameters; carries every problem found
├── UnknownPartError       no part of that name in the room
├── MissingExtraError      an optional package is not installed
├── DataError              the telemetry cannot be used as it is
│   └── SchemaError        columns or types do not fit the declared schema
├── NotFittedError         a part was used before fit or restore
├── ModelBroken            a model can say nothing of any row
├── IntegrityError         stored bytes are not what the manifest says
├── RegistryError          the registry cannot do what was asked
│   ├── NotStored          nothing is stored under that name
│   ├── ConflictError      somebody else wrote first
│   ├── NoRoom             no free space to write on
│   └── NewerFormatError   written by a newer Tocsin
├── GateRefused            the verdict does not allow this model to go live
├── LimitExceeded          a declared limit (memory, time, size) was reached
├── SourceLost             a source stopped answering
└── DeliveryError          a sink could not deliver
    └── AlertRefused       its receiver answers, and does not take an alert
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in the four parts that every message has."""

    where: str
    got: str
    wanted: str = ""
    hint: str = ""

    def __str__(self) -> str:
        wanted = f", wanted {visible(self.wanted)}" if self.wanted else ""
        hint = f"\n  Hint: {visible(self.hint)}" if self.hint else ""
        return f"{visible(self.where)}\n  got {visible(self.got)}{wanted}{hint}"


class TocsinError(Exception):
    """Root of everything Tocsin raises on purpose."""

    def __init__(self, where: str, got: str, wanted: str = "", hint: str = "") -> None:
        self.problem = Problem(where, got, wanted, hint)
        super().__init__(str(self.problem))


class ConfigError(TocsinError):
    """A config that cannot be used; `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        Exception.__init__(self, "\n".join(str(problem) for problem in problems))
        self.problem = self.problems[0]


class UnknownPartError(TocsinError):
    """No part of that name in the room."""


class MissingExtraError(TocsinError):
    """An optional package is needed and not installed."""

    def __init__(self, where: str, package: str, extra: str) -> None:
        super().__init__(
            where,
            f"no package {package!r} in this environment",
            hint=f"pip install 'tocsin[{extra}]'",
        )


class DataError(TocsinError):
    """The telemetry cannot be used as it is."""


class SchemaError(DataError):
    """Columns or types do not fit the declared schema."""


class NotFittedError(TocsinError):
    """A part was used before fit or restore."""


class ModelBroken(TocsinError):
    """A model that serves can say nothing of any row."""


class IntegrityError(TocsinError):
    """Stored bytes are not what the manifest says."""


class RegistryError(TocsinError):
    """The registry cannot do what was asked."""


class NotStored(RegistryError):
    """Nothing is stored under that name."""


class ConflictError(RegistryError):
    """Somebody else wrote first; read again and decide again."""


class NoRoom(RegistryError):
    """There is no free space to write on; all that was committed before still holds."""


class NewerFormatError(RegistryError):
    """Written by a newer Tocsin than this one."""


class GateRefused(TocsinError):
    """The verdict does not allow this model to go live."""


class LimitExceeded(TocsinError):
    """A declared limit was reached; nothing half done was published."""


class SourceLost(TocsinError):
    """A source stopped answering."""


class DeliveryError(TocsinError):
    """A sink could not deliver every alert it was given."""


class AlertRefused(DeliveryError):
    """The receiver of a sink answers, and will not take an alert as it is."""


def visible(text: str) -> str:
    """The text with everything that a terminal might obey written as an escape: telemetry may hold anything."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest known word, or the empty string."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""
