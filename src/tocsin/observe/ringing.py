"""What is said of alerts between ringing and delivery; the same rules as in `tocsin.observe`."""

from __future__ import annotations

from tocsin.log import count
from tocsin.log import logger as _log


def alerts_folded(alerts: int) -> None:
    """More alerts rang in a day than may be delivered: these went into its digest."""
    _log.warning("Alerts folded into the digest of the day.", alerts=alerts)
    count("tocsin_alerts_folded_total", alerts)


def alerts_quieted(reason: str, alerts: int) -> None:
    """Alerts were found and are kept, and not delivered."""
    count("tocsin_alerts_quieted_total", alerts, reason=reason)


def incident_began(entities: int) -> None:
    """As many entities rang for one cause within a short time: one message stands for all that follow."""
    _log.info("Incident began.", entities=entities)
    count("tocsin_incidents_total")


def silences_refused(reason: str) -> None:
    """The file of silences cannot be read: those that were read last go on until they end."""
    _log.error("Silences refused, the last known ones go on.", reason=reason)
    count("tocsin_silences_refused_total")
