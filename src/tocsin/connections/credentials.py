"""Who Tocsin is to a broker, and by what it knows the broker: user, password, certificates.

Source: RFC 8446 (TLS 1.3); OpenSSL, "PEM".
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import ConfigError, Problem

MAX_PASSWORD = 1_024
"""Characters."""


class _Socket(ssl.SSLSocket):
    """Closes itself if the other end is not the one we mean: whoever opened it may forget to."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  # as in the base class
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that is needed to be let in; every file may begin with `~`.

    Parameters
    ----------
    user
        The name, if the broker asks for one.
    password_file
        Holds its password in one line.
    ca_file
        PEM of the authority that signed the broker's certificate; by default those that this machine trusts.
    certificate_file, key_file
        PEM of our own certificate and its key, if the broker asks for one.
    """

    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def password(self) -> str | None:
        """What the file holds; None without one.

        Raises
        ------
        ConfigError
            If it cannot be read, or is no line of text.
        """
        if self.password_file is None:
            return None
        try:
            with Path(self.password_file).expanduser().open(encoding="utf-8") as file:
                text = file.read(MAX_PASSWORD + 2).removesuffix("\n")
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or "no text"
            raise _refused("password_file", f"{self.password_file}: {why}", "a file with one password") from None
        if not 0 < len(text) <= MAX_PASSWORD or not text.isprintable():
            got, wanted = f"{self.password_file}, which holds something else", "one password in one line"
            raise _refused("password_file", got, wanted)
        return text

    def context(self) -> ssl.SSLContext:
        """How to speak TLS with the broker: its name is checked, and nothing older than TLS 1.2 is spoken.

        Raises
        ------
        ConfigError
            If a file cannot be read, or is no PEM of its kind.
        """
        try:
            context = ssl.create_default_context(cafile=expanded(self.ca_file))
        except OSError as error:
            raise _refused("ca_file", f"{self.ca_file}: {_why(error)}", "certificates in PEM") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _Socket
        if self.certificate_file is not None:
            try:
                context.load_cert_chain(Path(self.certificate_file).expanduser(), expanded(self.key_file))
            except OSError as error:
                got = f"{self.certificate_file}: {_why(error)}"
                raise _refused("certificate_file", got, "a certificate in PEM, and `key_file` with its key") from None
        return context


def expanded(text: str | None) -> Path | None:
    """The path of a file; `~` is the home of whoever asks."""
    return None if text is None else Path(text).expanduser()


def _why(error: OSError) -> str:
    # An error of OpenSSL is an OSError, too, whose words are of no use to anybody.
    return "no PEM that can be used" if isinstance(error, ssl.SSLError) else error.strerror or str(error)


def _refused(parameter: str, got: str, wanted: str) -> ConfigError:
    return ConfigError([Problem(f"$.{parameter}", got, wanted)])
