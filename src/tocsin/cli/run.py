"""`tocsin run`: the config as a service, until it is told to stop."""

from __future__ import annotations

import gc
import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.component import optional_packages
from tocsin.observe import live

if TYPE_CHECKING:
    from tocsin.system.service import Service

Once = Annotated[bool, typer.Option("--once", help="Read files to their end, then stop.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Decide and journal as always, deliver nothing.")]


def run(context: typer.Context, *, once: Once = False, dry_run: DryRun = False) -> None:
    """Score the config's source live: alerts go to its sinks, and a killed service goes on where it was."""
    from tocsin.system.service import Service

    settings: Settings = context.obj
    project = settings.project()
    if dry_run:
        stream = project.config.stream.model_copy(update={"dry_run": True})
        project.config = project.config.model_copy(update={"stream": stream})
    attend(Service(project, once=once), settings)


def attend(service: Service, settings: Settings) -> None:
    """Let it work until it ends or a signal comes, with the REST server of its config beside it; say what became."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        service.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    hook, threading.excepthook = threading.excepthook, tell_of_thread
    try:
        with _served(service):
            gc.collect()
            gc.freeze()  # models and modules stay: a full collection would walk through them, and all would wait for it
            service.run()
    finally:
        threading.excepthook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
    tally = service.stream.intake.tally.to_json()
    screens.document({"rows": tally}) if settings.json else screens.say(_became(tally))


def tell_of_thread(died: threading.ExceptHookArgs) -> None:
    """A thread that dies is said in the log, where secrets are hidden, and counted."""
    live.thread_died(died.thread.name if died.thread else "", died.exc_value)


def _served(service: Service) -> AbstractContextManager[object]:
    if service.project.config.server is None:
        return nullcontext()
    with optional_packages("$.server"):
        from tocsin.server.running import beside
    return beside(service)


def _became(tally: dict[str, int]) -> str:
    return (
        f"Stopped. {tally['received']:,} rows received, {tally['passed_on']:,} scored, "
        f"{tally['quarantined']:,} refused, {tally['duplicates']:,} repeated."
    )
