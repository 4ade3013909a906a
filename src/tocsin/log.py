"""How log lines are written, what is hidden in them, what is counted and measured: the means of `tocsin.observe`."""

from __future__ import annotations

import logging
import re
import sys
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal

import orjson
import structlog

from tocsin.errors import visible

logger = structlog.get_logger("tocsin")
_lock = threading.Lock()

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A name and its labels, sorted."""
MOST_SERIES = 1_000
"""Of one kind; what comes beyond it moves `tocsin_series_refused_total` alone."""
BOUNDS = {
    "seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600, 86_400),
    "rows": (1, 10, 100, 1_000, 10_000, 100_000),
}
"""Upper bounds of the buckets of a histogram, by the unit that its name ends with."""

_SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|secret|token|api_?key|authorization|private_?key|salt", re.I)
HIDDEN = "[hidden]"
_FORMS = tuple(
    re.compile(form, re.S)
    for form in (
        r"(?<=://)[^/\s]+(?=@)",  # credentials of an address
        r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)",
        r"(?i:(?<=authorization: basic )|(?<=authorization: bearer ))\S+",
        r"(?i:(?<=bearer ))(?=\S*\d|\S{20})[\w.~+/-]{8,}=*",
        r"(?i)([?&](?:[\w-]*(?:token|secret|password|signature|credential|key)|auth|sig)=)[^&\s\"'<>]+",
        r"(?<![^\W_])(?:AKIA|ASIA)[0-9A-Z]{16}(?![^\W_])",
        r"(?<![^\W_])AIza[\w-]{35}",
        r"(?<![^\W_])(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-)[\w-]{16,}",
        r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",  # e-mail
        r"(?<![^\W_]|[:.-])[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})(?![^\W_]|[:-]\S)",  # MAC
        r"(?<![^\W_]|\.)[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}(?![^\W_]|\.\w)",  # MAC, as routers write it
    )
)
"""Secrets, and names of people and machines, that are told by their form."""
_ADDRESS = re.compile(
    r"(?<![^\W_]|\.)(?:\d{1,3}\.){3}\d{1,3}(?![^\W_]|\.\d)"
    r"|(?<![^\W_]|[:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){1,6}:(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4})(?![^\W_]|:\S)"
)


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["text", "json"] = "text",
) -> None:
    """Send log lines to standard error; standard output belongs to results."""
    render: Any = (
        structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # looked up for every line: a progress bar puts its own stream there while it is shown
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Only errors are logged meanwhile, by any thread: for work that says over and over what was said once."""
    was_configured, before = structlog.is_configured(), structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before) if was_configured else structlog.reset_defaults()


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Hide secrets by key and by form and show control characters; last in the chain, so that nothing slips past."""
    return {str(_shown("", key)): _shown(key, value) for key, value in event.items()}


def hidden(text: str) -> str:
    """The text without what is secret, or names a person or a machine, by its form.

    >>> hidden("GET http://192.0.2.7/?token=abc by jo@example.org")
    'GET http://[hidden]/?token=[hidden] by [hidden]'
    """
    for form in _FORMS:
        text = form.sub(lambda match: (match[1] if match.re.groups else "") + HIDDEN, text)
    return _ADDRESS.sub(_without_address, text)


def _without_address(match: re.Match[str]) -> str:
    for text in (match[0], match[0].removesuffix(":")):
        with suppress(ValueError):
            address = ip_address(text)
            names_nobody = address.is_loopback or address.is_unspecified
            return match[0] if names_nobody else HIDDEN + match[0][len(text) :]
    return match[0]


def _shown(key: object, value: Any) -> Any:
    if _SECRET_KEY.search(str(key)):
        return HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return redact(None, "", dict(value))
    return [_shown("", item) for item in value] if isinstance(value, list | tuple) else visible(hidden(str(value)))


@dataclass(slots=True)
class Histogram:
    """How often a value fell below each bound of its unit."""

    bounds: tuple[float, ...]
    buckets: list[int]
    """One for each bound, and one for all above; none of them holds what another holds."""
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count one more."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value


_counts: Counter[Series] = Counter()
_gauges: dict[Series, float] = {}
_histograms: dict[Series, Histogram] = {}


def count(name: str, amount: int = 1, **labels: str) -> None:
    """Move a counter. Labels must come from small closed sets, never from telemetry."""
    with _lock:
        if series := _admitted(_counts, name, labels):
            _counts[series] += amount


def gauge(name: str, value: float, **labels: str) -> None:
    """Say how something stands now; labels as of `count`."""
    with _lock:
        if series := _admitted(_gauges, name, labels):
            _gauges[series] = value


def histogram(name: str, value: float, **labels: str) -> None:
    """Put a value into its bucket; the name ends with its unit, one of `BOUNDS`, and labels are as of `count`."""
    bounds = BOUNDS[name.rpartition("_")[2]]
    with _lock:
        if series := _admitted(_histograms, name, labels):
            _histograms.setdefault(series, Histogram(bounds, [0] * (len(bounds) + 1))).add(value)


def _admitted(known: Mapping[Series, object], name: str, labels: Mapping[str, str]) -> Series | None:
    series = (name, tuple(sorted(labels.items())))
    if series in known or len(known) < MOST_SERIES:
        return series
    _counts["tocsin_series_refused_total", ()] += 1
    return None


def counters() -> dict[str, int]:
    """All counters as `name{label="value"} -> count`."""
    with _lock:
        return {shown(*series): amount for series, amount in sorted(_counts.items())}


def measured() -> tuple[dict[Series, int], dict[Series, float], dict[Series, Histogram]]:
    """Copies of all counters, gauges and histograms, by name and labels."""
    with _lock:
        histograms = {
            series: Histogram(held.bounds, list(held.buckets), held.total) for series, held in _histograms.items()
        }
        return dict(_counts), dict(_gauges), histograms


def shown(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    """A series as Prometheus writes it.

    >>> shown("tocsin_rows_total", (("source", "csv"),))
    'tocsin_rows_total{source="csv"}'
    """
    if not labels:
        return name
    escaped = ((key, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for key, value in labels)
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in escaped) + "}"
