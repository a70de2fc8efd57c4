"""How what one actor stores is kept from others: under which name, and sealed with what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.abc import Entry
from perdure.errors import ChainBroken, SealedStore, TailCut
from perdure.security import Keyring, Seal, Sealing, Vault, sealing_of

_ORIGIN = bytes(32)


class Custody:
    """The stored name of a persistence id, its seal, and whose data it holds, if they may be forgotten one day.

    The seal is that of its log, or of its durable state. `link` is that of the last event, if events are chained.
    """

    __slots__ = ("_handle", "_vault", "has_subject", "hidden_id", "link", "name", "seal")

    def __init__(self, vault: Vault, seal: Seal, name: str, persistence_id: str, handle: bytes | None) -> None:
        """Keep with the key of the subject of a handle, where there is one."""
        self._vault = vault
        self._handle = handle
        self.has_subject = handle is not None
        self.seal = seal
        self.name = name
        self.hidden_id = persistence_id if vault.hides_names else None
        """The persistence id, where the stored name does not tell it."""
        self.link = _ORIGIN

    @property
    def is_stale(self) -> bool:
        """True if the subject was forgotten, or may have been since it was looked up."""
        return self._handle is not None and not self._vault.may_be_read(self._handle)

    @property
    def is_prepared(self) -> bool:
        """True if the key with which to seal is at hand."""
        return self._handle is None or (self.seal.has_subject and self._vault.may_be_read(self._handle))

    async def unlock(self) -> None:
        """Have the key of the subject at hand, if it has one. Raises `SubjectForgotten`, `StoreError`."""
        if self._handle is not None:
            self.seal = self.seal.of_subject(await self._vault.subject(self._handle, self.name))

    async def prepare(self) -> None:
        """Have the key with which to seal at hand: that of a subject is made when it is first needed.

        Raises `SubjectForgotten`, `StoreError`.
        """
        if self._handle is not None:
            self.seal = self.seal.of_subject(await self._vault.subject_made(self._handle, self.name))

    def seal_events(self, after: int, records: Sequence[bytes]) -> tuple[list[bytes], bytes]:
        """Return records sealed for the numbers behind `after`, and the link of the last."""
        seal = self.seal
        if seal.is_chained:
            return seal.seal_chain(after, records, self.link)
        if len(records) == 1:  # as nearly always
            return [seal.seal(after + 1, records[0])], _ORIGIN
        return [seal.seal(number, record) for number, record in enumerate(records, after + 1)], _ORIGIN

    async def look_up(self, *records: bytes) -> None:
        """Have the keys at hand of other subjects with which records were sealed, when the type had others."""
        await self._vault.look_up(records)

    def opened(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return a page of the log as it was before it was sealed. Raises `SealError`, `ChainBroken`."""
        anchored = self.seal.anchored
        if anchored is not None and entries and entries[0].key <= anchored.sequence_number <= entries[-1].key:
            self._check_link(entries, anchored.sequence_number, anchored.link)
        unseal = self.seal.open
        return [Entry(key, unseal(key, record)) for key, record in entries]

    def opened_state(self, revision: int, record: bytes) -> bytes:
        """Return a durable state as it was before it was sealed.

        Raises `SealError`; `RolledBack`, `ChainBroken` for one that is not what an anchor knows.
        """
        if self.seal.anchor is not None:
            self.seal.anchor.check_state(self.name, revision, record)
        return self.seal.open(revision, record)

    def check_no_state(self) -> None:
        """Raise `RolledBack` if an anchor knows a durable state."""
        if self.seal.anchor is not None:
            self.seal.anchor.check_state(self.name, 0, b"")

    def check_end(self, number: int) -> None:
        """Raise `TailCut` if an anchor knows more of the log than its events up to a number."""
        anchored = self.seal.anchored
        if anchored is not None and number < anchored.sequence_number:
            raise TailCut(self.name, number, anchored.sequence_number)

    def _check_link(self, entries: Sequence[Entry], number: int, link: bytes) -> None:
        for key, record in entries:
            if key == number and self.seal.link(key, record) != link:
                raise ChainBroken(self.name, number, "an anchor knows another record here, or another past of it")


def custody_of(vault: Vault, actor_type: type[Any], collection: str, persistence_id: str) -> Custody | None:
    """Return how an actor's records are kept, None where they are not sealed.

    Raises `SealedStore` where a subject, or a sealing of its own, cannot be had.
    """
    sealing = own_sealing(vault, actor_type)
    if sealing is None:
        return None
    subject = actor_type.subject(persistence_id)
    if subject is not None and sealing is not vault.sealing:
        raise SealedStore(f"{actor_type.__name__} has subjects, and the system's sealing alone keeps keys of subjects")
    name = vault.stored_name(persistence_id)
    handle = None if subject is None else vault.handle(subject)
    return Custody(vault, vault.seal(collection, name, sealing), name, persistence_id, handle)


def own_sealing(vault: Vault, actor_type: type[Any]) -> Sealing | None:
    """Return with what the records of an actor type are sealed, and have the vault know it."""
    declared: object = actor_type.sealing
    if declared == "system":
        return vault.sealing
    if declared == "none" and vault.hides_names:
        raise ValueError(f"{actor_type.__name__}.sealing is 'none', and the system hides names: its ids would show")
    sealing = None if declared == "none" else _checked(actor_type, declared)
    return vault.learn(actor_type.type_name, sealing)


def _checked(actor_type: type[Any], declared: object) -> Sealing:
    if not isinstance(declared, (Sealing, Keyring)):
        raise TypeError(f"{actor_type.__name__}.sealing is a Sealing, a Keyring, 'system' or 'none', not {declared!r}")
    sealing = sealing_of(declared)
    assert sealing is not None
    if sealing.hide_names:
        raise ValueError(f"{actor_type.__name__}.sealing has hide_names: names are hidden for the whole system, or not")
    return sealing
