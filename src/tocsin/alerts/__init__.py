"""From flagged rows to alerts: within a budget, one message per episode."""

from tocsin.alerts.controller import BudgetController
from tocsin.alerts.policy import AlertPolicy
from tocsin.alerts.rows import FlaggedRows, flagged_rows

__all__ = ["AlertPolicy", "BudgetController", "FlaggedRows", "flagged_rows"]
