"""From flagged rows to alerts: within a budget, one message per episode and per incident, and what does not ring."""

from tocsin.alerts.controller import BudgetController
from tocsin.alerts.incidents import Incidents
from tocsin.alerts.policy import AlertPolicy
from tocsin.alerts.quieting import Maintenance, Quieting, Restraint, Scope
from tocsin.alerts.rows import FlaggedRows, flagged_rows
from tocsin.alerts.silences import Silence, Silences

__all__ = [
    "AlertPolicy",
    "BudgetController",
    "FlaggedRows",
    "Incidents",
    "Maintenance",
    "Quieting",
    "Restraint",
    "Scope",
    "Silence",
    "Silences",
    "flagged_rows",
]
