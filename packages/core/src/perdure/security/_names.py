"""How a store hides names: by keyed hashes, whose key is in the store, sealed.

The key is made once and never changes, for a name is to be found again; only what it is sealed with changes with the
keyring. It is also what says that a store is sealed at all: a system without keys that finds it is refused, and so
writes nothing that the others would refuse.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from os import urandom

import msgspec

from perdure.abc import Backend, PutState, StateVersion, WriteGroup
from perdure.errors import SealedStore
from perdure.security._keyring import Keyring
from perdure.security._own import opened, renewed, sealed
from perdure.security._seal import Seal
from perdure.security._sealing import Sealing
from perdure.security._suites import SuiteName

STATE, PREFIX = "sealing", "names"
_HANDLE = 16
_NAME = 20


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    hidden: bool
    key: bytes


class Names:
    """The stored names of persistence ids, and the handles of subjects."""

    def __init__(self, key: bytes, *, hidden: bool) -> None:
        self._key = key
        self.hidden = hidden

    def __repr__(self) -> str:
        return f"Names(hidden={self.hidden})"

    def stored(self, persistence_id: str) -> str:
        """Return the name under which a persistence id is stored: itself, unless names are hidden."""
        return self._hash(b"name", persistence_id)[:_NAME].hex() if self.hidden else persistence_id

    def handle(self, subject: str) -> bytes:
        """Return what stands for a subject in records."""
        return self._hash(b"subject", subject)[:_HANDLE]

    def _hash(self, kind: bytes, name: str) -> bytes:
        return hmac.digest(self._key, b"perdure %s %s" % (kind, name.encode()), "sha256")


async def is_sealed_whole(backend: Backend) -> bool:
    """Tell whether a system with keys has used this store: then all of it is sealed, or will be."""
    return (await backend.read_state(STATE, PREFIX))[0] > 0


async def sealing_as_stored(
    backend: Backend,
    keyring: Keyring,
    *,
    store: str = "",
    suite: SuiteName = "aes-256-gcm",
    chain: bool = False,
    plaintext_until: datetime | None = None,
) -> Sealing:
    """Return a sealing that hides names if this sealed store does; nothing is written.

    Raises `SealedStore` when the store is not sealed; `KeyMissing`, `WrongKey`, `RecordAltered` when it cannot be
    opened.
    """
    _, data = await backend.read_state(STATE, PREFIX)
    if data is None:
        raise SealedStore("no system with keys has used it, or the key of its names was removed")
    hidden = opened(Seal(Sealing(keyring, store=store), STATE, PREFIX), PREFIX, 0, data, _Stored).hidden
    return Sealing(keyring, store=store, suite=suite, chain=chain, hide_names=hidden, plaintext_until=plaintext_until)


async def check_not_sealed(backend: Backend) -> None:
    """Raise `SealedStore` if a system with keys has used this store."""
    if await is_sealed_whole(backend):
        raise SealedStore("a system without keys would store what the others refuse: give it sealing=…")


async def load_names(backend: Backend, sealing: Sealing) -> Names:
    """Return the names of a store, made now if it has never been sealed.

    Raises `SealedStore` when the sealing and the store disagree on hidden names, or the key was removed; `KeyMissing`,
    `WrongKey`, `RecordAltered` when it cannot be opened.
    """
    seal = Seal(sealing, STATE, PREFIX)
    version, data = await backend.read_state(STATE, PREFIX)
    while data is None:
        if version:
            raise SealedStore("the key of its names was removed: restore the state 'sealing'")
        await _check_may_make(backend, sealing)
        put = PutState(STATE, PREFIX, sealed(seal, 0, _Stored(sealing.hide_names, urandom(32))))
        await backend.commit([WriteGroup((put,), (StateVersion(STATE, PREFIX, 0),))])
        version, data = await backend.read_state(STATE, PREFIX)  # another may have been first
    stored = opened(seal, PREFIX, 0, data, _Stored)
    if stored.hidden != sealing.hide_names:
        raise SealedStore(f"hide_names={sealing.hide_names}, and it was made with {stored.hidden}: names cannot change")
    return Names(stored.key, hidden=stored.hidden)


async def renew_names(backend: Backend, sealing: Sealing) -> bool:
    """Seal the key of a store's names with what is active now; return whether it was not."""
    version, data = await backend.read_state(STATE, PREFIX)
    again = None if data is None else renewed(Seal(sealing, STATE, PREFIX), PREFIX, 0, data)
    if again is None:
        return False
    group = WriteGroup((PutState(STATE, PREFIX, again),), (StateVersion(STATE, PREFIX, version),))
    [conflict] = await backend.commit([group])
    return conflict is None or await renew_names(backend, sealing)


async def _check_may_make(backend: Backend, sealing: Sealing) -> None:
    """Raise `SealedStore` where a new key would lose what is stored under the old one."""
    if await backend.prefixes("subject_keys", limit=1):
        raise SealedStore("the key of its names was removed: restore the state 'sealing'")
    if sealing.hide_names and (await backend.prefixes("events", limit=1) or await backend.prefixes("durable", limit=1)):
        raise SealedStore("hide_names is for a new store, and this one has names already")
