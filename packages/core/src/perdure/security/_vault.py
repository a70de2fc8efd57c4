"""What the records of one store are sealed with, and under which names they are."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.abc import Backend
from perdure.errors import SealedStore, SubjectForgotten
from perdure.security._layout import handles_of, is_sealed
from perdure.security._names import Names, check_not_sealed, load_names, renew_names
from perdure.security._seal import Seal
from perdure.security._sealing import Sealing
from perdure.security._secret import Secret
from perdure.security._subjects import SubjectKeys


class Vault:
    """The sealing of a store, of the actor types that have their own, and the keys of its subjects."""

    def __init__(self, backend: Backend, sealing: Sealing | None) -> None:
        self.sealing = sealing
        self._backend = backend
        self._names: Names | None = None
        self._is_open = False
        self._subjects = None if sealing is None else SubjectKeys(backend, sealing)
        self._of_types: dict[str, Sealing | None] = {}
        self._last_seal: tuple[tuple[str, str, Sealing], Seal] | None = None

    async def open(self) -> None:
        """Read what the store says of its sealing. May be called again.

        Raises `SealedStore` when this does not fit to it, `SealError` when it cannot be opened.
        """
        if self._is_open:
            return
        if self.sealing is None:
            await check_not_sealed(self._backend)
        else:
            self._names = await load_names(self._backend, self.sealing)
        self._is_open = True

    def learn(self, type_name: str, sealing: Sealing | None) -> Sealing | None:
        """Return with what the records of an actor type are sealed, where that is not the system's, and note it.

        What was learned first stays, so that one type has one sealing.
        """
        return self._of_types.setdefault(type_name, sealing)

    @property
    def seals(self) -> bool:
        """True if any records are to be sealed."""
        return self.sealing is not None or bool(self._of_types)

    @property
    def hides_names(self) -> bool:
        return self._names is not None and self._names.hidden

    def stored_name(self, persistence_id: str) -> str:
        """Return the name under which a persistence id is stored."""
        return persistence_id if self._names is None else self._names.stored(persistence_id)

    def seal(self, collection: str, name: str, sealing: Sealing) -> Seal:
        """Return the seal of a collection under a stored name."""
        return Seal(sealing, collection, name, self._subjects)

    def opened(self, collection: str, name: str, number: int, data: bytes) -> bytes:
        """Return a record as it was before it was sealed, whoever's it is. Raises what `Seal.open` raises."""
        seal = self.seal_of(collection, name, data)
        return data if seal is None else seal.open(number, data)

    def seal_of(self, collection: str, name: str, data: bytes) -> Seal | None:
        """Return the seal that can open a record; None where its type is not sealed."""
        sealing = self._sealing_for(name, data) if self._of_types else self.sealing
        if sealing is None:
            return None
        place = (collection, name, sealing)
        if self._last_seal is None or self._last_seal[0] != place:  # records come log by log
            self._last_seal = place, self.seal(collection, name, sealing)
        return self._last_seal[1]

    def _sealing_for(self, name: str, data: bytes) -> Sealing | None:
        """Return the sealing that has the key of a record, or that of the type of which the name tells."""
        sealing = self._of_types.get(name.partition("/")[0], self.sealing)
        if not is_sealed(data):
            return sealing
        all_of_them = (sealing, self.sealing, *self._of_types.values())
        return next((one for one in all_of_them if one is not None and one.knows(data[3:9])), sealing)

    async def look_up(self, records: Iterable[bytes]) -> None:
        """Have the keys of all subjects at hand with which these records are sealed. Raises `StoreError`."""
        if self._subjects is not None:
            await self._subjects.look_up(handles_of(records))

    async def renew(self) -> int:
        """Seal the keys that the store has with what is active now. Return how many were not."""
        if self.sealing is None or self._subjects is None:
            return 0
        renewed = int(await renew_names(self._backend, self.sealing))
        async for handle in self._subjects.handles():
            renewed += await self._subjects.renew(handle)
        return renewed

    def may_be_read(self, handle: bytes) -> bool:
        """Tell whether a subject is known not to be forgotten, as of the last minute."""
        return self._subject_keys().may_be_read(handle)

    async def subject(self, handle: bytes, name: str) -> Secret | None:
        """Return the secret of a subject, None if it has no key yet. Raises `SubjectForgotten`, `StoreError`."""
        return await self._subject_keys().of(handle, name)

    async def subject_made(self, handle: bytes, name: str) -> Secret:
        """Return the secret of a subject, and make it if it has none. Raises `SubjectForgotten`, `StoreError`."""
        return await self._subject_keys().made(handle, name)

    async def forget(self, subject: str) -> bool:
        """Destroy the key of a subject durably; return whether it had one. Raises `StoreError`, `SealedStore`."""
        return await self._subject_keys().forget(self.handle(subject))

    async def knows(self, subject: str) -> bool:
        """Tell whether a subject has a key. Raises `StoreError`, `SealedStore`."""
        try:
            return await self._subject_keys().of(self.handle(subject), subject) is not None
        except SubjectForgotten:
            return False

    def handle(self, subject: str) -> bytes:
        """Return what stands for a subject in the records of this store."""
        assert self._names is not None, "the vault was opened"
        return self._names.handle(subject)

    def _subject_keys(self) -> SubjectKeys:
        if self._subjects is None:
            raise SealedStore("subjects need keys: give the system sealing=…")
        return self._subjects
