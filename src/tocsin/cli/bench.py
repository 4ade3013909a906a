"""`tocsin bench`: Tocsin beside the obvious alternatives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import orjson
import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings


def bench(
    ctx: typer.Context,
    sets: Annotated[list[str] | None, typer.Argument(help="Named sets in TOCSIN_DATA. Default: all there.")] = None,
    *,
    data: Annotated[Path | None, typer.Option(help="A folder of your own: configs, *.npz, *.csv with labels.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for bench.json and bench.md.")] = Path("bench"),
    seed: Annotated[int, typer.Option(min=0, help="Of the contenders that draw random numbers.")] = 0,
) -> None:
    """Tocsin beside the obvious alternatives on named sets or on your own folder. 1 if nothing was judged."""
    from tocsin.bench.cases import named, own
    from tocsin.bench.peers import missing
    from tocsin.bench.run import judge
    from tocsin.bench.table import EXPLAINED, document, grid, markdown, remarks, won

    settings: Settings = ctx.obj
    if data is not None and sets:
        raise typer.BadParameter("named sets lie in TOCSIN_DATA: give names or --data, not both")
    if data is None and not os.environ.get("TOCSIN_DATA"):
        raise typer.BadParameter(
            "set TOCSIN_DATA to the folder of the named sets, or give a folder of your own: --data"
        )
    cases = list(own(data) if data is not None else named(tuple(sets or ()), Path(os.environ["TOCSIN_DATA"])))
    output.mkdir(parents=True, exist_ok=True)
    judged, found = [], document([], missing())
    with screens.counted_progress(len(cases)) as step:
        for done in judge(cases, seed, step):
            judged.append(done)
            found = document(judged, missing())
            # After each, so that whoever interrupts it keeps what is there.
            (output / "bench.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
            (output / "bench.md").write_text(markdown(judged, missing()), "utf-8")
            step("", 1)
    best, all_sets = won(judged)
    if settings.json:
        screens.document(found)
    else:
        screens.grid(grid(judged))
        for line in (EXPLAINED, *remarks(judged, missing())):
            screens.say(line)
        screens.say(f"Highest average precision in {best} of {all_sets} sets. Look at {output}.")
    raise typer.Exit(0 if all_sets else 1)
