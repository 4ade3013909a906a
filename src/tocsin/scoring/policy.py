"""The alert policy of a registered model, as a config wants its alerts delivered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tocsin.alerts import AlertPolicy, BudgetController, Incidents, Maintenance, Quieting, Restraint, Scope, Silences
from tocsin.alerts.causes import columns_behind
from tocsin.config import AlertsConfig, Config
from tocsin.errors import Problem, did_you_mean
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.privacy import Privacy
from tocsin.records import SECOND

Clock = Callable[[], datetime]


def policy_of(
    model: AnomalyModel, alerts: AlertsConfig, shown: str, *, generated: bool, restraint: Restraint | None = None
) -> AlertPolicy:
    """The policy that the model's budget was fitted with; how much is delivered at most, the config says.

    Parameters
    ----------
    model, alerts
        Whose flags become alerts, and how many of them may be sent.
    shown
        The model's name in alerts.
    generated
        Whether it learnt from generated rows, so that its alerts say so.
    restraint
        What is not delivered; by default, as a model is judged by, only what is beyond `alerts.at_most`.
    """
    return AlertPolicy(
        cooldown_s=model.design.budget.cooldown_s,
        model=shown,
        generated=generated,
        controller=BudgetController.of(model.promise) if alerts.adapt else None,
        restraint=restraint or Restraint(at_most_per_day=alerts.at_most_per_day),
    )


def restraint_of(config: Config, privacy: Privacy, clock: Clock, *, dry_run: bool = False) -> Restraint:
    """What a config keeps from being delivered, and what was silenced; it only ever takes from what is promised."""
    alerts = config.alerts

    def scope(entity: str | None, cause: str | None) -> Scope:
        return Scope(in_rows(config, privacy, entity or ""), cause or "")

    return Restraint(
        at_most_per_day=alerts.at_most_per_day,
        incidents=Incidents(alerts.incident.entities, alerts.incident.window) if alerts.incident else None,
        quieting=Quieting(
            [scope(rule.entity, rule.cause) for rule in alerts.allow],
            [
                Maintenance(scope(rule.entity, None), *map(_micros, (rule.start, rule.end)))
                for rule in alerts.maintenance
            ],
            silences_of(config, clock),
        ),
        dry_run=dry_run,
    )


def check_rules(config: Config) -> list[Problem]:
    """What of `alerts.allow` and `alerts.maintenance` can mean nothing; for a config that is sound otherwise."""
    alerts, problems = config.alerts, []
    if alerts.maintenance and config.schema_.time is None:
        problems.append(Problem("$.alerts.maintenance", "times, and telemetry without a clock", "a schema with `time`"))
    of_allow = [(f"$.alerts.allow[{place}]", rule.entity) for place, rule in enumerate(alerts.allow)]
    of_maintenance = [(f"$.alerts.maintenance[{place}]", rule.entity) for place, rule in enumerate(alerts.maintenance)]
    for where, entity in (*of_allow, *of_maintenance):
        if entity is not None and config.schema_.entity is None:
            problems.append(Problem(f"{where}.entity", f'"{entity}", and rows of nobody', "a schema with `entity`"))
    for place, allowed in enumerate(alerts.allow):
        problems += check_cause(config, f"$.alerts.allow[{place}].cause", allowed.cause)
    return problems


def check_cause(config: Config, where: str, cause: str | None) -> list[Problem]:
    """Whether an alert can have a cause; of a schema that is open nobody knows before its telemetry is met."""
    if cause is None or config.schema_.others is not None:
        return []
    design = Design.of(config)
    known = sorted({*config.schema_.fields, *columns_behind(design.program(design.no_rows()))})
    if cause in known:
        return []
    return [Problem(where, f'"{cause}"', "a column of the schema", did_you_mean(cause, known))]


def silences_of(config: Config, clock: Clock) -> Silences:
    """The silences of a project."""
    return Silences(config.resolve(config.alerts.silences), clock)


def in_rows(config: Config, privacy: Privacy, entity: str) -> str:
    """How rows name an entity that a person calls by its real name."""
    schema = config.schema_
    return privacy.pseudonym(entity) if schema.entity in schema.identities else entity


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * SECOND)
