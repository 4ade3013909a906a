"""How versions of models look on a terminal: all of them, one of them, two side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from tocsin.cli import screens
from tocsin.cli.screens import literal, out

if TYPE_CHECKING:
    from tocsin.registry import ChannelEntry, Judged, Standing, Version
    from tocsin.registry.ledger import Heirloom

FIGURES = (
    ("average_precision", "avg. precision"),
    ("event_recall", "events caught"),
    ("false_positive_rate", "FPR"),
    ("anomaly_rate", "anomaly rate"),
    ("alerts_per_day", "alerts a day"),
)
MOST_FIGURES = 3
"""In a list: the first ones of those that any version has."""
UNITS = ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "min"), (0, 1, "s"))
"""From how many seconds on, how many of them one unit has, its name."""
KEY = 8
"""Hex digits of a key in a list."""


def versions(found: Mapping[str, Any], now: datetime) -> None:
    """The kept versions, newest first, in as wide a table as fits or one below the other; then the channels."""
    newest_first: Sequence[Version] = sorted(found["versions"], key=lambda item: -item.version)
    there = [pair for pair in FIGURES if any(pair[0] in entry.summary for entry in newest_first)]
    for figures in range(MOST_FIGURES, -1, -1):
        rows = [_row(found, entry, there[:figures]) for entry in newest_first]
        table = _table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])
        if out.measure(table, options=out.options.update(max_width=screens.WIDEST)).maximum <= out.width:
            if rows:
                out.print(table, soft_wrap=False)
            break
    else:
        for entry in newest_first:
            cells = _row(found, entry, there)
            screens.listing(f"version {cells.pop('version')}", {title: cell for title, cell in cells.items() if cell})
    standings(found["standings"], now)
    if found["retired"]:
        out.print(f"[dim]Given up: {', '.join(map(str, found['retired']))}[/]")
    heirlooms(found["heirlooms"])
    for problem in found["problems"]:
        out.print(f"[red]✗[/] {escape(str(problem))}")


def heirlooms(found: Iterable[Heirloom]) -> None:
    """What other systems knew of models of theirs, which nothing here can load."""
    for item in found:
        said = {"written": item.created, "told": item.description, **{k: f"{v:g}" for k, v in item.figures.items()}}
        said |= {f"refused {file}": reason for file, reason in item.refused.items()}
        title = f"{item.system}: {item.name} {item.version}, archived and not loadable"
        screens.listing(title, {name: text for name, text in said.items() if text})


def standings(found: Iterable[Standing], now: datetime) -> None:
    """Where each channel points, since when, by whom, and what is wrong with it."""
    for standing in found:
        if standing.problem:
            out.print(f"[red]✗[/] {literal(standing.channel)}: {escape(str(standing.problem))}")
        elif standing.step:
            step, since = standing.step, age(standing.step.issued, now)
            said = f"version {step.version}, {_reason(step)} {since} ago by the key {standing.key[:KEY]}"
            out.print(f"{literal(standing.channel)}: {literal(said)}")
            if standing.stale:
                renewing = f"tocsin models promote {step.version} renews it"
                out.print(f"  [yellow]past its time since {step.expires[:10]}: {renewing}[/]")


def version(found: Mapping[str, Any]) -> None:
    """Where a version came from, who judged it, where it has served and how to go back."""
    entry: Version = found["version"]
    notes, content = found["notes"], found["content"]
    if entry.generated:
        out.print(screens.GENERATED)
    out.print(f"[bold]{literal(entry.name)} version {entry.version}[/]")
    out.print(f"  model {entry.digest}")
    out.print(f"  added {entry.created}, {entry.size_bytes:,} bytes")
    out.print("[bold]Learnt from[/]")
    for digest, file in (notes.get("inputs") or {}).items():
        out.print(f"  {digest}  {literal(file)}")
    for line in _training(notes, found["parent"]):
        out.print(f"  {literal(line)}")
    for part in ("features", "preparation", "detector", "threshold", "budget"):
        screens.listing(part.capitalize(), {name: _text(value) for name, value in content[part].items() if value})
    screens.listing("Figures", {name: _text(value) for name, value in entry.summary.items() if name not in notes})
    for judged in found["judgements"]:
        out.print(f"[bold]Judged[/] {judged.issued[:16]} by the {judged.role} key {judged.key}")
        screens.verdict(judged.verdict)
    out.print("[bold]Channels[/]")
    for channel, steps in found["channels"].items():
        for step in steps:
            approved = f", approved: {step.approved}" if step.approved else ""
            out.print(f"  {literal(channel)} step {step.number}: {_reason(step)} {step.issued[:16]}{literal(approved)}")
    out.print(_way_on(entry.version, found))


def differences(found: Mapping[str, Any]) -> None:
    """What differs between two versions, and the figures of both."""
    one, other = found["versions"]
    for title in ("parameters", "threshold", "figures", "data", "libraries"):
        sides = found[title]
        changed = {name: side for name, side in sides.items() if side["first"] != side["second"]}
        rows = [
            [name, _text(side["first"]), _text(side["second"]), _change(side["first"], side["change"])]
            for name, side in changed.items()
        ]
        if rows:
            out.print(_table([title, f"version {one}", f"version {other}", "change"], rows), soft_wrap=False)
        if len(sides) > len(changed):
            out.print(f"[dim]{title}: {len(sides) - len(changed)} are the same[/]")
    for title, key in (("columns", "columns"), ("files learnt from", "inputs")):
        for mark, change in (("+", "added"), ("-", "removed")):
            items = found[key][change]
            lines = [f"{digest}  {file}" for digest, file in items.items()] if isinstance(items, Mapping) else items
            for line in lines:
                out.print(f"{mark} {title}: {literal(line)}")


def age(issued: str, now: datetime) -> str:
    """How long ago something was written down.

    >>> from datetime import UTC
    >>> age("2026-03-01T00:00:00.000+00:00", datetime(2026, 3, 1, 5, 10, tzinfo=UTC))
    '5 h'
    """
    seconds = max((now - datetime.fromisoformat(issued)).total_seconds(), 0.0)
    _, length, unit = next(row for row in UNITS if seconds >= row[0])
    return f"{seconds // length:.0f} {unit}"


def _row(found: Mapping[str, Any], entry: Version, figures: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A version as a line of a list."""
    judged: Judged = found["judged"][str(entry.version)]
    channels = [channel for channel, number in found["channels"].items() if number == entry.version]
    return {
        "version": str(entry.version),
        "model": entry.digest[:12],
        "created": entry.created[:16].replace("T", " "),
        "verdict": "passed" if judged.verdict.passed else "refused",
        "judge": judged.role or "unknown",
        "data": "generated" if entry.generated else "real",
        "size": f"{entry.size_bytes / 1e3:.0f} kB",
        **{title: _text(entry.summary.get(key)) for key, title in figures},
        "channels": ", ".join(channels + ["archived"] * (entry.version in found["archived"])),
    }


