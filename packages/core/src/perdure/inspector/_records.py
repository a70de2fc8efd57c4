"""What is stored, opened as far as the keys at hand go. What cannot be read is told, and stops nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from perdure.abc import MAX_KEY, Backend, Entry
from perdure.errors import CorruptionError, PerdureError
from perdure.inspector._documents import Document, document
from perdure.journal import EVENTS, RecordError, hidden_id_of
from perdure.journal._record import decode
from perdure.persistence import PersistentActor
from perdure.query._stored import Stored, Types, opened
from perdure.security import Sealing, Vault, is_sealed


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A stored event, or what is wrong with it: then only its place and its size are known."""

    persistence_id: str
    sequence_number: int
    size: int
    """Bytes that are stored."""
    is_sealed: bool
    timestamp: datetime | None = None
    manifest: str | None = None
    version: int = 0
    epoch: int = 0
    tags: tuple[str, ...] = ()
    documents: Sequence[Document] = ()
    """One, unless an older program stored what is several events today. Empty where only the facts were asked for."""
    problem: str | None = None


class Records:
    """A store with its keys, if there are any, and the actor types that are known."""

    def __init__(
        self, backend: Backend, actor_types: Sequence[type[PersistentActor[Any, Any]]], sealing: Sealing | None
    ) -> None:
        self.backend = backend
        self.vault = Vault(backend, sealing)
        self._types = Types(actor_types, self.vault)

    async def name_of(self, persistence_id: str) -> str:
        """Return the name under which an id is stored. Raises `SealedStore`, `SealError` for keys that do not fit."""
        if self.vault.sealing is not None:  # without keys the store is looked at as it is
            await self.vault.open()
        return self.vault.stored_name(persistence_id)

    async def events(self, name: str, entries: Sequence[Entry], *, whole: bool = True) -> list[Event]:
        """Return the events of a page of a log; without what is in them unless they are wanted `whole`."""
        await self.look_up(entry.value for entry in entries)
        return [self.event(name, *entry, whole=whole) for entry in entries]

    async def look_up(self, records: Iterable[bytes]) -> None:
        await self.vault.look_up(records)

    def event(self, name: str, number: int, record: bytes, *, whole: bool = True) -> Event:
        """Return one event; the keys of its subject were looked up."""
        event = Event(persistence_id=name, sequence_number=number, size=len(record), is_sealed=is_sealed(record))
        try:
            stored = opened(self.vault, name, number, record)
            return self._told(event, stored, self._documents(stored) if whole else ())
        except CorruptionError as error:
            return msgspec.structs.replace(event, problem=error.reason)
        except PerdureError as error:
            return msgspec.structs.replace(event, problem=str(error))
        except RecursionError:
            return msgspec.structs.replace(event, problem="it is nested too deeply to be shown")

    async def last_event(self, name: str) -> Event | None:
        """Return the facts of the newest event of a log, None where it is empty."""
        page = await self.backend.page(EVENTS, name, 1, MAX_KEY + 1, limit=1, max_bytes=1, reverse=True)
        for event in await self.events(name, page.entries, whole=False):
            return event
        return None

    def identity(self, collection: str, name: str, number: int, record: bytes) -> str:
        """Return the id that a record tells of where names are hidden, else the stored name."""
        if self.vault.hides_names:
            with suppress(PerdureError, RecordError):
                found, _ = decode(self.vault.opened(collection, name, number, record))
                return hidden_id_of(found.metadata) or name
        return name

    def _told(self, event: Event, stored: Stored, documents: Sequence[Document]) -> Event:
        persistence_id, number, timestamp, tags, manifest, version, epoch = stored.facts()
        return Event(
            persistence_id=persistence_id,
            sequence_number=number,
            size=event.size,
            is_sealed=event.is_sealed,
            timestamp=timestamp,
            manifest=manifest,
            version=version,
            epoch=epoch,
            tags=tags,
            documents=documents,
        )

    def _documents(self, stored: Stored) -> list[Document]:
        return [document(event) for event in self._types.events(stored)]
