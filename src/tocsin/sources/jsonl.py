"""JSON lines: one object per line, or one array of objects per file.

Source: RFC 8259; NaN and numbers beyond a double are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_json import JsonSource, Object


class Jsonl(JsonSource):
    """Read JSON lines, or files that hold one JSON array of objects.

    Nested objects are flattened one level: `{"metadata": {"latency_ms": 3}}` is the column `metadata.latency_ms`.
    What lies deeper, and lists, stay JSON text. Keys may differ from row to row; a value that is absent is None.

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
        """Six lines, one of them broken off."""
        lines = [f'{{"timestamp": {second}, "flow": {{"bytes": {10 * second}}}}}' for second in range(1, 6)]
        (folder / "example.jsonl").write_text("\n".join([*lines[:2], '{"timestamp": 3, "fl', *lines[2:], ""]))
        return cls(path=str(folder / "*.jsonl"), rows=2)

    def _row(self, value: Object) -> Object:
        return value
