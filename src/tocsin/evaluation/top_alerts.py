"""What a model would catch at a given number of alerts: events found by its highest scores, however its level was set.

The level is the lowest at which the scores ring at most so many alerts over the rows at hand, after grouping. It looks
at the scores of these very rows, and at no label: it says how well the scores rank, not what a level fixed before would
have done. That is what `event_recall` says.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tocsin.calibration import AlertTotals, codes_of, episode_floors
from tocsin.evaluation.events import Events
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.measures import NO_ANOMALY, Figure, missing, rate
from tocsin.evaluation.pace import Watched

RATES: Mapping[str, int] = {f"event_recall_at_{alerts}_per_day": alerts for alerts in (1, 3, 10)}
"""Figures by name, and alerts a day."""


def top_alert_figures(evidence: Evidence, events: Events | None, watched: Watched | None) -> dict[str, Figure]:
    """Recall of events at so many alerts a day.

    Parameters
    ----------
    evidence
        All rows.
    events
        Of the judged rows: numbered among them.
    watched
        The days that hold rows; None without a clock.
    """
    times = evidence.times
    if times is None or watched is None or events is None:
        return dict.fromkeys(RATES, missing("no clock"))
    ready = np.flatnonzero(evidence.ready)
    score, entities = evidence.scores.score[ready], evidence.entities
    codes = codes_of(None if entities is None else entities[ready], len(ready))
    floors = episode_floors(score, times[ready], codes, evidence.cooldown_s)
    totals = AlertTotals.of(score, floors, np.zeros(len(ready), np.intp), len(ready))
    judged_score = evidence.scores.score[evidence.judged]
    figures = {}
    for name, each_day in RATES.items():
        alerts = int(each_day * watched.days)
        if not alerts:
            figures[name] = missing(f"less than one alert in {watched.days:.3g} days")
            continue
        level = totals.lowest_level(totals.totals <= alerts)
        caught = int(events.caught(judged_score >= level).sum())
        remark = f"level without labels: the top {alerts:,} alerts"
        figures[name] = rate(caught, events.count, NO_ANOMALY).remarked(remark)
    return figures
