"""A commit as the scripts want it: one for each slice, and several in turn where one would hold a server up.

A plan names each place once, as a key of the script; groups are lists of numbers and keys, in MessagePack; values
follow as arguments, so that they are copied as little as can be. Keys of entries travel as text, for a number of Lua's
holds 53 bits of their 63.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeAlias

import msgspec

from perdure.abc import (
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    LastKey,
    Purge,
    PurgeState,
    Put,
    PutState,
    Write,
    WriteGroup,
    check_key,
    check_name,
    check_prefix,
)
from perdure.errors import StoreError
from perdure_redis._command import COMMIT
from perdure_redis._errors import too_large
from perdure_redis._keys import Keys

Round: TypeAlias = "dict[int, Plan]"
"""Plans by slice, which may be carried out in any order."""

_ROUND_GROUPS = 1024
_ROUND_BYTES = 8 * 1024 * 1024
_PUT, _REMOVE, _PURGE, _PUT_STATE, _DELETE_STATE, _PURGE_STATE = 1, 2, 3, 4, 5, 6
_WRITER_SECONDS = 3600

_encode = msgspec.msgpack.Encoder().encode
_decode_conflicts = msgspec.msgpack.Decoder(list[tuple[int, int, str]]).decode


class Plan:
    """What one slice is asked to do."""

    _STATE: ClassVar[int] = 0

    def __init__(self, keys: Keys, slice: int) -> None:
        self.slot = keys.slots[slice]
        self._keys = keys
        self._slice = slice
        self._places: dict[tuple[bool, str, str], int] = {}
        self._place_keys: list[bytes] = []
        self._kinds: list[int] = []
        self._collections: dict[str, int] = {}
        self._groups: list[tuple[list[Any], list[Any]]] = []
        self._values: list[bytes] = []
        self._members: list[tuple[int, WriteGroup]] = []

    def add(self, number: int, group: WriteGroup) -> None:
        """Add the commit's group of this number."""
        expectations: list[Any] = []
        for expectation in group.expectations:
            if isinstance(expectation, LastKey):
                expectations += self._log(expectation.collection, expectation.prefix), str(expectation.key)
            else:
                expectations += self._state(expectation.state, expectation.prefix), str(expectation.version)
        writes: list[Any] = []
        for write in group.writes:
            if type(write) is Put:  # nearly all are, and a match takes microseconds
                self._values.append(write.value)
                place = self._log(write.collection, write.prefix)
                writes += _PUT, place, str(check_key(write.key)), len(self._values) + 1
            else:
                writes += self._unusual(write)
        self._groups.append((expectations, writes))
        self._members.append((number, group))

    def command(self, writer: str, number: int) -> bytes:
        """Return the command that carries it out, once for this number."""
        names = list(self._collections)
        keys = [self._keys.writer(self._slice, writer)]
        for name in names:
            keys += (
                self._keys.feed(self._slice, name),
                self._keys.prefixes(self._slice, name),
                self._keys.numbers(self._slice, name),
            )
        cuts = [len(self._keys.log(self._slice, name)) for name in names]
        plan = _encode((number, _WRITER_SECONDS, cuts, self._kinds, self._groups))
        return COMMIT.call(keys + self._place_keys, plan, *self._values)

    def report(self, reply: bytes, outcomes: list[Conflict | None]) -> None:
        """Put the conflicts that the script has found into their places."""
        for group, expectation, actual in _decode_conflicts(reply):
            number, member = self._members[group]
            outcomes[number] = Conflict(member.expectations[expectation], int(actual))

    def _unusual(self, write: Write) -> Sequence[Any]:
        match write:
            case Delete(collection, prefix, key):
                return _REMOVE, self._log(collection, prefix), str(max(key, 0)), str(max(key + 1, 0))
            case DeleteRange(collection, prefix, start, stop):
                return _REMOVE, self._log(collection, prefix), str(max(start, 0)), str(max(stop, 0))
            case Purge(collection, prefix):
                return _PURGE, self._log(collection, prefix)
            case PutState(state, prefix, value):
                self._values.append(value)
                return _PUT_STATE, self._state(state, prefix), len(self._values) + 1
            case DeleteState(state, prefix):
                return _DELETE_STATE, self._state(state, prefix)
            case PurgeState(state, prefix):
                return _PURGE_STATE, self._state(state, prefix)
        raise TypeError(f"{write!r} is no write")

    def _log(self, collection: str, prefix: str) -> int:
        place = self._places.get((True, collection, prefix))
        if place is None:
            kind = self._collections.get(collection)
            if kind is None:
                kind = self._collections[check_name(collection)] = len(self._collections) + 1
            key = self._keys.log(self._slice, collection, check_prefix(prefix).encode())
            place = self._add((True, collection, prefix), key, kind)
        return place

    def _state(self, state: str, prefix: str) -> int:
        place = self._places.get((False, state, prefix))
        if place is None:
            key = self._keys.state(self._slice, check_name(state), check_prefix(prefix).encode())
            place = self._add((False, state, prefix), key, self._STATE)
        return place

    def _add(self, name: tuple[bool, str, str], key: bytes, kind: int) -> int:
        self._place_keys.append(key)
        self._kinds.append(kind)
        self._places[name] = len(self._kinds)
        return len(self._kinds)


def rounds_of(groups: Sequence[WriteGroup], keys: Keys, max_value_bytes: int) -> list[Round]:
    """Return the plans of a commit, in rounds that follow each other. Raises before anything is sent."""
    rounds: list[Round] = []
    count = size = 0
    for number, group in enumerate(groups):
        if not group.writes and not group.expectations:
            continue
        weight = 0
        for write in group.writes:
            if isinstance(write, Put | PutState):
                if len(write.value) > max_value_bytes:
                    raise too_large(len(write.value), max_value_bytes)
                weight += len(write.value)
        if not rounds or count >= _ROUND_GROUPS or size + weight > _ROUND_BYTES:
            rounds.append({})
            count = size = 0
        count, size = count + 1, size + weight
        slice = _slice_of(group, keys)
        plan = rounds[-1].get(slice)
        if plan is None:
            plan = rounds[-1][slice] = Plan(keys, slice)
        plan.add(number, group)
    return rounds


def _slice_of(group: WriteGroup, keys: Keys) -> int:
    if keys.slices == 1:
        return 0
    slices = {keys.slice_of(prefix.encode()) for prefix in set(_prefixes(group))}
    if len(slices) > 1:
        places = ", ".join(map(repr, sorted(set(_prefixes(group)))))
        reason = f"the group touches {places}, which lie in several of the store's {keys.slices} slices"
        raise StoreError("commit", f"{reason}, and it is atomic within one: use one prefix, or a store with slices=1")
    return slices.pop()


def _prefixes(group: WriteGroup) -> Iterator[str]:
    for item in (*group.writes, *group.expectations):
        yield check_prefix(item.prefix)
