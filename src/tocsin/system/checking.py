"""Whether a config holds together, and whether what it names can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial as bound

from tocsin.component import PartSpec, Room
from tocsin.config import Config
from tocsin.errors import ConfigError
from tocsin.evaluation.judge import Wanted
from tocsin.model.design import check_design, problems_in
from tocsin.scoring.policy import check_rules
from tocsin.training.history import check_part, check_period
from tocsin.training.tune import check_search


def check(config: Config) -> None:
    """Whether the parts of a config exist and fit together; opens nothing.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    problems = [
        *check_design(config),
        *problems_in(lambda: Wanted.parse(config.gate)),
        *check_period(config),
        *(
            problem
            for place, room, spec in _outer_parts(config)
            for problem in problems_in(bound(check_part, config, place, room, spec))
        ),
    ] or [*check_search(config), *check_rules(config)]
    if problems:
        raise ConfigError([config.located(problem) for problem in problems])


def _outer_parts(config: Config) -> Iterator[tuple[str, Room, PartSpec]]:
    if config.source is not None:
        yield "$.source", "sources", config.source
    if config.test is not None:
        yield "$.test", "sources", config.test
    if config.stream.source is not None:
        yield "$.stream.source", "sources", config.stream.source
    for index, spec in enumerate(config.sinks):
        yield f"$.sinks[{index}]", "sinks", spec
