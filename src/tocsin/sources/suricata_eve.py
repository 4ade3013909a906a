"""Suricata's EVE log: one JSON object per event, of which those of some types are wanted.

Source: Suricata User Guide, "EVE JSON Format" and "EVE JSON Schema"; `flow` events as `output-json-flow.c` writes them.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import orjson
from pydantic import Field

from tocsin.annotations import KEEP
from tocsin.records import Batch
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_json import JsonSource, Layout, Object
from tocsin.sources.base_text_files import Part, Problem

_NAMES = {
    "dest_ip": "dst_ip",
    "dest_port": "dst_port",
    "proto": "protocol",
    "flow.bytes_toserver": "bytes_in",
    "flow.bytes_toclient": "bytes_out",
    "flow.pkts_toserver": "packets_in",
    "flow.pkts_toclient": "packets_out",
}
_TURNED = {"bytes_toserver": "bytes_toclient", "pkts_toserver": "pkts_toclient"}
_TURNED |= {to_client: to_server for to_server, to_client in _TURNED.items()}


class SuricataEve(JsonSource):
    """Read Suricata's `eve.json`, one event per line or one array of events per file.

    Events of other types than those asked for are counted as ignored. Names are those of the preset `flows`; all
    other values keep their path, one level deep (`flow.state`, `alert.signature`), and lists stay JSON text.

    ==============================  =========================================================================
    column                          what it is
    ==============================  =========================================================================
    `timestamp`                     of the event; a flow is told when it is over, and the log is in this order
    `dst_ip`, `dst_port`            `dest_ip`, `dest_port`
    `protocol`                      `proto`
    `bytes_in`, `packets_in`        what `src_ip` sent: of a flow, what went to the server
    `bytes_out`, `packets_out`      what `src_ip` got: of a flow, what went to the client
    `duration_s`                    from `flow.start` to `flow.end`
    ==============================  =========================================================================

    Of a flow, `src_ip` is the host that began it. Of an alert it is the host that sent the packet; where the alert
    says `direction: to_client`, that is the server, and what was sent and got is told from its side.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`; gzip is recognised by its content.
    event_types
        What becomes rows: `flow`, `alert`, `dns`, `http`, `tls`, ...; at least one.
    rows
        Rows per batch at most.
    follow
        Go on with what is appended to the files, and with new ones.
    """

    def __init__(
        self,
        *,
        path: str,
        event_types: Annotated[tuple[str, ...], Field(min_length=1)] = ("flow",),
        rows: RowsPerBatch = 10_000,
        follow: bool = False,
    ) -> None:
        super().__init__(path=path, rows=rows, follow=follow)
        self.event_types = event_types

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Six flows, one of them broken off."""
        times = [f"2026-01-05T00:00:0{second}.000000+0000" for second in range(6)]
        event = {"event_type": "flow", "src_ip": "192.0.2.1", "dest_ip": "192.0.2.2", "proto": "UDP"}
        lines = [
            orjson.dumps({**event, "timestamp": time, "flow": {"bytes_toserver": 60, "start": times[0], "end": time}})
            for time in times
        ]
        (folder / "eve.json").write_bytes(b"\n".join([*lines[:2], lines[2][:70], *lines[3:], b""]))
        return cls(path=str(folder / "*.json"), rows=2)

    def _row(self, value: Object) -> Object | Problem:
        kind = value.get("event_type")
        if not isinstance(kind, str):
            return Problem("not_an_event", "an object without the name of its event_type")
        if kind not in self.event_types:
            return {}
        flow = value.get("flow")
        if isinstance(flow, dict):
            if "end" in flow:
                value["duration_s"] = _seconds_between(flow.get("start"), flow["end"])
            if value.get("direction") == "to_client":
                value["flow"] = {_TURNED.get(name, name): item for name, item in flow.items()}
        return value

    def _named(self, names: Layout) -> Layout:
        return tuple(_NAMES.get(name, name) for name in names)

    def _batch(self, file: str, part: Part) -> Batch:
        batch = super()._batch(file, part)
        wanted = np.array([bool(layout) for layout, _ in part.values], dtype=bool)
        return batch if wanted.all() else batch.replace({KEEP: wanted})


def _seconds_between(start: object, end: object) -> float | None:
    try:
        return (datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(start))).total_seconds()
    except (ValueError, TypeError):
        return None
