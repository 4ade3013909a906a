"""Whether what a config names can be reached."""

from __future__ import annotations

from functools import partial as bound

from tocsin.component import PartSpec
from tocsin.config import LabelsConfig
from tocsin.errors import Problem
from tocsin.model.design import problems_in
from tocsin.records import Batch
from tocsin.sources.base import Tally
from tocsin.system.project import Project


def probe(project: Project) -> list[Problem]:
    """Whether the sources can be read: opens each, reads its first rows through the schema, closes it."""
    config = project.config
    specs = [("$.source", config.source, config.labels), ("$.test", config.test, config.test_labels or config.labels)]
    return [
        config.located(problem)
        for place, spec, labels in specs
        if spec is not None
        for problem in problems_in(bound(_first_rows, project, spec, labels), place)
    ]


def _first_rows(project: Project, spec: PartSpec, labels: LabelsConfig | None) -> Batch | None:
    return next(project.reader.batches(spec, labels, Tally(), keep_refused=False), None)
