"""The options that say which part of a history a command takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.component import seconds

if TYPE_CHECKING:
    from tocsin.training.period import Period

Since = Annotated[str | None, typer.Option(help="Only rows of the last so long, such as 7d.")]
Start = Annotated[str | None, typer.Option(help="Only rows from this day or time on.")]
End = Annotated[str | None, typer.Option(help="Only rows up to the end of this day, or up to this time.")]
MaxAge = Annotated[
    float | None, typer.Option("--max-age-hours", min=0.01, max=1e6, help="Only rows of the last so many hours.")
]


def period_of(since: str | None, start: str | None, end: str | None, max_age_hours: float | None) -> Period | None:
    """What they ask for together; None if they ask for nothing."""
    from tocsin.training.period import asked

    try:
        since_s = None if since is None else seconds(since)
    except ValueError as error:
        raise typer.BadParameter(f'--since is "{since}", {error}') from None
    return asked(since_s, start, end, max_age_hours)
