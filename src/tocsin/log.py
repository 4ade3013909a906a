"""How log lines are written, what is hidden in them, and the counters: the means of `tocsin.observe`."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import orjson
import structlog

from tocsin.errors import visible

logger = structlog.get_logger("tocsin")
_counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
_lock = threading.Lock()

_SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|secret|token|api_?key|authorization|private_?key|salt", re.I)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+(?=@)")
HIDDEN = "[hidden]"


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
    return {key: _shown(key, value) for key, value in event.items()}


def _shown(key: object, value: Any) -> Any:
    if _SECRET_KEY.search(str(key)):
        return HIDDEN
    if isinstance(value, str):
        return visible(_URL_CREDENTIALS.sub(HIDDEN, value))
    if isinstance(value, Mapping):
        return {name: _shown(name, item) for name, item in value.items()}
    return [_shown("", item) for item in value] if isinstance(value, list | tuple) else value


def count(name: str, amount: int = 1, **labels: str) -> None:
    """Move a counter. Labels must come from small closed sets, never from telemetry."""
    with _lock:
        _counts[name, tuple(sorted(labels.items()))] += amount


def counters() -> dict[str, int]:
    """All counters as `name{label="value"} -> count`."""
    with _lock:
        return {
            name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}" if labels else ""): amount
            for (name, labels), amount in sorted(_counts.items())
        }
