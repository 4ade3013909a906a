"""The pinned rows of a name, on a store: the first ones come with the first model, others are a person's act.

``models/<name>/pins/<n>.json``      who pinned what; the highest number counts
``models/<name>/pinned/<hash>``      the files, each named by the hash of its bytes

The first document may be signed by the train key, every later one by the channel key alone: whoever trains models does
not also choose what they are tried on.
"""

from __future__ import annotations

from contextlib import suppress

from tocsin.errors import ConflictError, IntegrityError, LimitExceeded, NotStored, RegistryError
from tocsin.model.bundle import Bundle, pack, unpack
from tocsin.model.documents import sha256, timestamp
from tocsin.registry.ledger import Ledger, Pinned, StoredObject
from tocsin.registry.trust import Trust
from tocsin.storage import Store

MAX_BYTES = 8 * 2**20
"""Of a file."""


class Pinboard:
    """Where the pinned rows of a name are.

    Parameters
    ----------
    store, ledger
        Where, and what is written about the models of the name.
    trust
        Whose documents count.
    """

    def __init__(self, store: Store, ledger: Ledger, trust: Trust) -> None:
        self._store = store
        self._ledger = ledger
        self._shelf = ledger.pins
        self._folder = f"models/{ledger.name}/pinned"
        self._trust = trust

    def load(self) -> Bundle | None:
        """The rows that count; None while there are none.

        Raises
        ------
        IntegrityError
            If a byte has changed, or nobody pinned them who may.
        """
        self._trust.open()
        signed = self._ledger.pinned()
        if signed is None:
            return None
        last = self._shelf.numbers()[-1]
        if last > 1 and self._trust.roots.role_of(signed.key) != "channel":
            raise IntegrityError(self._shelf.name(last), "rows pinned by the train key", "by the channel key")
        return unpack({file: self._read(file, stored) for file, stored in signed.document.files.items()})

    def keep(self, bundle: Bundle, anchor: str) -> None:
        """Pin rows with the model of this digest as their anchor; those before no longer count.

        Raises
        ------
        RegistryError
            If others are pinned already and no channel key is here.
        LimitExceeded
            If they are too large.
        """
        self._trust.open()
        keyring, holders = self._trust.keyring, self._trust.roots.last.roles["channel"]
        if self._shelf.numbers() and keyring.public("channel") not in holders:
            hint = "do it where channel.key is; `tocsin keys show` says what this machine holds"
            raise RegistryError(self._folder, "no channel key to pin anew with", "channel.key", hint)
        files = pack(bundle)
        for file, data in files.items():
            if len(data) > MAX_BYTES:
                raise LimitExceeded(f"pinned rows, {file}", f"{len(data)} bytes", f"at most {MAX_BYTES}")
        stored = {file: StoredObject(sha256(data), len(data)) for file, data in files.items()}
        for file, data in files.items():
            with suppress(ConflictError):
                self._store.put(f"{self._folder}/{stored[file].sha256}", data)
        issued = timestamp(self._trust.clock())
        self._shelf.append(lambda _: Pinned(anchor, issued, stored))
        self._ledger.pinned()  # and nothing before it counts here any more

    def _read(self, file: str, stored: StoredObject) -> bytes:
        where = f"{self._folder}/{stored.sha256}"
        try:
            data = self._store.get(where, min(stored.size, MAX_BYTES))
        except NotStored as error:
            raise IntegrityError(f"pinned rows, {file}", "nothing stored", f"{stored.size} bytes") from error
        if sha256(data) != stored.sha256:
            raise IntegrityError(f"pinned rows, {file}", f"bytes with the hash {sha256(data)[:12]}", stored.sha256[:12])
        return data
