"""The keys of subjects: persons, mostly, whose data are to be forgotten one day.

A subject has a random key of its own, with which all that concerns it is sealed. The key is stored once, sealed with
the master key, as a log of which the last entry alone is kept (the collection `subject_keys` under the subject's
handle): the key, or that it was forgotten. To forget is one write that puts the latter in the place of the former. The
records stay where they are, in every copy, and nobody can open them. Deleting them instead was rejected: copies,
archives and backups would keep them, and a log would lose its head.

What is in memory is looked up again after a minute, so that a process learns what another has forgotten.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from os import urandom
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from perdure.abc import MAX_KEY, Backend, DeleteRange, LastKey, Put, WriteGroup
from perdure.errors import SubjectForgotten, SubjectKeyMissing, WrongKey
from perdure.security._key import EncryptedKey
from perdure.security._own import opened, renewed, sealed
from perdure.security._seal import Seal
from perdure.security._sealing import Sealing
from perdure.security._secret import Secret, subject_secret

SUBJECT_KEYS = "subject_keys"


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """A key, or None for a subject that was forgotten, and when, in microseconds since 1970."""

    key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)] | None
    timestamp: int


class _Known(NamedTuple):
    """What was read of a subject: its number, 0 if it has no key yet, and its secret, None if it was forgotten."""

    number: int
    secret: Secret | None
    read_at: float

    @property
    def is_forgotten(self) -> bool:
        return self.number > 0 and self.secret is None


class SubjectKeys:
    """The keys of the subjects of one store."""

    _FRESH: ClassVar[float] = 60.0
    _ROOM: ClassVar[int] = 16_384

    def __init__(
        self,
        backend: Backend,
        sealing: Sealing,
        *,
        time: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._sealing = sealing
        self._time = time
        self._monotonic = monotonic
        self._known: dict[bytes, _Known] = {}

    def secret(self, handle: bytes, name: str, number: int, fingerprint: bytes) -> Secret:
        """Return the secret of a subject that was looked up.

        Raises `SubjectForgotten`; `SubjectKeyMissing` when there is none; `WrongKey` when it is another.
        """
        known = self._known.get(handle)
        if known is None or not known.number:
            raise SubjectKeyMissing(name, number)
        if known.secret is None:
            raise SubjectForgotten(name)
        if known.secret.start[3:] != fingerprint:
            raise WrongKey(name, number, 0, fingerprint.hex(), known.secret.start[3:].hex())
        return known.secret

    def check(self, handle: bytes, name: str) -> None:
        """Raise `SubjectForgotten` if a subject is known to be forgotten."""
        known = self._known.get(handle)
        if known is not None and known.is_forgotten:
            raise SubjectForgotten(name)

    def is_fresh(self, handle: bytes) -> bool:
        """Tell whether what is known of a subject need not be looked up again."""
        known = self._known.get(handle)
        return known is not None and self._monotonic() - known.read_at < self._FRESH

    def may_be_read(self, handle: bytes) -> bool:
        """Tell whether a subject is known not to be forgotten."""
        return self.is_fresh(handle) and not self._known[handle].is_forgotten

    async def look_up(self, handles: Iterable[bytes]) -> None:
        """Know the keys of these subjects, as they were in the last minute. Raises `StoreError`, `SealError`."""
        for handle in handles:
            if not self.is_fresh(handle):
                await self._read(handle)

    async def of(self, handle: bytes, name: str) -> Secret | None:
        """Return the secret of a subject, None if it has no key yet. Raises `SubjectForgotten`."""
        await self.look_up((handle,))
        known = self._known[handle]
        if known.is_forgotten:
            raise SubjectForgotten(name)
        return known.secret

    async def made(self, handle: bytes, name: str) -> Secret:
        """Return the secret of a subject, whose key is made and stored durably now if it has none."""
        while (secret := await self.of(handle, name)) is None:
            await self._put(handle, 0, urandom(32))
        return secret

    async def forget(self, handle: bytes) -> bool:
        """Destroy the key of a subject; when this returns that is durable. Return False if it had none to destroy."""
        while True:
            known = await self._read(handle)
            if known.is_forgotten:
                return False
            if await self._put(handle, known.number, None):
                await self._read(handle)
                return known.number > 0

    async def handles(self) -> AsyncGenerator[bytes, None]:
        """Yield the handles of all subjects, those that were forgotten too."""
        after = ""
        while prefixes := await self._backend.prefixes(SUBJECT_KEYS, after, 1000):
            for prefix in prefixes:
                yield bytes.fromhex(prefix)
            after = prefixes[-1]

    async def renew(self, handle: bytes) -> bool:
        """Seal a key with what is active now; return whether it was not yet."""
        while True:
            number, data = await self._stored(handle)
            if data is None:
                return False
            again = renewed(self._seal(handle), handle.hex(), number, data)
            if again is None:
                return False
            # Under its own number it is bound to; the key under it is replaced only while it is the last.
            group = WriteGroup(
                (Put(SUBJECT_KEYS, handle.hex(), number, again),), (LastKey(SUBJECT_KEYS, handle.hex(), number),)
            )
            [conflict] = await self._backend.commit([group])
            if conflict is None:
                return True

    async def _read(self, handle: bytes) -> _Known:
        number, data = await self._stored(handle)
        secret: Secret | None = None
        if data is not None:
            stored = opened(self._seal(handle), handle.hex(), number, data, _Stored)
            secret = (
                None
                if stored.key is None
                else subject_secret(self._sealing.suite.number, handle, EncryptedKey(stored.key))
            )
            if secret is None:
                self._sealing.ciphers.clear()
        known = _Known(number, secret, self._monotonic())
        if len(self._known) >= self._ROOM and handle not in self._known:
            del self._known[next(iter(self._known))]
        self._known[handle] = known
        return known

    async def _stored(self, handle: bytes) -> tuple[int, bytes | None]:
        page = await self._backend.page(SUBJECT_KEYS, handle.hex(), 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
        return (page.entries[0].key, page.entries[0].value) if page.entries else (0, None)

    async def _put(self, handle: bytes, after: int, key: bytes | None) -> bool:
        """Store a key, or that there is none any more, behind the last entry; False if that was another."""
        prefix, number = handle.hex(), after + 1
        stored = _Stored(key, int(self._time() * 1_000_000))
        put = Put(SUBJECT_KEYS, prefix, number, sealed(self._seal(handle), number, stored))
        group = WriteGroup((put, DeleteRange(SUBJECT_KEYS, prefix, 1, number)), (LastKey(SUBJECT_KEYS, prefix, after),))
        try:
            [conflict] = await self._backend.commit([group])
        finally:
            self._known.pop(handle, None)
        return conflict is None

    def _seal(self, handle: bytes) -> Seal:
        return Seal(self._sealing, SUBJECT_KEYS, handle.hex())
