"""Why a request is refused: one form for all of them, with a code that stays the same from version to version.

{"error": {"code": "too_large", "got": "more than 1,048,576 bytes", "wanted": "fewer", "hint": ""}}
"""

from __future__ import annotations

import orjson

from tocsin.errors import (
    ConflictError,
    DataError,
    GateRefused,
    LimitExceeded,
    NoRoom,
    NotStored,
    RegistryError,
    TocsinError,
)

CODES = {
    400: "malformed",
    401: "unknown_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "unsupported_type",
    421: "unknown_host",
    422: "misfit",
    429: "too_many",
    431: "headers_too_large",
    500: "internal",
    503: "busy",
}
"""By status, where a fault has no code of its own."""
MAX_SHOWN = 400
"""Characters of each part of a message: what was sent is not sent back whole."""
_STATUS: tuple[tuple[type[TocsinError], int, str], ...] = (
    (NotStored, 404, "not_found"),
    (ConflictError, 409, "conflict"),
    (GateRefused, 409, "gate_refused"),
    (LimitExceeded, 503, "busy"),
    (NoRoom, 503, "no_room"),
    (DataError, 422, "misfit"),
    (RegistryError, 409, "conflict"),
)

Header = tuple[bytes, bytes]


class Fault(Exception):
    """A request that is refused.

    Parameters
    ----------
    status
        Of HTTP.
    got, wanted, hint
        As every message of Tocsin has them.
    code
        By default what the status says.
    headers
        Of the answer, beside those that all have.
    """

    def __init__(  # noqa: PLR0913  # the four parts of a message, and its two forms
        self,
        status: int,
        got: str,
        wanted: str = "",
        hint: str = "",
        *,
        code: str = "",
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(f"{status}: got {got}")
        self.status = status
        self.code = code or CODES[status]
        self.headers = headers
        self.parts = (got, wanted, hint)

    @property
    def body(self) -> bytes:
        """As JSON."""
        got, wanted, hint = (_sendable(part) for part in self.parts)
        return orjson.dumps({"error": {"code": self.code, "got": got, "wanted": wanted, "hint": hint}})

    @classmethod
    def of(cls, error: TocsinError) -> Fault:
        """What an error of Tocsin means to whoever asked."""
        problem = error.problem
        status, code = next(
            ((status, code) for kind, status, code in _STATUS if isinstance(error, kind)), (503, "unavailable")
        )
        return cls(status, f"{problem.where}: {problem.got}", problem.wanted, problem.hint, code=code)


def _sendable(text: str) -> str:
    """Cut, and without half surrogate pairs, which are no text in UTF-8."""
    cut = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
    return cut.encode("utf-8", "backslashreplace").decode()
