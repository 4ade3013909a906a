"""What each sink of a config is called in the journal, so that a change of their order changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import cast

from tocsin.config import Config
from tocsin.sinks.base import Sink
from tocsin.training.history import local_part

WHERE = ("path", "url", "address", "topic", "subject", "stream")
"""Parameters that say where alerts go; what else a sink is told changes no key."""


def sinks_of(config: Config) -> Mapping[str, Sink]:
    """Every sink by its key: its type, and a short digest of where its alerts go, without what is secret of that.

    Of several that cannot be told apart by it the second is `-2`, and so on.
    """
    seen: Counter[str] = Counter()
    named: dict[str, Sink] = {}
    for spec in config.sinks:
        sink = cast("Sink", local_part("sinks", spec, config))
        where = [_public(value) for name, value in sink.parameters().items() if name in WHERE and value is not None]
        digest = blake2b("\x1f".join(where).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        key = f"{spec.type}:{digest}" if where else spec.type
        seen[key] += 1
        named[key if seen[key] == 1 else f"{key}-{seen[key]}"] = sink
    return named


def _public(value: object) -> str:
    """An address without user, password and query; a token in a path has too many forms to be guessed by a digest."""
    scheme, there, rest = str(value).partition("://")
    return scheme + there + rest.partition("?")[0].partition("#")[0].rpartition("@")[2] if there else str(value)
