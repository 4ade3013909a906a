"""How log lines are written, what is hidden in them, and the counters: the means of `tocsin.observe`."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any, Literal

import orjson
import structlog

from tocsin.errors import visible

logger = structlog.get_logger("tocsin")
_counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
_lock = threading.Lock()

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
