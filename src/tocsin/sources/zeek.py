r"""Zeek logs in their native form: lines of fields under `#fields`.

Source: Zeek, Book of Zeek, "Zeek Log Formats and Inspection" (the ASCII writer).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tocsin.records import Column, Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_files import BrokenFile, column_names
from tocsin.sources.base_followed import FollowedSource
from tocsin.sources.base_text_files import Lines, Problem, Records, Stream, gathered, plain_fields

_COMMENTS = re.compile(rb"(?:^#[^\n]*\n)+", re.MULTILINE)
_COMMENTS_AT_END = re.compile(rb"(?:^#[^\n]*\n)+\Z", re.MULTILINE)
_ESCAPE = re.compile(r"\\x([0-7][0-9a-fA-F])")


class Zeek(FollowedSource):
    r"""Read Zeek's own logs (`conn.log`, `dns.log`, ...), also with the columns `label` and `detailedlabel`.

    The header says what separates fields and what stands for an unset or empty one; unset becomes None, empty "".
    It may come again in the middle of a file, changed or not, as rotation leaves it. Escapes such as `\x09` are
    undone where they stand for ASCII. Logs that Zeek wrote as JSON are read by `type: jsonl`.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`; gzip is recognised by its content.
    rows
        Rows per batch at most.
    follow
        Go on with what is appended to the files, and with new ones.
    """

    def __init__(self, *, path: str, rows: RowsPerBatch = 10_000, follow: bool = False) -> None:
        super().__init__(path=path, rows=rows, follow=follow)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Six lines, one of them a field short."""
        head = [
            "#separator \\x09",
            "#unset_field\t-",
            "#fields\tts\tservice\torig_bytes",
            "#types\ttime\tstring\tcount",
        ]
        body = ["1.5\tdns\t60", "2.5\t-\t70", "3.5\tdns", "4.5\tssl\t80", "5.5\tdns\t90", "6.5\tdns\t95"]
        (folder / "example.log").write_text("\n".join([*head, *body, "#close\t2026-01-05", ""]))
        return cls(path=str(folder / "*.log"), rows=2)

    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        header = _Header()
        lines = Lines(stream)
        for block in iter(lines.block, []):
            row, text = lines.number - len(block), "".join(block)
            plain = header.fields and not lines.refused and "#" not in text and "\\x" not in text
            if plain and (values := plain_fields(block, text, header.separator, len(header.fields))):
                yield Records(range(row + 1, lines.number + 1), header, values, len(text))
                continue
            for line in block:
                row += 1
                problem = lines.refused.pop(row, None)
                if not problem and line.startswith("#"):
                    header = header.with_line(line.rstrip("\r\n"))
                elif problem or line.strip("\r\n"):
                    yield from gathered(file, [(row, header, problem or _values(header, line), line)])

    def _heading(self, lines: bytes, *, first: bool) -> tuple[int, int] | None:
        """The last lines of `#` that stand together and name the fields."""
        if b"#fields" not in lines:
            return None
        runs = [run.span() for run in _COMMENTS.finditer(lines) if b"#fields" in run[0]]
        return runs[-1] if runs else None

    def _complete(self, lines: bytes) -> int:
        """Lines of `#` at the end wait for what follows: a header is taken whole."""
        rest = _COMMENTS_AT_END.search(lines) if lines[lines.rfind(b"\n", 0, -1) + 1 :][:1] == b"#" else None
        return rest.start() if rest else len(lines)

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        columns = super()._columns(header.fields, values)
        for column in columns.values():
            column[column == header.unset] = None
            column[column == header.empty] = ""
        return columns


@dataclass(frozen=True, slots=True)
class _Header:
    separator: str = "\t"
    unset: str = "-"
    empty: str = "(empty)"
    fields: tuple[str, ...] = ()

    def with_line(self, text: str) -> _Header:
        if text.startswith("#separator "):
            return replace(self, separator=_unescape(text.removeprefix("#separator ")) or "\t")
        name, *values = text[1:].split(self.separator)
        if name == "fields":
            return replace(self, fields=column_names(values))
        if name == "types" and len(values) != len(self.fields):
            raise BrokenFile("bad_header", f"{len(values)} types for {len(self.fields)} fields")
        if name == "unset_field":
            return replace(self, unset="".join(values))
        if name == "empty_field":
            return replace(self, empty="".join(values))
        return self


def _values(header: _Header, line: str) -> list[str] | Problem:
    text = line.rstrip("\r\n")
    if not header.fields:
        raise _no_header(text)
    values = text.split(header.separator)
    if len(values) != len(header.fields):
        return Problem("wrong_number_of_fields", f"{len(values)} fields, wanted {len(header.fields)}")
    return [_unescape(value) for value in values] if "\\x" in text else values


def _no_header(text: str) -> BrokenFile:
    if text.startswith("{"):
        return BrokenFile("wrong_format", "a log in JSON; `type: jsonl` reads it")
    return BrokenFile("wrong_format", "no #fields line before the first row")


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
