"""`tocsin demo`: the main job, whole, on generated flows with attacks planted after the training span."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tocsin import log
from tocsin.cli import screens
from tocsin.cli.pictures import illustrated
from tocsin.errors import ConfigError, Problem

if TYPE_CHECKING:
    from tocsin.system import Outcome, Project

MARK = ".tocsin-demo"
"""Only a folder with this file in it is ever made anew."""

CONFIG = """\
version: 1
name: demo
preset: flows
source:
  type: synthetic          # nothing here is real, and every output says so
  kind: flows
  days: 28
  anomaly_rate: 0.05
  seed: 7
  attacks_from_day: 22.4   # behind the rows that the model learns from
labels: {column: label}
split: {train: 0.6, calibration: 0.2}
alerts: {budget: 4/day, cooldown: 10m}
gate: {event_recall: ">= 0.5", roc_auc: ">= 0.9", latency_p99: "<= 100ms"}
logging: {level: warning}
sinks: [{type: console}, {type: jsonl, path: alerts.jsonl}]
"""


def run_demo(folder: Path, *, as_json: bool) -> int:
    """Train, judge and show; 0 if at least one planted attack rang."""
    from tocsin.system import Project

    fresh(folder)
    config = folder / "tocsin.yaml"
    config.write_text(CONFIG, "utf-8")
    project = Project.load(config)
    log.configure(project.config.logging.level)
    with screens.progress_of(project):
        outcome = project.train(promote=True)
        page = illustrated(outcome)
    events = outcome.report.events
    planted, caught = (0, 0) if events is None else (events.events, events.caught)
    if as_json:
        screens.document(
            {
                "generated": True,
                "verdict": outcome.verdict,
                "planted": planted,
                "caught": caught,
                "false_alarms": outcome.report.figures.get("false_alarms"),
                "report": page,
            }
        )
    else:
        _show(project, outcome, planted, caught, page)
    return 0 if caught else 1


def fresh(folder: Path) -> None:
    """Make the folder of a demo anew; raises ConfigError if what stands there is none."""
    if folder.exists() and not (folder / MARK).exists():
        hint = "choose another with --folder"
        raise ConfigError([Problem(str(folder), "a folder that is no demo", "a new one", hint)])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def _show(project: Project, outcome: Outcome, planted: int, caught: int, page: Path) -> None:
    config = project.config.folder / "tocsin.yaml"
    figures = outcome.report.figures
    screens.out.print("[bold]Tocsin's main job on generated flows[/] [yellow](nothing here is real telemetry)[/]\n")
    screens.verdict(outcome.verdict)
    screens.out.print(f"\nPlanted attacks caught: [bold]{caught} of {planted}[/]")
    days = (figures["alerts"] / figures["alerts_per_day"]) if figures.get("alerts_per_day") else 0.0
    low, high = outcome.report.promise["interval"]
    screens.out.print(
        f"False alarms: [bold]{figures['false_alarms']:.0f}[/] in {days:.1f} days; the budget is 4 a day, "
        f"in nine spans of ten {low:.1f} to {high:.1f}\n"
    )
    for alert in sorted(outcome.evidence.alerts, key=lambda item: item.p_value)[:1]:
        screens.out.print("The least likely of the alerts:")
        screens.alert(replace(alert, entity=project.privacy.name(alert.entity)))
    screens.say("")
    screens.say(f"The report: {page}")
    screens.say(f"The config: {config}")
    screens.say(f"Next: tocsin -c {quote(str(config))} models list")
