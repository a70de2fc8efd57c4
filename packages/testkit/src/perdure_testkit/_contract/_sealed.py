"""What the rules of sealing store, as every kind of actor does, and how it is read back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

from perdure import (
    ActorSystem,
    Compression,
    DurableStateActor,
    Event,
    Full,
    Keyring,
    Light,
    Message,
    PersistentActor,
    RecoveryFellBack,
    Sealing,
    every_n_events,
    never,
)
from perdure.abc import MAX_KEY, Backend, Put, PutState, Write, WriteGroup
from perdure_testkit._contract._stores import Stores, overridden

SECRET = "Zx8vQ2mLw7RtYp4K"
"""What events, states and tags hold; nothing compresses it, or makes it up by chance."""

PLAIN = "Hj3nBc6sTd9gFk1V"
"""What stands in the store in clear: who does not find this has not looked."""

KEY = bytes(range(1, 33))

COLLECTIONS = ("events", "snapshots", "durable", "archive", "subject_keys")
STATES = ("states", "sealing")

Raw: TypeAlias = Callable[[], Iterable[bytes]]
"""Returns all bytes that a store has put anywhere, such as its files, as they are now."""


class Tell(Message[int]):
    text: str


class Show(Message[tuple[str, ...]]):
    pass


class Drop(Message[None]):
    pass


class Whispered(Event):
    """Has a name that is not to be found either."""

    text: str


class Confidant(PersistentActor[tuple[str, ...], Whispered]):
    """Knows all that it was told, and has no snapshots."""

    initial_state = ()
    strategy: ClassVar[Full | Light] = Full(snapshot=never)

    async def handle(self, message: Any, context: Any) -> Any:
        if isinstance(message, Show):
            return self.state
        await self.persist(Whispered(message.text))
        return len(self.state)

    def apply(self, state: tuple[str, ...], event: Whispered) -> tuple[str, ...]:
        return (*state, event.text)

    def tags(self, event: Whispered) -> tuple[str, ...]:
        return (f"tag-{event.text}",)


class PhotoAlbum(Confidant):
    """Keeps snapshots, compressed, as they are long."""

    strategy = Full(snapshot=every_n_events(2), keep_snapshots=2, compression=Compression(over=0))


class AtticTrunk(Confidant):
    """Archives what is older than its snapshot."""

    strategy = Full(snapshot=every_n_events(2), keep_snapshots=1, compact="archive")


class PocketBook(Confidant):
    strategy = Light()


class PaperSlip(Confidant):
    strategy = Light(compact=True)


class LoveLetter(PhotoAlbum):
    """Is the data of a person."""

    @classmethod
    def subject(cls, persistence_id: str) -> str | None:
        return persistence_id.partition("/")[2]


class FridgeNote(DurableStateActor[tuple[str, ...]]):
    initial_state = ()

    async def handle(self, message: Any, context: Any) -> Any:
        match message:
            case Show():
                return self.state
            case Drop():
                await self.delete()
            case Tell(text):
                await self.save((*self.state, text))
                return len(self.state)


LOGS: tuple[type[Confidant], ...] = (Confidant, PhotoAlbum, AtticTrunk, PocketBook, PaperSlip, LoveLetter)
TYPES: tuple[type[Any], ...] = (*LOGS, FridgeNote)

TEXTS = tuple(f"{number} {SECRET} {'and so on ' * 20}" for number in range(1, 6))
"""What each actor is told."""


def system_of(backend: Backend, *, key: bytes = KEY, write: Any = "msgpack", **options: Any) -> ActorSystem:
    """Return a system that seals, and has its own sealing."""
    return ActorSystem(store=backend, write=write, sealing=Sealing(Keyring({1: key}), **options), ask_timeout=60)


async def tell_all(system: ActorSystem, key: str = "a", texts: Sequence[str] = TEXTS) -> None:
    """Have an actor of each type store what it is told."""
    for actor_type in TYPES:
        for text in texts:
            await system.ref(actor_type, key).ask(Tell(text))


class Place(NamedTuple):
    """Where a record stands; the key of a state is 0."""

    collection: str
    prefix: str
    key: int

    def write(self, value: bytes) -> Write:
        return Put(*self, value) if self.key else PutState(self.collection, self.prefix, value)


async def records(backend: Backend) -> dict[Place, bytes]:
    """Return all records of a store, those of states for the prefixes of logs."""
    found: dict[Place, bytes] = {}
    for collection in COLLECTIONS:
        for prefix in await backend.prefixes(collection, limit=1000):
            page = await backend.page(collection, prefix, 1, MAX_KEY + 1, limit=1000, max_bytes=2**24)
            found |= {Place(collection, prefix, key): value for key, value in page.entries}
    for collection, prefix in [("sealing", "names"), *(("states", name) for name in await backend.prefixes("events"))]:
        _, value = await backend.read_state(collection, prefix)
        if value is not None:
            found[Place(collection, prefix, 0)] = value
    return found


async def put(backend: Backend, place: Place, value: bytes) -> None:
    """Put a record in its place, past all that the actors would do."""
    assert await backend.commit([WriteGroup((place.write(value),))]) == [None]


async def recovered(
    backend: Backend, actor_type: type[Any], **options: Any
) -> tuple[tuple[str, ...], Sequence[RecoveryFellBack]]:
    """Return what an actor knows when it is read anew, and what was reported on the way. Raises as its system does."""
    async with system_of(backend, **options) as system:
        notices = system.events()
        state = await system.ref(actor_type, "a").ask(Show())
    return state, [notice async for notice in notices if isinstance(notice, RecoveryFellBack)]


class SealedStores(Stores):
    """What a test class gives: `url` or `backend`, and perhaps `raw`."""

    contract = "sealing"

    @overridden
    async def raw(self) -> AsyncIterator[Raw | None]:
        """Return what reads every byte that the store has put anywhere, such as its files; a class overrides this.

        Without it only what the backend itself gives back is looked through.
        """
        yield None
