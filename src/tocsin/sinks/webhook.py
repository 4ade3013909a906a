"""Alerts as signed HTTP requests.

Sources: Standard Webhooks 1.0 (headers, signature); draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Self

import orjson
from pydantic import Field

from tocsin.component import Duration
from tocsin.connections.peer import networks
from tocsin.connections.post import Endpoint, NoAnswer, post
from tocsin.errors import AlertRefused, DeliveryError
from tocsin.records import Alert
from tocsin.sinks import base_receiver
from tocsin.sinks.base import DeliveredIds, Secret, Sink, alert_json

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
"""Bytes of a secret."""
# What a receiver says of itself or of the moment; all else below 500 it says of the one alert.
_PASSING = frozenset({401, 403, 404, 405, 407, 408, 425, 429})


class Webhook(Sink):
    """Post each alert to a URL, as one JSON object in a request of its own.

    ======================  =====================================================================================
    header                  what it holds
    ======================  =====================================================================================
    `Idempotency-Key`       the alert's id: the same alert may come twice, and is the same then
    `webhook-id`            the same
    `webhook-timestamp`     when it was sent, seconds since 1970
    `webhook-signature`     `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`
    ======================  =====================================================================================

    A status of 2xx is a delivery. A request ends at the public internet or in a network of `allow`, whatever the name
    resolves to: the connected socket is asked before anything is sent. Redirects are not followed, proxies of the
    environment not used, and what is answered beside the status is not read.

    Parameters
    ----------
    url
        Where to; `https`, without user and fragment. It is shown in no message but for its host.
    secret
        `whsec_` and the base64 of 24 to 64 random bytes, which the receiver knows too.
    allow
        Networks beside the public internet in which a request may end, such as `10.0.0.0/8`.
    allow_http
        Also take a `url` without TLS.
    ca_file
        PEM file of the authorities that alone may vouch for the receiver; without it those of the system.
    timeout
        To connect and agree on TLS, and again to be answered, at most.
    reveal
        Show real names in place of pseudonyms.

    Examples
    --------
    >>> Webhook(url="https://alerts.example/tocsin", secret="whsec_" + 32 * "a")
    Webhook(url='[hidden]', secret='[hidden]', allow=(), allow_http=False, ca_file=None, timeout=10.0, reveal=False)
    """

    _now: Callable[[], float] = staticmethod(time.time)

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str,
        secret: str,
        allow: tuple[str, ...] = (),
        allow_http: bool = False,
        ca_file: str | None = None,
        timeout: Annotated[Duration, Field(le=60.0)] = 10.0,
        reveal: bool = False,
    ) -> None:
        self.url = Secret(url)
        self.secret = Secret(secret)
        self.allow = allow
        self.allow_http = allow_http
        self.ca_file = ca_file
        self.timeout = timeout
        self.reveal = reveal
        self._to = Endpoint.parse(url, allow_http=allow_http)
        self._key = _key(secret)
        self._allowed = networks(allow)
        self._where = f"sink webhook {self._to.host}"
        self._tls: ssl.SSLContext | None = None
        self._delivered = DeliveredIds()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A sink that posts to this machine, where nobody looks at it."""
        url = f"http://{base_receiver.HOST}:{base_receiver.port()}/"
        return cls(url=url, secret=_PREFIX + 32 * "a", allow=("127.0.0.0/8",), allow_http=True)

    def open(self) -> None:
        """Connect once, to see that the receiver is there and is who it should be.

        Raises
        ------
        DeliveryError
            If it is not, or `ca_file` cannot be read.
        """
        self.close()
        try:
            tls = ssl.create_default_context(cafile=self.ca_file)
            self._to.connect(tls, allow=self._allowed, within_s=self.timeout).close()
        except OSError as error:
            raise self._unreached(error) from None
        self._tls = tls

    def write(self, alerts: Sequence[Alert]) -> None:
        """Post the alerts that were not delivered yet, one after the other.

        One that the receiver will not have does not hold up those behind it.

        Raises
        ------
        AlertRefused
            If the last that was not delivered is one that the receiver will not have.
        DeliveryError
            If the sink is closed, or any answer is no 2xx, or none comes.
        """
        if self._tls is None:
            raise DeliveryError(self._where, "a write while closed", hint="open the sink first")
        refused = None
        for alert in self._delivered.fresh(alerts):
            status = self._post(alert, self._tls)
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                self._delivered.add(alert.id)
                continue
            passes = status in _PASSING or not 400 <= status < 500
            kind = DeliveryError if passes else AlertRefused
            refused = kind(self._where, f"status {status}", "2xx; redirects are not followed")
            if passes:
                break
        if refused is not None:
            raise refused

    def close(self) -> None:
        """Post no more; may be called twice."""
        self._tls = None

    def _post(self, alert: Alert, tls: ssl.SSLContext) -> int:
        body = orjson.dumps(alert_json(alert))
        seconds = str(int(self._now()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "tocsin",
            "Idempotency-Key": alert.id,
            "webhook-id": alert.id,
            "webhook-timestamp": seconds,
            "webhook-signature": f"v1,{signature(self._key, alert.id, seconds, body)}",
        }
        try:
            peer = self._to.connect(tls, allow=self._allowed, within_s=self.timeout)
            return post(self._to, body, headers, peer, within_s=self.timeout)
        except OSError as error:
            raise self._unreached(error) from None
        except NoAnswer as error:
            raise DeliveryError(self._where, str(error), "an answer with a status of 2xx") from None

    def _unreached(self, error: OSError) -> DeliveryError:
        hint = "a receiver in a network of your own belongs into `allow`"
        return DeliveryError(self._where, error.strerror or str(error) or "no connection in time", "a receiver", hint)


def signature(key: bytes, id: str, seconds: str, body: bytes) -> str:
    """Base64 of HMAC-SHA-256 over `id.seconds.body`."""
    signed = hmac.digest(key, b".".join((id.encode(), seconds.encode(), body)), hashlib.sha256)
    return base64.b64encode(signed).decode()


def _key(secret: str) -> bytes:
    wanted = f"wanted {_PREFIX} and the base64 of {_SHORTEST} to {_LONGEST} random bytes: openssl rand -base64 32"
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret that is no base64, {wanted}") from None
    if not secret.startswith(_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(f"a secret of another form, {wanted}")
    return key
