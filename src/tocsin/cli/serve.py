"""`tocsin serve`: the champion over HTTP, and what is sent to it as its stream."""

from __future__ import annotations

import typer

from tocsin.cli.run import DryRun, attend
from tocsin.cli.settings import Settings
from tocsin.component import PartSpec

LOG = "events.db"
"""The embedded log, beside the journal."""


def serve(context: typer.Context, *, dry_run: DryRun = False) -> None:
    """Score what is sent over HTTP: rows on request, and events as a stream that rings; stops as `tocsin run` does."""
    from tocsin.config import ServerConfig
    from tocsin.system.service import Service

    settings: Settings = context.obj
    project = settings.project()
    config = project.config
    source = config.stream.source
    if source is None or source.type != "sqlite_wal":
        path = str(config.resolve(config.stream.journal) / LOG)
        source = PartSpec("sqlite_wal", {"path": path, "message": "event"})
    changes = {"source": source, "dry_run": dry_run or config.stream.dry_run}
    stream = config.stream.model_copy(update=changes)
    server = config.server or ServerConfig()
    project.config = config.model_copy(update={"stream": stream, "server": server})
    attend(Service(project), settings)
