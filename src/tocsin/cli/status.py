"""`tocsin status`: what takes room, what is old, what serves, and how the last runs went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape

from tocsin.cli import screens, version_screens
from tocsin.cli.screens import out
from tocsin.cli.settings import Settings
from tocsin.cli.version_screens import age
from tocsin.errors import TocsinError, visible
from tocsin.registry import Standing
from tocsin.system.logbook import LogEntry
from tocsin.system.overview import Overview, overview
from tocsin.system.standing import ServiceStanding

BARS = "▁▂▃▄▅▆▇█"
_MARKS = {"passed": "[green]✓[/]", "refused": "[yellow]✗[/]", "failed": "[red]✗[/]", "stopped": "-"}


def told(settings: Settings) -> int:
    """Show it; the exit code is 1 where a question got no answer, or one that cannot be trusted."""
    project = settings.project()
    with screens.progress_of(project):
        found = overview(project)
    if settings.json:
        screens.document(_document(found))
    else:
        _screen(found, project.clock())
    return 0 if found.whole else 1


def _document(found: Overview) -> dict[str, Any]:
    stored = sum(version.size_bytes for version in found.versions)
    return {
        "name": found.name,
        "moment": found.moment,
        "status": "valid" if found.whole else "partial",
        "problems": [screens.plain(problem) for problem in found.problems],
        "storage": {"data": found.data, "models": {"versions": len(found.versions), "bytes": stored}},
        "freshness": {"newest_object": _newest_object(found), "newest_row": _newest_row(found)},
        "channels": {standing.channel: _channel(standing, found) for standing in found.channels},
        "fallback": found.fallback,
        "service": found.service,
        "runs": {
            "last": found.runs,
            "last_passed": found.last_passed,
            "last_failed": found.last_failed,
            "last_folder": found.last_run,
        },
        "trend": found.trend,
    }


def _channel(standing: Standing, found: Overview) -> dict[str, Any]:
    step, problem, judged = standing.step, standing.problem, found.judges.get(standing.channel)
    return {
        "version": step.version if step else None,
        "since": step.issued if step else None,
        "expires": step.expires if step else None,
        "stale": standing.stale,
        "key": standing.key,
        "judge": {"role": judged.role, "key": judged.key, "issued": judged.issued} if judged else None,
        "problem": screens.plain(problem) if problem else None,
    }


def _screen(found: Overview, now: datetime) -> None:
    rows: list[tuple[str, ...]] = [("data", "files", "size", "youngest", "oldest")]
    for place, room in found.data.items():
        if room.items:
            ends = (f"{age(moment, now)} ago" if moment else "" for moment in (room.newest, room.oldest))
            rows.append((place, f"{room.items:,}", screens.size(room.bytes), *ends))
    screens.grid(rows)
    if row := _newest_row(found):
        screens.say(f"Newest row that was judged: {row[:16].replace('T', ' ')}, {age(row, now)} ago")
    stored = screens.size(sum(version.size_bytes for version in found.versions))
    models = f"{len(found.versions)}, {stored}" if found.versions else "none yet, tocsin train makes one"
    screens.say(f"Models: {models}")
    version_screens.standings(found.channels, now)
    if found.fallback:
        out.print("[bold red]The champion cannot be used: the last good model of this machine serves.[/]")
    if found.service:
        _service(found.service, now)
    _past(found)
    for problem in found.problems:
        screens.error(TocsinError(problem.where, problem.got, problem.wanted, problem.hint), as_json=False)


def _service(found: ServiceStanding, now: datetime) -> None:
    rows, ago = found.rows, age(found.committed, now) if found.committed else ""
    screens.say(f"Service: {'running' if found.running else 'not running'}, {screens.size(found.bytes)} kept")
    if ago:
        screens.say(
            f"  {rows['received']:,} rows received: {rows['passed_on']:,} scored, {rows['quarantined']:,} refused, "
            f"{rows['duplicates']:,} repeated, {rows['ignored']:,} left out; last commit {ago} ago"
        )
        screens.say(f"  scored by {found.model[:12]}, checkpoint {_ago(found.checkpoint, now)}")
    for reason, number in found.letters.items():
        screens.say(f"  dead letters: {number:,} {reason}")
    for why, number in found.quiet.items():
        screens.say(f"  alerts kept quiet: {number:,} {why}")
    outcomes = ("waiting", "delivered", "given_up")
    if found.deliveries:
        screens.grid(
            [("alerts to", "waiting", "delivered", "given up")]
            + [(sink, *(f"{counts.get(name, 0):,}" for name in outcomes)) for sink, counts in found.deliveries.items()]
        )


def _ago(moment: str | None, now: datetime) -> str:
    return f"{age(moment, now)} ago" if moment else "not yet"


def _past(found: Overview) -> None:
    if found.runs:
        out.print("[bold]Last runs[/]")
    if found.last_passed and found.last_passed not in found.runs:
        screens.say(f"  none of them passed; the last that did: {_run(found.last_passed)}")
    for entry in found.runs:
        out.print(f"  {_MARKS[entry.result]} {escape(visible(_run(entry)))}")
    if found.trend:
        out.print("[bold]Trend[/]")
    for name, values in found.trend.items():
        out.print(f"  {name} {sparkline(values)} {values[-1]:.3g}")


def _run(entry: LogEntry) -> str:
    end = f"{entry.result} in {entry.stage}" if entry.result in {"failed", "stopped"} else entry.result
    version = f", version {entry.version}" if entry.version else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.began[:16].replace('T', ' ')} {entry.verb} {end}{reason} ({entry.seconds:.1f} s{version})"


def _newest_object(found: Overview) -> str | None:
    return found.data["source"].newest if "source" in found.data else None


def _newest_row(found: Overview) -> str | None:
    rows = [entry.newest_row for entry in found.runs if entry.newest_row]
    return rows[-1] if rows else None


def sparkline(values: Sequence[float]) -> str:
    """A bar for each value, the lowest to the highest.

    >>> sparkline([0.0, 0.5, 1.0]), sparkline([2.0, 2.0])
    ('▁▅█', '▁▁')
    """
    low, high = min(values), max(values)
    steps = [round((value - low) / (high - low) * (len(BARS) - 1)) if high > low else 0 for value in values]
    return "".join(BARS[step] for step in steps)
