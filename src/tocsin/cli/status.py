"""What a project has on disk, for `tocsin status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.evaluation.runs import runs
from tocsin.system import RUNS

if TYPE_CHECKING:
    from tocsin.system import Project


def status_of(project: Project) -> dict[str, Any]:
    """What a project has on disk."""
    name, registry = project.config.name, project.registry
    folders = runs(project.config.resolve(RUNS), name)
    known = name in registry.names()
    versions = registry.history(name) if known else ()
    channels = dict(registry.channels(name)) if known else {}
    return {
        "name": name,
        "versions": len(versions),
        "newest": versions[-1].created if versions else None,
        "channels": channels,
        "runs": len(folders),
        "last_run": str(folders[-1]) if folders else None,
        "registry_bytes": sum(version.size_bytes for version in versions),
    }
