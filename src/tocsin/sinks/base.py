"""What every sink is: somewhere alerts arrive."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from tocsin.component import Part
from tocsin.records import Alert


class Sink(Part):
    """Delivers alerts. Between `open` and `close` it may be written to any number of times."""

    def open(self) -> None:  # noqa: B027  # many sinks have nothing to open
        """Make ready to write.

        Raises
        ------
        DeliveryError
            If the destination cannot be reached or written.
        """

    @abstractmethod
    def write(self, alerts: Sequence[Alert]) -> None:
        """Deliver all of them or raise; an alert id seen before is harmless.

        Raises
        ------
        DeliveryError
            If any alert was not delivered, or the sink is closed.
        """

    def close(self) -> None:  # noqa: B027
        """Release what `open` took; may be called twice."""
