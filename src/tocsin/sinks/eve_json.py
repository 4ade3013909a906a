"""A file of alerts in the form of Suricata's EVE log, for what follows such logs already.

Source: Suricata User Guide, "EVE JSON Format", event type `alert`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, ClassVar
from zlib import crc32

from tocsin.records import SECOND, Alert, Severity
from tocsin.sinks.base import alert_json, iso_time
from tocsin.sinks.base_lines import FULL, FullSize, LinesSink

_SEVERITIES: dict[Severity, int] = {"critical": 1, "high": 1, "medium": 2, "low": 3}
_LOCAL_RULES = 1_000_000
"""Rule numbers from here on, as many again, are free for local use."""


class EveJson(LinesSink):
    """Append alerts to a file as Suricata would write them: `event_type: alert`, our own facts below `tocsin`.

    ==========================  ===================================================================================
    value                       what it is
    ==========================  ===================================================================================
    `timestamp`                 the last flagged row; without a clock in the telemetry, when it was written
    `src_ip`                    the entity, if it is an address; in plain form only with `reveal`
    `alert.signature`           `Tocsin anomaly: ` and the cause, the same for all alerts of one cause
    `alert.signature_id`        of this signature, 1,000,000 to 1,999,999
    `alert.severity`            1 for critical and high, 2 for medium, 3 for low
    `tocsin`                    the alert as the sink `jsonl` writes it
    ==========================  ===================================================================================

    Like `jsonl` it is safely on disk when `write` returns, holds an alert once, and is begun anew when it was renamed.
    Its owner and group may read it: a log shipper is put into the group.

    Parameters
    ----------
    path
        The file; it and its folder are made if they are not there.
    size
        At this size the file is moved to its name with `.1` behind it, in place of what lay there.
    reveal
        Show real names in place of pseudonyms.
    """

    mode: ClassVar[int] = 0o640
    name: ClassVar[str] = "eve_json"
    _now: Callable[[], float] = staticmethod(time.time)

    def __init__(self, *, path: str = "eve.json", size: FullSize = FULL, reveal: bool = False) -> None:
        super().__init__(path=path, size=size)
        self.reveal = reveal

    def _entry(self, alert: Alert) -> Mapping[str, Any]:
        moment = round(self._now() * SECOND) if alert.end is None else alert.end
        signature = f"Tocsin anomaly: {alert.cause or 'of no single cause'}"
        return {
            "timestamp": str(iso_time(moment)).replace("Z", "+0000"),
            "event_type": "alert",
            **_address(alert.entity),
            "alert": {
                "action": "allowed",
                "gid": 1,
                "signature_id": _LOCAL_RULES + crc32(signature.encode()) % _LOCAL_RULES,
                "rev": 1,
                "signature": signature,
                "category": "Anomaly",
                "severity": _SEVERITIES[alert.severity],
            },
            "tocsin": alert_json(alert),
        }

    def _id(self, entry: Mapping[str, Any]) -> object:
        ours = entry.get("tocsin")
        return ours.get("id") if isinstance(ours, dict) else None


def _address(entity: str) -> dict[str, str]:
    try:
        return {"src_ip": str(ip_address(entity))}
    except ValueError:
        return {}
