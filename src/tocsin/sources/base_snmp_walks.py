"""What `snmpwalk` writes, line after line, becomes the values of a poll.

Source: Net-SNMP, snmpcmd(1), the output options n, b, e, n, t and U.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from tocsin.sources.base_files import BrokenFile
from tocsin.sources.base_snmp_objects import MAX_VALUES, SCALARS, TABLES, Value

TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+")
"""The line in front of a walk, as `date -Is` writes it."""
MAX_WALKS = 1 << 26
"""Characters of a file that answers in the place of an agent."""
_BINDING = re.compile(r"\.?(\d{1,10}(?:\.\d{1,10}){1,127}) = (?:([A-Za-z]\w*(?:-\w+)?): ?)?(.*)")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2} ?)+")
_NUMBER = re.compile(r"(?:[A-Za-z][\w-]*)?\((-?\d{1,20})\).*|(-?\d{1,20})(?: [^\d:]+)?")
"""`up(1)`, `(360000) 1:00:00.00`, `512 kB` or `512`."""
_WANTED = tuple(f"{table}." for table in TABLES)


@dataclass(slots=True)
class Walk:
    """The lines of one poll so far."""

    values: dict[str, Value] = field(default_factory=dict)
    """What the poll tells of the objects that are needed."""
    bindings: int = 0
    """Objects of any kind."""
    characters: int = 0
    _open: Literal["", "text", "hex"] = ""
    """What a value on the line before may go on with."""

    def add(self, text: str) -> bool:
        """Take one line without its end; False if it is neither an object nor the rest of one.

        Raises
        ------
        BrokenFile
            If there are more values than any agent has.
        """
        if match := _BINDING.fullmatch(text):
            type_, value = match[2] or "", match[3]
            self._put(match[1], type_, value)
            self._open = _goes_on(type_, value)
            self.bindings += 1
        elif self._open == "text":
            self._open = "" if text.endswith('"') else "text"
        elif text and not (self._open == "hex" and _HEX.fullmatch(text)):
            self._open = ""
            return False
        self.characters += len(text)
        return True

    def _put(self, name: str, type_: str, text: str) -> None:
        if not (name in SCALARS or name.startswith(_WANTED)):
            return
        if len(self.values) >= MAX_VALUES * len(TABLES):
            raise BrokenFile("too_large", f"more than {MAX_VALUES * len(TABLES):,} values in one poll")
        self.values[name] = _value(type_, text)


def last_walk(url: str) -> dict[str, Value]:
    """The values of the last walk in a file.

    Parameters
    ----------
    url
        Its path, as it stands in a URL.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, is longer than 64 MiB, or holds another line.
    """
    with Path(unquote(url)).open(encoding="utf-8") as file:
        text = file.read(MAX_WALKS + 1)
    if len(text) > MAX_WALKS:
        raise ValueError(f"more than {MAX_WALKS:,} characters")
    walk = Walk()
    for number, line in enumerate(text.split("\n"), 1):
        if TIME.fullmatch(line):
            walk = Walk()
        elif not walk.add(line):
            raise ValueError(f"line {number} is neither a time nor `.1.3... = value`")
    return walk.values


def _value(type_: str, text: str) -> Value:
    """A value as the agent sent it; None for what says that there is none."""
    if type_ in ("STRING", "") and text.startswith('"'):
        return text.strip('"')
    if type_ == "STRING":
        return text
    if type_ == "Hex-STRING":
        return bytes.fromhex(text) if _HEX.fullmatch(text) else None
    if type_ == "OID":
        return text.removeprefix(".")
    number = _NUMBER.fullmatch(text)
    return int(number[1] or number[2]) if number else None


def _goes_on(type_: str, text: str) -> Literal["", "text", "hex"]:
    """Whether a value may end in a later line."""
    if type_ == "Hex-STRING":
        return "hex"
    return "text" if type_ == "STRING" and text.startswith('"') and (len(text) == 1 or not text.endswith('"')) else ""
