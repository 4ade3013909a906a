"""`tocsin dead-letters`: what a service refused, and why; and the same rows once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.component import seconds
from tocsin.errors import visible

if TYPE_CHECKING:
    from tocsin.records import Rejected
    from tocsin.system.replaying import Answer

_DONE, _REFUSED = 0, 1
_SHOWN = 60
"""Characters of a record on a screen."""

dead_letters_app = typer.Typer(no_args_is_help=True, help="What a running service refused: list it, replay it.")

Reason = Annotated[str | None, typer.Option(help="Only those that were refused for this.")]
Most = Annotated[int, typer.Option(min=1, max=10_000, help="Letters that are listed, the newest first.")]
Wait = Annotated[str, typer.Option(help="How long to wait for the service to do it.")]


@dead_letters_app.command("list")
def list_letters(ctx: typer.Context, *, reason: Reason = None, most: Most = 20) -> None:
    """How many rows were refused for each reason, and the newest of them."""
    from tocsin.journal.stored import FILE, Stored

    settings: Settings = ctx.obj
    folder = _folder(settings)
    ran, stored = (folder / FILE).exists(), Stored.beside(folder)
    counts = stored.letters_by_reason() if ran else {}
    letters = stored.letters(reason, most) if ran else []
    if settings.json:
        screens.document({"reasons": counts, "letters": letters})
        return
    if not counts:
        screens.say("Nothing was refused." if ran else f"No service has run in {folder} yet.")
        return
    screens.grid([("reason", "rows"), *((visible(name), f"{rows:,}") for name, rows in counts.items())])
    screens.grid([("file", "row", "reason", "detail", "record"), *map(_line, letters)])


@dead_letters_app.command()
def replay(ctx: typer.Context, *, reason: Reason = None, wait: Wait = "10s") -> None:
    """Give refused rows to the stream once more: 1 if the service did not do it in time, or not to the end."""
    from tocsin.system.replaying import Request, ask, wait_for_answer

    settings: Settings = ctx.obj
    folder, request = _folder(settings), Request(uuid4().hex, reason)
    try:
        wait_s = seconds(wait)
    except ValueError as error:
        raise typer.BadParameter(f'--wait is "{wait}", {error}') from None
    ask(folder, request)
    answer = wait_for_answer(folder, request.id, wait_s)
    if settings.json:
        screens.document({"request": request.id, "answer": None if answer is None else asdict(answer)})
    elif answer is None:
        screens.say("No service took it up yet; one that runs, or the next that starts, will.")
    else:
        screens.say(_became(answer))
        if answer.problem:
            screens.aside(answer.problem)
    raise typer.Exit(_DONE if answer and not answer.problem else _REFUSED)


def _became(answer: Answer) -> str:
    again = answer.replayed - answer.passed_on
    return f"Rows given once more: {answer.replayed:,}. Passed on: {answer.passed_on:,}. Refused again: {again:,}."


def _line(letter: Rejected) -> Sequence[str]:
    texts = (letter.file, str(letter.row), letter.reason, letter.detail, letter.raw)
    return tuple(shown if len(shown := visible(text)) <= _SHOWN else f"{shown[: _SHOWN - 1]}…" for text in texts)


def _folder(settings: Settings) -> Path:
    config = settings.project().config
    return config.resolve(config.stream.journal)
