"""Who asks Google: the key file of a service account becomes tokens that are renewed before they expire.

Source: RFC 7523 (JWT as an authorization grant), as google-auth does it; Firebase, "Authenticate REST Requests".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from tocsin.errors import ConfigError, Problem, RegistryError, SourceLost
from tocsin.sources.base_realtime import CREDENTIALS
from tocsin.storage.endpoint import expect_trusted

_SCOPES = ("https://www.googleapis.com/auth/firebase.database", "https://www.googleapis.com/auth/userinfo.email")
_MAX_FILE = 1 << 16


class ServiceAccount:
    """The authorization of a service account, for as long as it is asked for.

    Parameters
    ----------
    file
        Its key file, as Google's console writes it.

    Raises
    ------
    ConfigError
        If it is none. No message has anything of what it holds.
    """

    def __init__(self, file: str) -> None:
        try:
            self._credentials: Any = Credentials.from_service_account_info(_read(file), scopes=_SCOPES)  # type: ignore[no-untyped-call]  # google-auth types no methods
        except (OSError, ValueError, KeyError, AttributeError, TypeError, GoogleAuthError, RegistryError):
            raise ConfigError([Problem(CREDENTIALS, "no key file", "one of a service account, as JSON")]) from None

    def __call__(self) -> str:
        """What the header `Authorization` holds; asks for a new token when the last one is about to expire.

        Raises
        ------
        SourceLost
            If none can be had.
        """
        if not self._credentials.valid:
            self.renew()
        return f"Bearer {self._credentials.token}"

    def renew(self) -> None:
        """Ask for another token, whatever the last one says of itself; raises SourceLost if none can be had."""
        try:
            self._credentials.refresh(Request())
        except TransportError:
            hint = "is the network up?"
            raise SourceLost("the tokens of the service account", "no answer", "a token", hint) from None
        except RefreshError:  # its text may repeat what was sent
            hint = "is the key still valid, and the clock of this machine right?"
            raise SourceLost("the tokens of the service account", "a refusal", "a token", hint) from None


def _read(file: str) -> Any:
    with Path(file).open("rb") as opened:
        found = orjson.loads(opened.read(_MAX_FILE))
    expect_trusted(str(found["token_uri"]), CREDENTIALS)
    return found
