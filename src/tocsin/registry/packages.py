"""A version in one ZIP: opened as the registry that it is a slice of, and taken into another one unjudged."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tocsin.config import RegistryConfig
from tocsin.errors import IntegrityError, RegistryError
from tocsin.model.bundle import Bundle
from tocsin.records import Judgement, Verdict
from tocsin.registry.judging import Judged
from tocsin.registry.ledger import Version
from tocsin.registry.registry import Registry
from tocsin.registry.trust import MARKER, Machine
from tocsin.storage.archive import Archive, ArchiveStore

MORE_BYTES = 64 * 2**20
"""That a package may have beside its model: reports, documents, roots."""
_VERSION = re.compile(r"models/([^/]+)/versions/(\d{6,18})\.json")


@dataclass(frozen=True, slots=True)
class Package:
    """What a package holds, every byte and signature of it checked."""

    bundle: Bundle
    version: Version
    """As its registry numbered it."""
    report: Mapping[str, Any]
    judged: tuple[Judged, ...]
    registry: str
    """Id of the registry that it comes from."""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        version = self.version
        return f"version {version.version} of {version.name} in the registry {self.registry[:8]}"

    def unjudged(self, own: str) -> Verdict:
        """What it enters another registry with: whoever judged it elsewhere had other rows and other limits."""
        who = "this registry" if self.registry == own else "another registry"
        said = "passed" if self.judged[-1].verdict.passed else "failed"
        reason = (
            f"imported: {self.origin}, signed by the {self.judged[0].role} key {self.judged[0].key} of {who} and "
            f"{said} there; `tocsin gate` judges it here"
        )
        return Verdict(
            passed=False, judgements=(Judgement("judged here", "a gate", "none yet", passed=False, reason=reason),)
        )


def is_package(archive: Archive) -> bool:
    """Whether a ZIP holds a registry."""
    return MARKER in archive.names


def unpacked(archive: Archive, rules: RegistryConfig, clock: Callable[[], datetime]) -> Package:
    """What a package holds, once everything in it is checked.

    Parameters
    ----------
    archive
        The ZIP.
    rules
        Whom it must be for, and how large its version may be.
    clock
        The time of day.

    Raises
    ------
    IntegrityError
        If any byte is not what was packed, no key of its roots signed it, or there is more in it than one version.
    LimitExceeded
        If the version is too large.
    """
    with TemporaryDirectory(prefix="tocsin-") as folder:
        registry = Registry(ArchiveStore(archive), Machine(Path(folder)), rules, clock=clock)
        found = [match for name in archive.names if (match := _VERSION.fullmatch(name))]
        if len(found) != 1:
            raise IntegrityError("package", f"{len(found)} versions", "one")
        name, number = found[0][1], int(found[0][2])
        bundle, version = registry.load(name, number)
        report, judged = registry.report(name, number), registry.judgements(name, number)
        if set(registry.luggage(name).package(number)) != set(archive.names):
            raise IntegrityError("package", "files that belong to no version", "those of one version alone")
        return Package(bundle, version, report, judged, registry.trust.roots.last.registry)


def take(registry: Registry, name: str, package: Package) -> Version:
    """Add what a package holds as the next version of a name and as its candidate, to be judged by `tocsin gate`.

    Raises
    ------
    RegistryError
        If the model is there already, or no train key is here.
    """
    registry.trust.begin()
    registry.trust.open()
    if name in registry.names():
        there = [version for version in registry.history(name) if version.digest == package.bundle.digest]
        if there:
            hint = f"`tocsin models promote {there[0].version}` lets it serve"
            raise RegistryError(
                package.origin, f"a model that is there, as version {there[0].version}", "another", hint
            )
    own = registry.trust.roots.last.registry
    return registry.add(name, package.bundle, package.report, package.unjudged(own))
