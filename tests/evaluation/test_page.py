from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.judge import judge_figures
from tocsin.evaluation.measures import Figure, Unit
from tocsin.evaluation.page import interval, shown, words, write_page
from tocsin.evaluation.plots import draw
from tocsin.evaluation.report import evaluate
from tocsin.model.training_rows import TrainingRows
from tocsin.records import SECOND

Make = Callable[..., Evidence]
VOID = {"meta", "img"}


class Outline(HTMLParser):
    """Tags that are opened and closed, and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _page(evidence: Evidence, folder: Path, limits: dict[str, str] | None = None, *, plots: bool = False) -> str:
    report = evaluate(evidence)
    verdict = None if limits is None else judge_figures(report, limits)
    pictures = draw(evidence, report, folder) if plots else ()
    write_page(evidence, report, verdict, pictures, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_holds_everything_and_fetches_nothing(make_evidence: Make, tmp_path: Path) -> None:
    page = _page(make_evidence(), tmp_path, {"recall": ">= 0.5", "precision": ">= 99.9%"}, plots=True)
    outline = Outline(page)
    assert outline.open == []
    assert "script" not in outline.tags
    assert len(outline.fetched) == 7
    assert all(address.startswith("data:image/png;base64,") for address in outline.fetched)
    assert "Refused" in page
    assert "recall 0." in page
    assert "is not &gt;= 99.9%" in page
    for heading in (
        "Limits",
        "Model card",
        "Labelled incidents",
        "Worst misses",
        "Worst false alarms",
        "Alert budget",
        "Against trivial baselines",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert "sha256:0123" in page
    assert "generated data" not in page


def test_the_worst_rows_say_where_they_were_read_and_why(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence(origins=np.array([f"/data/long/flows.csv:{row}" for row in range(400)], object))
    page = _page(evidence, tmp_path)
    worst = np.flatnonzero(evidence.labels == 1)[np.argmin(evidence.scores.score[evidence.labels == 1])]
    misses = page[page.index("Worst misses") : page.index("Worst false alarms")]
    first = re.search(r"<tbody>\s*<tr>(.*?)</tr>", misses, re.DOTALL)
    assert first is not None
    assert f'title="{evidence.origins[worst]}">flows.csv:{worst}</td>' in first[1]
    assert "flood" in first[1]
    assert re.search(r"(bytes|duration_s) \+", first[1])


def _table(page: str, heading: str) -> list[list[str]]:
    """The cells below a heading, row by row."""
    text = page[page.index(f"<h2>{heading}</h2>") :]
    body = text[text.index("<tbody>") : text.index("</tbody>")]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("<tr>")[1:]]


def test_misses_were_not_flagged_and_false_alarms_were(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence()
    page, score, flagged = _page(evidence, tmp_path), evidence.scores.score, evidence.scores.flagged
    missed = np.flatnonzero((evidence.labels == 1) & ~flagged)
    alarms = np.flatnonzero((evidence.labels == 0) & flagged)
    assert 0 < len(missed) < 10
    for heading, rows in (
        ("Worst misses", missed[np.argsort(score[missed])]),
        ("Worst false alarms", alarms[np.argsort(-score[alarms])][:10]),
    ):
        assert [cells[0] for cells in _table(page, heading)] == evidence.origins[rows].tolist()


def test_where_nothing_was_missed_and_nothing_rang_falsely_a_sentence_says_so(
    make_evidence: Make, tmp_path: Path
) -> None:
    evidence = make_evidence()
    right = replace(evidence, scores=replace(evidence.scores, flagged=evidence.truth == 1))
    page = _page(right, tmp_path)
    assert "None: every labelled anomaly that could ring was flagged." in page
    assert "None: no row that is labelled normal was flagged." in page
    assert "What weighed most" not in page


def test_the_worst_rows_are_short_and_keep_the_whole_as_a_title(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence()
    assert evidence.times is not None
    pseudonym = "0123456789abcdef" * 2
    page = _page(replace(evidence, times=evidence.times + 123_456, entities=np.full(400, pseudonym, object)), tmp_path)
    assert f'title="{pseudonym}">01234567</td>' in page
    first = _table(page, "Worst misses")[0]
    assert re.fullmatch(r"2023-11-14 \d\d:\d\d:\d\d", first[1])
    assert re.match(r"(bytes|packets|duration_s) \+", first[2])
    headings = re.findall(r"<th[^>]*>([^<]*)</th>", page[page.index("Worst misses") : page.index("Worst false")])
    assert headings[:7] == ["Read at", "Time (UTC)", "What weighed most", "Entity", "Class", "Score", "p-value"]
    plain = _page(make_evidence(entities=np.full(400, "192.168.100.200", object)), tmp_path)
    assert ">192.168.100.200</td>" in plain


def test_rows_that_the_model_learnt_from_wear_a_banner(make_evidence: Make, tmp_path: Path) -> None:
    page = _page(make_evidence(seen_in_training=True), tmp_path)
    assert re.search(r'class="banner"[^>]*>The rows judged here are, in whole or in part', page)
    assert 'class="banner"' not in _page(make_evidence(), tmp_path)


def test_generated_data_wears_a_banner(make_evidence: Make, tmp_path: Path) -> None:
    assert "Made from generated data" in _page(make_evidence(generated=True), tmp_path)


def test_nothing_from_telemetry_becomes_markup(make_evidence: Make, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\"'"
    page = _page(
        make_evidence(
            title=hostile,
            model=hostile,
            entities=np.full(400, hostile, object),
            classes=np.full(400, hostile, object),
            origins=np.full(400, hostile, object),
            feature_names=(hostile, "b", "c"),
            promise={hostile: hostile},
        ),
        tmp_path,
    )
    assert "<script" not in page
    assert Outline(page).open == []


def test_without_labels_the_page_shows_what_to_look_at_first(make_evidence: Make, tmp_path: Path) -> None:
    page = _page(make_evidence(labels=None, times=None, entities=None, promise={}), tmp_path, {})
    assert page.count("no labels: ") == 1
    assert "No value for Accuracy, Precision, Recall" in page
    assert "Against trivial baselines" not in page
    figures = page[page.index("<h2>Figures</h2>") : page.index("Highest scores of unknown label")]
    assert ">—<" not in figures
    assert "Time (UTC)" not in page
    assert "Worst misses" not in page
    assert "Highest scores of unknown label" in page
    assert "No budget was set" in page
    assert "nothing was asked" in page


def test_the_budget_is_told_in_few_digits_and_without_what_is_not_there(make_evidence: Make, tmp_path: Path) -> None:
    promise = {"asked": 3.0, "interval": [1.2589341, 7.1339599], "rows_needed": None, "rows": 31_354, "days": 5.95812}
    page = _page(make_evidence(promise=promise), tmp_path)
    budget = page[page.index("<h2>Alert budget</h2>") :]
    assert "<td>1.259 to 7.134</td>" in budget
    assert "<td>31,354</td>" in budget
    assert "None" not in budget
    assert "Rows needed" not in budget


def test_a_model_that_nobody_judged_is_not_called_passed(make_evidence: Make, tmp_path: Path) -> None:
    page = _page(make_evidence(), tmp_path)
    assert "Not judged" in page
    assert "Passed" not in page


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.91234, "ratio", "0.9123"),
        (1_234, "count", "1,234"),
        (41.234, "ms", "41.2 ms"),
        (180_000_000, "bytes", "180.0 MB"),
        (None, "s", "—"),
        (1.62, "s", "1.62 s"),
        (1_200, "s", "20 min"),
        (200_000, "s", "2.31 d"),
    ],
)
def test_figures_are_shown_with_their_unit(value: float | None, unit: Unit, text: str) -> None:
    assert shown(Figure(value, unit=unit)) == text


def test_an_interval_is_written_as_its_figure() -> None:
    assert interval(Figure(0.5, 0.25, 0.75)) == "0.2500 to 0.7500"
    assert interval(Figure(90.0, 30.0, 7_200.0, unit="s")) == "30 s to 2 h"
    assert not interval(Figure(0.5))


def test_the_card_says_what_the_model_was_made_from_and_what_it_is_worth(
    make_evidence: Make, remembered: Callable[..., TrainingRows], tmp_path: Path
) -> None:
    times = np.array([1_600_000_000, 1_600_086_400, 1_600_172_800]) * SECOND
    training = remembered(np.random.default_rng(0).normal(size=(3, 3)), times)
    page = _page(make_evidence(training=training), tmp_path)
    told = page[page.index("<h2>Model card</h2>") : page.index("</details>")]
    assert "3 rows from 2020-09-13T12:26:40Z to 2020-09-15T12:26:40Z" in told
    assert "400 rows from 2023-11-14T22:13:20Z to 2023-11-14T22:19:59Z, 40 labelled anomalies and 360" in told
    assert "AbsoluteValue()" in told
    assert "It ranks these rows better than: random, constant" in told
    assert told.count('<td class="name"') == 3  # the drift reference, a line for each column


def test_incidents_are_listed_with_when_they_rang(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence(classes=None)
    flagged = np.zeros(400, bool)
    flagged[206] = True
    page = _page(replace(evidence, scores=replace(evidence.scores, flagged=flagged)), tmp_path)
    first, second = _table(page, "Labelled incidents")
    assert first[:3] == ["2023-11-14 22:16:40", "host-0", "20"]
    assert re.sub("<[^>]*>", "", first[3]) == "yes, after 6 s"
    assert re.sub("<[^>]*>", "", second[3]) == "no"


def test_names_become_words() -> None:
    assert [words(name) for name in ("false_positive_rate", "latency_p99_ms", "roc_auc", "f1")] == [
        "False positive rate",
        "Latency p99",
        "ROC-AUC",
        "F1",
    ]
