"""What can be asked of a store about all that is in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, TypeVar

from perdure.abc import Backend, check_prefix
from perdure.actors import Clock, SystemClock
from perdure.errors import EntryNotFound
from perdure.journal import EVENTS, Commits
from perdure.persistence import DurableStateActor, PersistentActor
from perdure.persistence._changes import DURABLE
from perdure.query._changes import ChangeStream, FeedChange
from perdure.query._feed import FeedStream
from perdure.query._filter import Tags
from perdure.query._ids import IdStream
from perdure.query._log import LogStream
from perdure.query._offset import Position
from perdure.query._stored import FeedEvent, StoredEvent, Types
from perdure.query._stored_states import StoredState, stored_states
from perdure.query._stream import Source, Stream
from perdure.security import Keyring, Sealing, Vault, sealing_of
from perdure.snapshots import SnapshotStore

S = TypeVar("S")


class Query:
    """Reads the events and the durable states in an open store.

    It writes nothing, and any number may read beside those who write.

    Events of the given actor types are decoded; of others they are the stored document, mostly a dict. In a system,
    use `system.query(Account, …)`, whose live streams go on as soon as something is committed there; this one's look
    every `poll` seconds. `sealing` is that of the system that stores.

    What concerns a forgotten subject is passed over, except by `events_of`, which raises `SubjectForgotten`.
    """

    def __init__(
        self,
        backend: Backend,
        actor_types: Iterable[type[PersistentActor[Any, Any]]] = (),
        *,
        poll: float = 1.0,
        clock: Clock | None = None,
        commits: Commits | None = None,
        sealing: Sealing | Keyring | Vault | None = None,
    ) -> None:
        if not poll > 0:
            raise ValueError(f"poll is a number of seconds above 0, not {poll}")
        vault = sealing if isinstance(sealing, Vault) else Vault(backend, sealing_of(sealing))
        self._types = Types(actor_types, vault)
        self._source = Source(backend, clock or SystemClock(), commits or Commits(), poll, vault)

    def events_of(self, persistence_id: str, *, after: int | None = 0, live: bool = False) -> Stream[StoredEvent]:
        """Return the events of one log behind a sequence number, in their order; None begins with the first left.

        The stream raises `EventsRemoved` when the next event was removed by compaction, `CorruptionError` for one that
        cannot be read.
        """
        return LogStream(self._source, self._types, persistence_id, after, live=live)

    async def last_of(self, persistence_id: str) -> int:
        """Return the sequence number of the last event of a log. Raises `EntryNotFound` if there is none."""
        await self._source.vault.open()
        name = self._source.vault.stored_name(check_prefix(persistence_id))
        last = await self._source.backend.last(EVENTS, name)
        if not last:
            raise EntryNotFound(f"{EVENTS}/{persistence_id}")
        return last

    async def end(self, *, progress: Callable[[int], object] | None = None) -> str:
        """Return an offset behind all events that are stored by now, from which a live stream gives the new ones.

        A store has no index of it: the whole feed is read, though nothing of it is decoded or kept. `progress` is told
        of how many events, after each page.
        """
        after: str | None = None
        passed = 0
        while (page := await self._source.backend.feed(EVENTS, after)).records:
            after = page.offset
            passed += len(page.records)
            if progress is not None:
                progress(passed)
        return Position(page.offset).offset()

    def all_events(self, *, after: str | None = None, live: bool = False) -> Stream[FeedEvent]:
        """Return the events of all logs behind an offset, in the order in which they were committed.

        Each event that is left in its log comes once, and none is ever committed behind one that was given. The stream
        raises `CorruptionError` for an event that cannot be read, `ValueError` for an offset of no such stream.
        """
        return FeedStream(self._source, self._types, Tags(), after, live=live)

    def tagged(self, tags: str | Tags, *, after: str | None = None, live: bool = False) -> Stream[FeedEvent]:
        """Return the events with a tag, or those that `Tags` describe, as in `all_events`.

        Offsets are for the same tags: others may begin up to a page earlier, and miss nothing.
        """
        if isinstance(tags, str):
            tags = Tags(all_of=(tags,))
        return FeedStream(self._source, self._types, tags, after, live=live)

    def changes(
        self, actor_type: type[DurableStateActor[S]], *, after: str | None = None, live: bool = False
    ) -> Stream[FeedChange[S]]:
        """Return the durable states of an actor type that changed behind an offset, in the order of their commits.

        Each comes at its newest revision, a deleted one as such: what was replaced before it was read does not come,
        and no older revision of one comes after a newer. The stream raises `CorruptionError` for a record that cannot
        be read, `ValueError` for an offset of no such stream.
        """
        if not (isinstance(actor_type, type) and issubclass(actor_type, DurableStateActor)):
            raise TypeError(f"changes are of a DurableStateActor class, not of {actor_type!r}")
        return ChangeStream(self._source, actor_type, after, live=live)

    def ids(
        self, actor_type: type[PersistentActor[Any, Any]] | str | None = None, *, after: str = "", live: bool = False
    ) -> Stream[str]:
        """Return the persistence ids that have events, each once: all, or those of actors of a type reached by `ref`.

        The type may be given by the name under which it stores.

        They come in ascending order, from behind `after`. A live stream takes no `after`, and goes on with the new ids,
        as they come.
        """
        return IdStream(self._source, _beginning(actor_type), after, live=live)

    def state_ids(
        self, actor_type: type[DurableStateActor[Any]] | str | None = None, *, after: str = "", live: bool = False
    ) -> Stream[str]:
        """Return the persistence ids that have a durable state, a deleted one too, as `ids` does those with events."""
        return IdStream(self._source, _beginning(actor_type), after, live=live, collection=DURABLE)

    async def states_of(
        self, persistence_id: str, *, snapshots: SnapshotStore | None = None
    ) -> AsyncGenerator[StoredState, None]:
        """Yield the states that are stored of an id, as documents: a durable one, and snapshots from the newest on.

        `snapshots` is that of the system, where it is elsewhere. What is damaged comes with its `problem`.
        """
        await self._source.vault.open()
        async for state in stored_states(
            self._source.backend, self._source.vault, check_prefix(persistence_id), snapshots
        ):
            yield state


def _beginning(actor_type: type[PersistentActor[Any, Any] | DurableStateActor[Any]] | str | None) -> str:
    """Return with what the persistence ids of an actor type begin, of those that `ref` reaches."""
    if actor_type is None:
        return ""
    return f"{actor_type if isinstance(actor_type, str) else actor_type.type_name}/"
