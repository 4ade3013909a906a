"""What this machine has seen of a registry: its root, and how far every channel and every other shelf had come.

Signatures say who wrote a document, not that it is the last one. Whoever can write to a store can put an old state
back; only who remembers a later one can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from tocsin import observe
from tocsin.errors import IntegrityError, LimitExceeded, RegistryError
from tocsin.model.documents import seal, sha256, unseal
from tocsin.registry import private_files

FORMAT = 1
MAX_CHANNELS = 1_000
MAX_ALIKE = 200
"""Shelves of one kind; of more, those with the lowest numbers are forgotten."""
MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Seen:
    """The last step of a channel, or document of another shelf, that was accepted here."""

    number: int
    digest: str
    """SHA-256 of its bytes."""
    issued: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A registry as it was last accepted here."""

    registry: str
    """Its id."""
    root: int
    """Number of its last root."""
    digest: str
    """SHA-256 of that root."""
    channels: Mapping[str, Seen] = field(default_factory=dict)
    """By `name/channel`, and `name/@shelf` for what is no channel."""


_PIN = TypeAdapter(Pin)


class Memory:
    """The pin of one place, kept on this machine.

    Parameters
    ----------
    folder
        For all places.
    place
        Where the registry is, as a config names it.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self._path = folder / f"{sha256(place.encode())[:16]}.json"

    def recall(self) -> Pin | None:
        """What was seen; None before the first look. Raises IntegrityError if it is damaged."""
        return _read(self._path)

    def pin(self, registry: str, root: int, digest: str) -> None:
        """Accept a root from now on; what was seen of another registry at this place is forgotten."""

        def change(pin: Pin | None) -> Pin:
            if pin is None or pin.registry != registry:
                return Pin(registry, root, digest)
            return replace(pin, root=root, digest=digest) if root > pin.root else pin

        self._change(change)

    def remember(self, registry: str, channel: str, seen: Seen, among: str = "") -> None:
        """Note a step that was accepted, unless a later one is noted.

        Of keys that begin with `among`, where it says something, the last `MAX_ALIKE` stay.

        Raises
        ------
        LimitExceeded
            If that were more channels than are remembered.
        """

        def change(pin: Pin | None) -> Pin | None:
            known = pin.channels.get(channel) if pin else None
            if pin is None or pin.registry != registry or (known and known.number >= seen.number):
                return pin
            channels = {**pin.channels, channel: seen}
            if among:
                for forgotten in sorted(key for key in channels if key.startswith(among))[:-MAX_ALIKE]:
                    del channels[forgotten]
            return replace(pin, channels=channels)

        self._change(change)

    def forget(self) -> None:
        """Trust whatever is there at the next look."""
        with private_files.locked(self._path):
            self._path.unlink(missing_ok=True)

    def export(self, file: Path) -> None:
        """Write down what was seen, for another machine; raises RegistryError if nothing was."""
        pin = self.recall()
        if pin is None:
            raise RegistryError("registry", "nothing seen yet", "a registry", "train a model: the first one begins it")
        _write(file, pin)

    def take(self, file: Path) -> None:
        """Believe what another machine has seen; raises RegistryError if there is no such file."""
        pin = _read(file)
        if pin is None:
            raise RegistryError(str(file), "no such file", "what `tocsin keys trust --export` wrote elsewhere")
        with private_files.locked(self._path):
            _write(self._path, pin)

    def _change(self, change: Callable[[Pin | None], Pin | None]) -> None:
        """A disk that takes nothing more stops no model: what could not be noted is said and counted."""
        try:
            with private_files.locked(self._path):
                before = self.recall()
                after = change(before)
                if after is None or after == before:
                    return
                if len(after.channels) > MAX_CHANNELS:
                    raise LimitExceeded(str(self._path), f"{len(after.channels)} channels", f"at most {MAX_CHANNELS}")
                _write(self._path, after)
        except RegistryError as error:
            observe.trust_not_kept(error.problem.got)


def _read(path: Path) -> Pin | None:
    data = private_files.read(path, MAX_BYTES)
    if data is None:
        return None
    try:
        pin = unseal(data, str(path), ("format", "pin"), FORMAT)["pin"]
        return _PIN.validate_json(orjson.dumps(pin), strict=True)
    except ValidationError as error:
        got = f"{error.error_count()} values that do not fit"
        hint = "make sure that the registry is the right one, then `tocsin keys trust`"
        raise IntegrityError(str(path), got, "what a machine has seen of a registry", hint) from error


def _write(path: Path, pin: Pin) -> None:
    private_files.replace(path, seal({"format": FORMAT, "pin": _PIN.dump_python(pin)}, str(path)))
