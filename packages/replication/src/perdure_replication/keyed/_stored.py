"""A node's own keys that outlive it.

Changes queue. Those that have come while others are stored are made one after another, each on what the one before has
left, and stored together; then, and not before, they are seen, here and elsewhere. So whatever anybody was told is
there in the next life.

With each key its number is stored, by which what is loaded comes into the order of the changes. The next life begins
behind the last number that is there, in an incarnation of its own, so all of it is newer than what anybody holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from perdure.errors import OutcomeUnknown
from perdure_replication._fields import fields
from perdure_replication._generation import Generation
from perdure_replication._node import Node
from perdure_replication._persistence import StatePersistence, StoredKey
from perdure_replication._seldom import is_worth_a_line
from perdure_replication.errors import Fenced, MutationUnstored, NodeClosed, TooManyMutations
from perdure_replication.keyed._keyed import Keys
from perdure_replication.keyed._part import Part
from perdure_replication.keyed._state import KeyedState
from perdure_replication.topics import Interest, Pace, check_key

V = TypeVar("V")

_TOGETHER = 256
"""Changes that are stored together at most."""

_log = logging.getLogger("perdure.replication")


class _Wanted(msgspec.Struct, Generic[V], gc=False):
    """A change that somebody waits for."""

    key: str
    change: Callable[[V | None], bytes | None]
    """Takes the value that is there, and returns the data of the new one, None for none."""
    done: asyncio.Future[Generation | None]


class _Made(msgspec.Struct, Generic[V], gc=False):
    """What a change makes of its key."""

    wanted: _Wanted[V]
    is_new: bool
    """Whether it makes anything else of it than it was."""
    value: V | None
    data: bytes | None


class StoredKeyed(Keys[V]):
    """A node's own keys of a keyed state, which are stored, and its views of others'. Get it by `Node.stored_keyed`."""

    def __init__(
        self, node: Node, state: KeyedState[V], persistence: StatePersistence, wanted: Interest, pace: Pace
    ) -> None:
        part: Part[V] = Part(state.wire, lambda: node.incarnation, is_loaded=False)
        super().__init__(node, state, part, wanted, pace)
        self._persistence = persistence
        self._waiting: deque[_Wanted[V]] = deque()
        self._unread = 0
        """Keys whose stored values cannot be read."""
        self._work: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Take over what earlier lives have stored. `Node.stored_keyed` has done it."""
        async for stored in self._persistence.load_keys(self.name):
            try:
                value = self._state.decode_view(stored.data, stored.version)
                data = self._encoded(stored.key, value)
            except Exception as error:  # the author's steps from version to version may raise anything
                self._cannot_read(stored, error)
            else:
                self._part.restore(stored.number, stored.key, value, data)
        self._part.number = max(self._part.number, self._exchange.ended.get(self.name, 0))
        self._part.loaded.set()

    async def put(self, key: str, value: V) -> Generation:
        """Set an own key; a copy is held. Returns its generation, when it is stored and on its way to its followers.

        A value that is equal to the one that is held keeps its generation. Raises what `Keyed.put` raises,
        `MutationUnstored` where it could not be stored, `Fenced` when a later life of the node has begun, and
        `TooManyMutations`: nothing has changed then. Cancelling the wait for it does not take it back.
        """
        self._check()
        data = self._encoded(check_key(key), value)
        generation = await self._changed(key, lambda _: data)
        assert generation is not None
        return generation

    async def mutate(self, key: str, change: Callable[[V | None], V | None]) -> Generation | None:
        """Change an own key, as `Keyed.mutate`, after all changes that were asked for before. Raises as `put`."""
        self._check()

        def changed(held: V | None) -> bytes | None:
            value = change(self._copy(held))
            return None if value is None else self._encoded(key, value)

        return await self._changed(check_key(key), changed)

    async def delete(self, key: str) -> bool:
        """Remove an own key, also from the store. Returns False where there is none. Raises as `put`."""
        self._check()
        return await self._changed(key, lambda _: None) is not None

    async def close(self) -> None:
        """Offer the own keys and follow others no more, when what was asked for is stored. May be called again.

        What is stored stays, for when it is opened again.
        """
        while self._work is not None:
            await asyncio.wait([self._work])
        self._withdraw()

    # One change after another

    async def _changed(self, key: str, change: Callable[[V | None], bytes | None]) -> Generation | None:
        most = self._node._settings.limits.waiting
        if len(self._waiting) >= most:
            raise TooManyMutations(self.name, f"{most:,} changes wait for the store")
        wanted: _Wanted[V] = _Wanted(key, change, asyncio.get_running_loop().create_future())
        self._waiting.append(wanted)
        if self._work is None:
            self._work = self._exchange.begin(self._make_all())
        return await wanted.done

    async def _make_all(self) -> None:
        try:
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
                try:
                    await self._make(some)
                finally:
                    _fail(some, NodeClosed(self._node.name))
        finally:
            self._work = None
            _fail(self._waiting, NodeClosed(self._node.name))
            self._waiting.clear()

    async def _make(self, wanted: Sequence[_Wanted[V]]) -> None:
        """Make some changes, store them, and let them be seen."""
        made = self._made(wanted)
        try:
            await self._store(made)
        except Exception as error:
            failed = error if isinstance(error, Fenced) else MutationUnstored(self.name, str(error))
            failed.__cause__ = None if failed is error else error
            _fail([each.wanted for each in made], failed)
            return
        for each in made:
            generation = self._seen(each)
            if not each.wanted.done.done():
                each.wanted.done.set_result(generation)

    def _made(self, wanted: Sequence[_Wanted[V]]) -> list[_Made[V]]:
        """Return what some changes make of their keys, each on what those before it have made."""
        made: list[_Made[V]] = []
        latest: dict[str, _Made[V]] = {}
        for each in wanted:
            before = latest.get(each.key)
            held = self._part.values.get(each.key) if before is None else before.value
            was = self._part.data(each.key) if before is None else before.data
            try:
                data = each.change(held)
                value = None if data is None else held if data == was else self._read_back(each.key, data)
            except Exception as error:  # whatever the change raises
                _fail([each], error)
            else:
                latest[each.key] = _Made(each, data != was, value, data)
                made.append(latest[each.key])
        return made

    async def _store(self, made: Sequence[_Made[V]]) -> None:
        """Store the last of each key in place of what is stored of it, as often as nobody knows whether it is."""
        new = [each for each in made if each.is_new]
        if not new:
            return
        last = {each.wanted.key: (number, each.data) for number, each in enumerate(new, self._part.number + 1)}
        version = self._state.wire
        kept = [StoredKey(number, key, version, data) for key, (number, data) in last.items() if data is not None]
        gone = [key for key, (_, data) in last.items() if data is None]
        while True:
            try:
                await self._node._save(self._persistence.save_keys(self.name, kept, gone))
                break
            except OutcomeUnknown as error:
                text = "%s: %s: keys may or may not be stored, and are stored again: %s"
                _log.warning(text, *self._whose, error, extra=self._fields(error))
                await self._node._pause(self._node._settings.save_retry)

    def _seen(self, made: _Made[V]) -> Generation | None:
        """Let a change that is stored be seen, and return the generation of its key."""
        key = made.wanted.key
        if made.is_new and made.data is None:
            return self._delete(key)
        if made.is_new and made.value is not None and made.data is not None:
            return self._put(key, made.value, made.data)
        return self._part.generation(key)

    @property
    def _whose(self) -> tuple[str, str]:
        return self._node.name, self.name

    def _fields(self, error: Exception) -> dict[str, object]:
        return fields(node=self._node.name, state=self.name, error=error)

    def _cannot_read(self, stored: StoredKey, error: Exception) -> None:
        """Leave a key in the store that this program cannot read: another one may. It is gone when it is put."""
        self._unread += 1
        if is_worth_a_line(self._unread):
            count = f"the {self._unread:,}. such"
            text = "%s: %s: the stored key %r is left out, %s: %s"
            _log.warning(text, *self._whose, stored.key, count, error, extra=self._fields(error))


def _fail(wanted: Sequence[_Wanted[V]] | deque[_Wanted[V]], error: Exception) -> None:
    for each in wanted:
        if not each.done.done():
            each.done.set_exception(error)
