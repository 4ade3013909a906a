"""`tocsin demo --host`: this machine as it is, learnt for less than a minute and then watched."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np

from tocsin import log
from tocsin.cli import screens
from tocsin.cli.demo import fresh
from tocsin.component import PartSpec

if TYPE_CHECKING:
    from tocsin.scoring.scorer import Scored
    from tocsin.system import Outcome, Project

INTERVAL_S = 0.2
LEARN_S = 50

CONFIG = f"""\
version: 1
name: this-machine
source: {{type: host, interval: {INTERVAL_S}, samples: {round(LEARN_S / INTERVAL_S)}}}   # {LEARN_S} s of this machine
schema:                             # of the columns of `host` those that tell within seconds
  time: timestamp
  entity: device_id
  fields:
    timestamp: {{dtype: time}}
    device_id: {{dtype: address, identity: true}}
    proc_cpu_top5_sum: {{unit: pct, minimum: 0, optional: true}}
    proc_mem_top5_sum: {{unit: pct, minimum: 0, optional: true}}
    proc_count: {{dtype: integer, unit: processes, minimum: 0, optional: true}}
features:
  derive:
    - type: rolling                 # one busy moment is nothing, three busy seconds are
      columns: [proc_cpu_top5_sum, proc_mem_top5_sum, proc_count]
      statistics: [mean]
      windows: [3s]
      exact: true
      min_count: 4
preparation: {{scale: none}}
# Five percent of a core or of the memory, or five processes, count as one deviation at least, and five deviations
# as the least that rings.
detector: {{type: robust_zscore, two_sided: false, min_scale: 5}}
threshold: {{type: margin, times: 3, least: 5}}
split: {{train: 0.45, calibration: 0.45}}
alerts: {{budget: 1/hour, cooldown: 30s}}
logging: {{level: error}}
sinks: [{{type: console}}, {{type: jsonl, path: alerts.jsonl}}]
"""


def run_watch(folder: Path, watch_s: float, *, as_json: bool) -> int:
    """Learn, watch, tell; 0 when it watched to the end, whatever rang."""
    from tocsin.system import Project

    fresh(folder)
    config = folder / "tocsin.yaml"
    config.write_text(CONFIG, "utf-8")
    project = Project.load(config)
    log.configure(project.config.logging.level)
    if not as_json:
        screens.say(f"Learning what is normal on this machine: {LEARN_S} s of what its processes do. Leave it alone.")
    with screens.progress_of(project):
        outcome = project.train(promote=True)
    if not as_json:
        _show_learnt(outcome, watch_s)
    rows = rang = 0
    # With --json standard output is one document: alerts for people go beside it.
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with aside:
        for scored in _watched(project, watch_s):
            rows += scored.batch.rows
            rang += sum(not alert.quiet for alert in scored.alerts)
    if as_json:
        screens.document(
            {
                "generated": False,
                "learnt_rows": outcome.rows.passed_on,
                "learnt_seconds": LEARN_S,
                "promise": outcome.report.promise,
                "watched_rows": rows,
                "watched_seconds": watch_s,
                "alerts": rang,
            }
        )
    else:
        _show_watched(project, rows, rang)
    return 0


def _watched(project: Project, watch_s: float) -> Iterator[Scored]:
    """The same machine again, row by row as they come, through the model just learnt."""
    from tocsin.system import Project

    samples = max(1, round(watch_s / INTERVAL_S))
    source = PartSpec("host", {"interval": INTERVAL_S, "samples": samples})
    return Project(project.config.model_copy(update={"source": source})).score()


def _show_learnt(outcome: Outcome, watch_s: float) -> None:
    promise = outcome.report.promise
    calibrated_s = promise["days"] * 86_400.0
    screens.out.print(f"Learnt from [bold]{outcome.rows.passed_on} rows[/] of real telemetry; nothing is generated.")
    if promise["state"] != "held":
        screens.out.print(
            f"[yellow]{promise['state'].capitalize()}:[/] {calibrated_s:.0f} s of calibration promise no alert rate. "
            "The level lies three times\n  as far out as anything they have shown; what is only just unusual is missed."
        )
    if _busy_pct(outcome) > 50.0:
        screens.aside("Half of this machine or more was busy all along: another burner may not stand out.")
    screens.say(f"Watching for {watch_s:g} s. To hear it ring: yes > /dev/null")


def _busy_pct(outcome: Outcome) -> float:
    """What processes took of all cores in the last seconds of learning."""
    evidence = outcome.evidence
    column = evidence.feature_names.index("proc_cpu_top5_sum_mean_3s")
    return float(np.median(evidence.features[:, column])) / (os.cpu_count() or 1)


def _show_watched(project: Project, rows: int, rang: int) -> None:
    seconds = rows * INTERVAL_S
    alerts = "1 alert" if rang == 1 else f"{rang} alerts"
    screens.out.print(f"Watched {rows:,} rows, {seconds:g} s: [bold]{alerts}[/]")
    config = project.config.folder / "tocsin.yaml"
    screens.say(f"The config: {config}")
    screens.say(f"Next: tocsin -c {quote(str(config))} models list")
