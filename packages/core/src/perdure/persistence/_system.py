"""The actor system with a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from perdure import actors
from perdure._fields import Withheld
from perdure._plugins import open_backend
from perdure.abc import Backend, Durability, MachineProfile, MachineSpec, check_prefix
from perdure.actors import ActorPath, ActorRef, Clock, Overflow, StopReason, Subscription, Supervision
from perdure.actors._cell import Cell
from perdure.actors._path import path_of
from perdure.actors._props import Props
from perdure.errors import NameTaken
from perdure.journal import Format, Journal
from perdure.persistence._claims import Claims, Owner
from perdure.persistence._health import Health, Load, StuckActor
from perdure.persistence._recovering import Recovering, persistence_id_of
from perdure.persistence._replay import replayed
from perdure.persistence._stores import Stores
from perdure.persistence._warm import WarmStates
from perdure.security import Keyring, Sealing, Vault, sealing_of
from perdure.snapshots import (
    Archive,
    CollectionArchive,
    CollectionSnapshots,
    SnapshotStore,
    open_archive,
    open_snapshots,
)
from perdure.telemetry import Observer

if TYPE_CHECKING:
    from perdure.persistence._actor import PersistentActor
    from perdure.query import Ledger, Query

S = TypeVar("S")


class ActorSystem(actors.ActorSystem):
    """Actors of one event loop and the store in which their events are kept.

    `store` is a URL (`sqlite:///bank.db`), opened and closed with the system, or an open `Backend`, which stays open.
    `durability` is `full` (an acknowledged event survives power loss) or `relaxed` (it survives the crash of the
    process). `write` is the format of new records, `msgpack` or `json`; both are always read. `machine` sizes the
    store's caches: a profile such as `"medium"`, a `MachineSpec`, or None to look. `max_recoveries` actors at most are
    recovered at a time. A record of more than `max_record_bytes` is refused.

    Snapshots are kept in the store, or where `snapshots` says: a URL (`s3://bucket/prefix`), opened and closed with the
    system, or a `SnapshotStore`, which stays open. Events that `Full(compact="archive")` removes go to a collection of
    the store, or to `archive`: a URL of what can keep snapshots, a place of its own, or an `Archive`, which stays open.

    All that is stored is sealed with `sealing`, a `Sealing` or just a `Keyring`, and nothing else is accepted; actor
    types may have a sealing of their own. Use one store with one sealing.

    With an `owner`, a name for this system by which others tell it apart, each durable actor is *claimed* when it comes
    to life here, and from then on no other system that claims it can append to its log: it gets `Superseded` at its
    next write, and its actor stops. It costs a commit at an actor's first activation in this system. Until it writes, a
    superseded actor answers from the state that it has: what is asked of it alone may be old. Give all systems of a
    store an owner, or none: who claims nothing is not kept from writing.

    `warm` is asked for the state of a `PersistentActor` before its snapshots are read: see `WarmStates`. Where the log
    holds the event of that state's number, recovery reads only what is behind it; otherwise it goes the usual way.

    The rest is as in `perdure.actors.ActorSystem`.
    """

    def __init__(
        self,
        *,
        store: str | Backend = "memory://",
        snapshots: str | SnapshotStore | None = None,
        archive: str | Archive | None = None,
        sealing: Sealing | Keyring | None = None,
        owner: str | None = None,
        warm: WarmStates | None = None,
        durability: Durability = "full",
        write: Format = "msgpack",
        machine: MachineSpec | MachineProfile | str | None = None,
        max_recoveries: int = 64,
        max_record_bytes: int = 16 * 1024 * 1024,
        ask_timeout: float = 30.0,
        stop_timeout: float = 10.0,
        passivate_after: float = 300.0,
        max_live: int | None = None,
        resources: Mapping[str, object] | None = None,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            ask_timeout=ask_timeout,
            stop_timeout=stop_timeout,
            passivate_after=passivate_after,
            max_live=max_live,
            resources=resources,
            observers=observers,
            clock=clock,
            seed=seed,
        )
        if write not in ("msgpack", "json"):
            raise ValueError(f"write is 'msgpack' or 'json', not {write!r}")
        if owner is not None and not (isinstance(owner, str) and owner):
            raise ValueError(f"owner is a name for this system, or None to claim nothing, not {owner!r}")
        if max_recoveries < 1:
            raise ValueError(f"max_recoveries is 1 or more, not {max_recoveries}")
        if max_record_bytes < 1:
            raise ValueError(f"max_record_bytes is 1 or more, not {max_record_bytes}")
        self._store = store
        self._snapshots = snapshots
        self._archive = archive
        self._sealing = sealing_of(sealing)
        self._owner = owner
        self._warm = warm
        self._durability = durability
        self._write = write
        self._machine = machine
        self._max_recoveries = max_recoveries
        self._max_record_bytes = max_record_bytes
        self._stores: Stores | None = None
        self._opened = AsyncExitStack()
        self._identities: set[str] = set()

    @property
    def backend(self) -> Backend:
        """The open store. Raises `RuntimeError` outside `async with`."""
        if self._stores is None:
            raise RuntimeError("the system has no open store: enter it first")
        return self._stores.backend

    def query(self, *actor_types: type[PersistentActor[Any, Any]], poll: float = 1.0) -> Query:
        """Return what reads the events in this system's store, and decodes those of these actor types.

        Its live streams go on as soon as something is committed here, and look every `poll` seconds for what other
        processes wrote; they end with the system. Raises `RuntimeError` outside `async with`.
        """
        from perdure.query import Query  # it stands on this floor

        backend = self.backend
        assert self._stores is not None
        stores = self._stores
        return Query(
            *(backend, actor_types), poll=poll, clock=self.clock, commits=stores.journal.commits, sealing=stores.vault
        )

    def ledger(self, actor_type: type[PersistentActor[S, Any]], poll: float = 1.0) -> Ledger[S]:
        """Return the logs of an actor type in this system's store as records, for those who pass them on.

        Its live pages go on as those of `query` do. Raises `RuntimeError` outside `async with`.
        """
        from perdure.query import Ledger  # it stands on this floor
        from perdure.query._stream import Source

        backend = self.backend
        assert self._stores is not None
        stores = self._stores
        source = Source(backend, self.clock, stores.journal.commits, poll, stores.vault)
        return Ledger(source, actor_type, lambda identity: replayed(stores, actor_type, identity))

    async def forget(self, subject: str) -> bool:
        """Destroy the key of a subject; when this returns, nobody can read what is stored of it, in this or any copy.

        Its actors, those that live now too, refuse with `SubjectForgotten`; in other processes they do within a minute.
        A subject that was forgotten never comes back: nothing is stored of it again. Return False if there was nothing
        to destroy. Raises `StoreError`, `SealedStore` without a sealing, `RuntimeError` outside `async with`.
        """
        if self._stores is None:
            raise RuntimeError("the system has no open store: enter it first")
        return await self._stores.vault.forget(subject)

    async def owner_of(self, ref: ActorRef) -> Owner | None:
        """Return who has claimed a durable actor last, None if nobody has. Raises `StoreError`.

        Raises `RuntimeError` outside `async with`, and in a system without an owner.
        """
        return await self._claims().owner(self._stored_name(ref))

    async def reclaim(self, ref: ActorRef) -> None:
        """Have a durable actor claimed again by its next activation here, whoever has claimed it since.

        For the program that decides where actors live: after `Superseded` this system takes nothing back by itself. An
        instance that lives here without knowing that it was superseded is stopped first. Does nothing while this system
        is the owner. Raises as `owner_of` does.
        """
        claims, name = self._claims(), self._stored_name(ref)
        if not await claims.holds(name):
            claims.forget(name)
            if self._find(ref.path) is not None:
                await ref.stop()

    async def health(
        self,
        *,
        timeout: float = 2.0,
        max_lag: float = 5.0,
        stuck_after: float = 30.0,
        max_stuck: int | None = None,
    ) -> Health:
        """Return how the system is, for a readiness endpoint. Never raises for what is wrong with it.

        The store is read, and has `timeout` seconds to answer. Commits are late when the oldest write has been waiting
        for more than `max_lag` seconds. An actor is stuck when its turn has been waiting for `stuck_after` seconds, for
        whatever it awaits; more than `max_stuck` of them, if that is given, make the system unready.
        """
        stores = self._stores
        if stores is None or self._state != "open":
            return self._health((self._why_not_open(),), None, (), stores)
        seconds, silence = await stores.probe.ask(timeout)
        stuck = self._stuck(stuck_after)
        lag = stores.journal.lag
        reasons = [
            *([silence] if silence else ()),
            *([f"a write has been waiting for {lag:.3g} s"] if lag > max_lag else ()),
            *([f"{len(stuck)} actors are stuck"] if max_stuck is not None and len(stuck) > max_stuck else ()),
        ]
        return self._health(tuple(reasons), seconds, stuck, stores)

    def load(self) -> Load:
        """Return what waits for the store now; nothing, while none is open. May be called in any thread."""
        stores = self._stores
        if stores is None:
            return Load(0.0, 0, 0)
        return Load(stores.journal.lag, stores.recoveries.running, stores.recoveries.waiting)

    def _health(
        self, reasons: tuple[str, ...], seconds: float | None, stuck: Sequence[StuckActor], stores: Stores | None
    ) -> Health:
        failure = None if stores is None else stores.journal.failure
        load = self.load()
        return Health(
            ready=not reasons,
            reasons=reasons,
            store_seconds=seconds,
            commit_lag=load.commit_lag,
            commit_error=None if failure is None else type(failure).__name__,
            recovering=load.recovering,
            waiting_to_recover=load.waiting_to_recover,
            live=self.live,
            dead_letters=self.dead_letters,
            stuck_count=len(stuck),
            stuck=tuple(stuck[: Health.MOST]),
        )

    def _stuck(self, seconds: float) -> list[StuckActor]:
        """Return the actors whose turn has been waiting so long, the longest first."""
        now = self.clock.monotonic()
        return [
            StuckActor(
                path=cell.shown,
                type=cell.type_name,
                life=cell.life,
                message=None if cell.in_hand is None else type(cell.in_hand.message).__name__,
                seconds=now - began,
            )
            for cell, began in sorted(self._waiting(), key=lambda waiting: waiting[1])
            if now - began >= seconds
        ]

    def shown(self, path: str, props: Props) -> str:
        """Return the path of an actor as others may see it, such as readers of logs: hidden where names are."""
        if self._stores is None or not self._stores.vault.hides_names:
            return path
        name = persistence_id_of(path, props) if issubclass(props.actor_type, Recovering) else path
        return path_of(path_of("", props.actor_type.type_name), self._stores.vault.stored_name(name))

    def loggable(self, error: BaseException) -> BaseException:
        """Return an error as readers of logs may see it: where it is stored sealed, without what it says."""
        return error if self._sealing is None else Withheld.of(error)

    def _claims(self) -> Claims:
        if self._stores is None:
            raise RuntimeError("the system has no open store: enter it first")
        if self._stores.claims is None:
            raise RuntimeError("the system claims no actors: give it an owner")
        return self._stores.claims

    def _stored_name(self, ref: ActorRef) -> str:
        """Return under which name the store keeps a durable actor. Raises `TypeError` for other actors."""
        if self._stores is None or not issubclass(ref._props.actor_type, Recovering):
            raise TypeError(f"{ref.path} is no durable actor, and nobody's")
        return self._stores.vault.stored_name(persistence_id_of(ref.path, ref._props))

    async def spawn(
        self,
        actor_type: type[actors.Actor],
        name: str,
        *arguments: Any,
        supervision: Supervision | None = None,
        persistence_id: str | None = None,
        **keywords: Any,
    ) -> ActorRef:
        """Start an actor now, as in `perdure.actors.ActorSystem`.

        Its log has the name `persistence_id`, or the actor's path. Raises `NameTaken` when a live actor has it.
        """
        if persistence_id is not None:
            keywords["persistence_id"] = persistence_id
        return await super().spawn(actor_type, name, *arguments, supervision=supervision, **keywords)

    async def _spawn(
        self,
        parent: Cell | None,
        actor_type: type[actors.Actor],
        name: str,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        supervision: Supervision | None,
    ) -> ActorRef:
        identity = keywords.pop("persistence_id", None)
        if identity is not None:
            check_prefix(identity)
        props = Props(actor_type, arguments, keywords, supervision=supervision, identity=identity)
        return await self._start(parent, name, props)

    def _add(self, path: ActorPath, key: str, props: Props, parent: Cell | None = None) -> Cell:
        if props.identity is not None:
            if self._lives(props.identity):
                raise NameTaken(props.identity)
        elif self._identities and persistence_id_of(path, props) in self._identities:
            raise NameTaken(persistence_id_of(path, props))
        cell = super()._add(path, key, props, parent)
        if props.identity is not None:
            self._identities.add(props.identity)
        return cell

    def _lives(self, persistence_id: str) -> bool:
        """Tell whether a live actor has this id, given to it or made from its path."""
        if persistence_id in self._identities:
            return True
        name, _, key = persistence_id.partition("/")
        cells = filter(None, map(self._find, (persistence_id, path_of(path_of("", name), key))))
        return any(persistence_id_of(cell.path, cell.props) == persistence_id for cell in cells)

    def _forget(self, cell: Cell, reason: StopReason | None, error: BaseException | None = None) -> None:
        if cell.props.identity is not None:
            self._identities.discard(cell.props.identity)
        super()._forget(cell, reason, error)

    def _subscribe(self, ref: ActorRef, after: int | None, capacity: int, overflow: Overflow) -> Subscription[Any]:
        actor_type = ref._props.actor_type
        if after is None or not issubclass(actor_type, Recovering):
            return super()._subscribe(ref, after, capacity, overflow)
        if self._stores is None:
            raise RuntimeError("the system has no open store: enter it first")
        return actor_type._follow(persistence_id_of(ref.path, ref._props), after, capacity, self._stores)

    def _end_subscriptions(self) -> None:
        super()._end_subscriptions()
        if self._stores is not None:
            self._stores.followers.close()
            self._stores.watchers.close()
            self._stores.journal.commits.close()

    async def _open(self) -> None:
        async with AsyncExitStack() as opened:
            backend = self._store
            if isinstance(backend, str):
                backend = await open_backend(backend, durability=self._durability, machine=self._machine)
                opened.push_async_callback(backend.close)
            snapshots = self._snapshots
            if isinstance(snapshots, str):
                snapshots = await open_snapshots(snapshots)
                opened.push_async_callback(snapshots.close)
            archive = self._archive
            if isinstance(archive, str):
                archive = await open_archive(archive)
                opened.push_async_callback(archive.close)
            vault = Vault(backend, self._sealing)
            await vault.open()
            self._stores = self._stand_on(backend, snapshots, archive, vault)
            self._opened = opened.pop_all()

    def _stand_on(
        self, backend: Backend, snapshots: SnapshotStore | None, archive: Archive | None, vault: Vault
    ) -> Stores:
        journal = Journal(
            backend, max_record_bytes=self._max_record_bytes, observed=self.observed, actors=self.dispatcher
        )
        return Stores(
            journal,
            snapshots or CollectionSnapshots(backend, journal.write),
            archive or CollectionArchive(backend, journal.write),
            self.clock,
            self._write,
            self._max_recoveries,
            self._tell,
            vault,
            self._warm,
            self._owner,
            self.observed,
        )

    async def _settle(self) -> None:
        if self._stores is not None:
            await self._stores.settle()

    async def _close(self) -> None:
        if self._stores is None:
            return
        try:
            await self._stores.close()
        finally:
            await self._opened.aclose()
