"""Who may ask what: every route has a row here, and a route without one is not served."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["viewer", "operator", "admin", "ingest"]
ADMIN: Role = "admin"
ROLES: tuple[Role, ...] = get_args(Role)
"""Each of the first three may do all that the ones before it may; `ingest` sends rows and sees nothing else."""

_VIEWERS: frozenset[Role] = frozenset({"viewer", "operator", "admin"})
_OPERATORS: frozenset[Role] = frozenset({"operator", "admin"})
_SENDERS: frozenset[Role] = frozenset({"ingest", "admin"})
_ALL: frozenset[Role] = frozenset(ROLES)

JSON, LINES, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""Of a model, in an address."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A route, and what is asked of whoever calls it."""

    method: str
    path: str
    """With its parameters in braces."""
    roles: frozenset[Role] | None
    """None: anybody may, without a key."""
    types: tuple[str, ...] = ()
    """Content types of its body; a route without any takes no body."""

    @property
    def pattern(self) -> re.Pattern[str]:
        """What an address of it looks like."""
        return re.compile(re.sub(r"\\\{\w+\\\}", lambda _: NAME, re.escape(self.path)))


RULES = (
    Rule("GET", "/healthz", None),
    Rule("GET", "/readyz", None),
    Rule("GET", "/metrics", _VIEWERS),
    Rule("GET", "/openapi.json", _VIEWERS),
    Rule("GET", "/v1/status", _VIEWERS),
    Rule("GET", "/v1/alerts", _VIEWERS),
    Rule("GET", "/v1/models", _VIEWERS),
    Rule("POST", "/v1/models/{name}/promote", _OPERATORS, (JSON,)),
    Rule("POST", "/v1/models/{name}/rollback", _OPERATORS, (JSON,)),
    Rule("POST", "/v1/score", _ALL, (JSON,)),
    Rule("POST", "/v1/score/batch", _ALL, (JSON, LINES, ARROW)),
    Rule("POST", "/v1/events", _SENDERS, (JSON, LINES)),
)
_FIXED = {(rule.method, rule.path): rule for rule in RULES if "{" not in rule.path}
_OTHERS = tuple((rule.pattern, rule) for rule in RULES if "{" in rule.path)


def rule_of(method: str, path: str) -> Rule | tuple[str, ...]:
    """The rule of a request, or the methods that its address knows: none if there is no such address.

    >>> rule_of("POST", "/v1/models/flows/promote").path
    '/v1/models/{name}/promote'
    >>> rule_of("PUT", "/v1/score"), rule_of("GET", "/nowhere")
    (('POST',), ())
    """
    if fixed := _FIXED.get((method, path)):
        return fixed
    found = [rule for pattern, rule in _OTHERS if pattern.fullmatch(path)]
    found += [rule for rule in RULES if rule.path == path]
    return next((rule for rule in found if rule.method == method), tuple(rule.method for rule in found))
