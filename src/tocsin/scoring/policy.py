"""The alert policy of a registered model, as a config wants its alerts delivered."""

from __future__ import annotations

from tocsin.alerts import AlertPolicy, BudgetController
from tocsin.config import AlertsConfig
from tocsin.model.anomaly_model import AnomalyModel


def policy_of(model: AnomalyModel, alerts: AlertsConfig, shown: str, *, generated: bool) -> AlertPolicy:
    """The policy that the model's budget was fitted with; how much is delivered at most, the config says.

    Parameters
    ----------
    model, alerts
        Whose flags become alerts, and how many of them may be sent.
    shown
        The model's name in alerts.
    generated
        Whether it learnt from generated rows, so that its alerts say so.
    """
    return AlertPolicy(
        cooldown_s=model.design.budget.cooldown_s,
        at_most_per_day=alerts.at_most_per_day,
        model=shown,
        generated=generated,
        controller=BudgetController.of(model.promise) if alerts.adapt else None,
    )
