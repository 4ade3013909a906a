"""What a running service has done, in one SQLite file: each step is one transaction, and all that follows is told."""

from tocsin.journal.journal import Journal
from tocsin.journal.step import Progress, Receipt, RowVerdict, Step

__all__ = ["Journal", "Progress", "Receipt", "RowVerdict", "Step"]
