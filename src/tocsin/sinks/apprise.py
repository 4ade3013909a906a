"""Alerts as messages to people, by any of the services that Apprise knows: mail, Slack, Telegram, PagerDuty, ...

Source: Apprise, "URL basics" and "Development API".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from tocsin.component import Duration
from tocsin.errors import DeliveryError
from tocsin.observe import live
from tocsin.records import Alert, Severity
from tocsin.sinks import base_receiver
from tocsin.sinks.base import DeliveredIds, Secret, Sink
from tocsin.sinks.base_words import explained, rows, strongest, whose, window

with warnings.catch_warnings():  # it imports a module that Python 3.13 drops
    warnings.simplefilter("ignore", DeprecationWarning)
    import apprise.utils.pgp

_KINDS: dict[Severity, apprise.NotifyType] = {
    "low": apprise.NotifyType.INFO,
    "medium": apprise.NotifyType.WARNING,
    "high": apprise.NotifyType.WARNING,
    "critical": apprise.NotifyType.FAILURE,
}
"""Most services show them by a colour."""
LONGEST_TITLE, LONGEST_BODY = 120, 1_200
"""Characters; what a phone shows without scrolling far."""


class Apprise(Sink):
    """Send each alert as a short text: who and how grave in the title, then why, when and how sure.

    Text of telemetry is given to the service as text: a service that reads markup gets it escaped, and nobody is
    called by an `@` in it. Apprise itself opens the connections: where they end is not checked as it is for `webhook`,
    and the redirects that it would follow are turned off.

    Parameters
    ----------
    url
        One service and its credentials in Apprise's form, such as `${ALERT_MAIL}` with `mailtos://user:password@host`
        in the environment. No message shows it.
    timeout
        For a message, at most.
    reveal
        Show real names in place of pseudonyms.
    """

    def __init__(
        self, *, url: str, timeout: Annotated[Duration, Field(ge=1.0, le=120.0)] = 30.0, reveal: bool = False
    ) -> None:
        self.url = Secret(url)
        self.timeout = timeout
        self.reveal = reveal
        self._service: apprise.Apprise | None = None
        self._delivered = DeliveredIds()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A sink that posts to this machine, where nobody looks at it."""
        return cls(url=f"json://{base_receiver.HOST}:{base_receiver.port()}/")

    def open(self) -> None:
        """Find out which service the URL means; it is not asked yet.

        Raises
        ------
        DeliveryError
            If Apprise knows no such service, or the URL lacks what it needs.
        """
        asset = apprise.AppriseAsset(
            app_id="Tocsin",
            app_desc="Tocsin",
            app_url="",
            async_mode=False,
            pgp_autogen=False,
            pem_autogen=False,
            http_redirects=False,
            service_timeout=self.timeout,
        )
        service = apprise.Apprise.instantiate(str(self.url), asset=asset)
        if service is None:
            got, hint = "a url that Apprise does not understand", "https://appriseit.com/services lists their forms"
            raise DeliveryError("sink apprise", got, "one service and its credentials", hint)
        self._service = apprise.Apprise(service, asset=asset)

    def write(self, alerts: Sequence[Alert]) -> None:
        """Send the alerts that were not sent yet, one after the other.

        Raises
        ------
        DeliveryError
            If the sink is closed, or the service does not take one.
        """
        if self._service is None:
            raise DeliveryError("sink apprise", "a write while closed", hint="open the sink first")
        for alert in self._delivered.fresh(alerts):
            sent = self._service.notify(
                title=title(alert),
                body=body(alert),
                notify_type=_KINDS[alert.severity],
                body_format=apprise.NotifyFormat.TEXT,
            )
            if not sent:
                got, hint = "a service that does not take it", "`apprise -v -b test URL` says more"
                raise DeliveryError("sink apprise", got, "an alert delivered", hint)
            self._delivered.add(alert.id)

    def close(self) -> None:
        """Send no more; may be called twice."""
        self._service = None


def title(alert: Alert) -> str:
    """`HIGH: host 0`, of one line."""
    return _short(f"{alert.severity.upper()}: {whose(alert)}", LONGEST_TITLE)


def body(alert: Alert) -> str:
    """Why, when, how sure, and what says so, each on a line of its own."""
    return _short("\n".join(line for line in _lines(alert) if line), LONGEST_BODY)


def _lines(alert: Alert) -> Iterator[str]:
    if alert.generated:
        yield "Made from generated data."
    yield from map(explained, strongest(alert, 3))
    yield ", ".join(part for part in (window(alert), rows(alert)) if part)
    sure = "" if alert.confidence is None else f", confidence {alert.confidence:.0%}"
    yield f"p {alert.p_value:.2g}, score {alert.score:.4g}{sure}"
    yield "" if alert.state == "ready" else f"state {alert.state.replace('_', ' ')}"
    yield f"model {alert.model}" if alert.model else ""
    yield f"id {alert.id}"


def _short(text: str, longest: int) -> str:
    """At most so many characters, and no `@` that calls anybody: a space of no width stands behind it."""
    if len(text) > longest:
        live.alert_shortened("apprise")
        text = f"{text[: longest - 1]}…"
    return text.replace("@", "@\u200b")