def _training(notes: Mapping[str, Any], parent: Mapping[str, Any] | None) -> Iterator[str]:
    """What the notes tell of a training, as far as they do."""
    data = notes.get("data") or {}
    if data:
        span = f", {data['from']} to {data['to']}" if data.get("from") else ""
        yield f"{data['rows']:,} rows of {data['entities']:,} entities{span}"
    if parent:
        known = f"version {parent['version']}, " if parent["version"] else ""
        yield f"to replace {known}model {parent['digest'][:12]}"
    if notes.get("seed") is not None:
        yield f"seed {notes['seed']}"
    if notes.get("libraries"):
        yield "with " + ", ".join(f"{library} {release}" for library, release in notes["libraries"].items())
    if notes.get("train_seconds") is not None:
        yield f"in {_text(notes['train_seconds'])} s, {notes['peak_memory_bytes'] / 1e6:,.0f} MB at the peak"


def _way_on(version: int, found: Mapping[str, Any]) -> str:
    if "champion" in found["serves"]:
        before = found["before"]
        if before is None:
            return "It serves, and there is none before it to go back to."
        return f"It serves. Back to version {before}: tocsin models rollback"
    if found["passed"]:
        return f"Let it serve: tocsin models promote {version}"
    return f"Judge it anew: tocsin gate {version}"


def _change(first: Any, change: float | None) -> str:
    if not change:
        return ""
    return f"{change:+.4g}" + (f" ({change / abs(first):+.1%})" if first else "")


def _reason(step: ChannelEntry) -> str:
    return step.reason.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(literal(title), overflow="fold")
    for row in rows:
        table.add_row(*map(literal, row))
    return table
