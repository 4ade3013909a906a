"""A file with one JSON object per alert and line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tocsin.records import Alert
from tocsin.sinks.base import alert_json
from tocsin.sinks.base_lines import FULL, FullSize, LinesSink


class Jsonl(LinesSink):
    """Append alerts to a file, safely on disk when `write` returns.

    An alert among the last 10,000 of the file is not written again, so the repeats of a restart leave no trace.
    One process writes a file. It shows real names: it is made readable by its owner alone. One that was renamed
    meanwhile, as `logrotate` does, is begun anew.

    Parameters
    ----------
    path
        The file; it and its folder are made if they are not there.
    size
        At this size the file is moved to its name with `.1` behind it, in place of what lay there.

    Examples
    --------
    >>> sink = Jsonl(path="alerts.jsonl")
    """

    stays_here: ClassVar[bool] = True
    name: ClassVar[str] = "jsonl"

    def __init__(self, *, path: str = "alerts.jsonl", size: FullSize = FULL) -> None:
        super().__init__(path=path, size=size)

    def _entry(self, alert: Alert) -> Mapping[str, Any]:
        return alert_json(alert)

    def _id(self, entry: Mapping[str, Any]) -> object:
        return entry.get("id") if "severity" in entry else None
