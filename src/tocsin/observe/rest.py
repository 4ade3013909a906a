"""What the REST server says of itself; the same rules as in `tocsin.observe`."""

from __future__ import annotations

from tocsin.log import count
from tocsin.log import logger as _log


def serving(address: str, *, keys: bool) -> None:
    """The server listens."""
    _log.info("REST server listens.", address=address, keys=keys)
    count("tocsin_rest_servers_begun_total")


def answered(route: str, status: int) -> None:
    """A request was answered."""
    count("tocsin_rest_requests_total", route=route, status=str(status))


def connection_refused(reason: str) -> None:
    """A connection ended before it was a request: a head broken, too large or too slow, or too many connections."""
    _log.debug("Connection refused.", reason=reason)
    count("tocsin_rest_connections_refused_total", reason=reason)


def key_refused(address: str) -> None:
    """A request came with a key that does not exist or has expired, or without one."""
    _log.warning("API key refused.", address=address)
    count("tocsin_rest_keys_refused_total")


def failed(route: str, error: Exception) -> None:
    """A request met a defect of Tocsin."""
    _log.error("Request failed; please report it.", route=route, exc_info=error)
    count("tocsin_rest_failures_total", route=route)


def model_moved(version: int, role: str) -> None:
    """Somebody moved a channel through the server."""
    _log.warning("Channel moved through the REST server.", version=version, role=role)
    count("tocsin_rest_models_moved_total", role=role)


def rows_scored(rows: int) -> None:
    """Rows were scored for somebody; they left no trace."""
    count("tocsin_rest_rows_scored_total", rows)


def events_taken(events: int) -> None:
    """Events are in the log, for good."""
    count("tocsin_rest_events_total", events)
