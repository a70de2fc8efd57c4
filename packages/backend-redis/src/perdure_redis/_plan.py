"""A commit as the scripts want it: one for each slice, and several in turn where one would hold a server up.

A plan names each place once, as a key of the script. The groups are one flat list of numbers and keys, in MessagePack:
how many expectations, then each one's place and what it expects; how many items the writes have, then these. Values
follow as arguments, so that they are copied as little as can be. Keys of entries travel as text, for a number of Lua's
holds 53 bits of their 63. Puts of one log whose keys ascend, as an actor's do, are one write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeAlias, cast

import msgspec

from perdure.abc import (
    MAX_KEY,
    Conflict,
    Delete,
    DeleteRange,
    DeleteState,
    LastKey,
    Purge,
    PurgeState,
    Put,
    PutState,
    Replace,
    StateVersion,
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
_PUT, _REMOVE, _PURGE, _PUT_STATE, _DELETE_STATE, _PURGE_STATE, _REPLACE = 1, 2, 3, 4, 5, 6, 7
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
        self._logs: dict[tuple[str, str], int] = {}
        self._states: dict[tuple[str, str], int] = {}
        self._place_keys: list[bytes] = []
        self._kinds: list[int] = []
        self._collections: dict[str, tuple[int, bytes]] = {}
        self._steps: list[int | str] = []
        self._values: list[bytes] = []
        self._members: list[tuple[int, WriteGroup]] = []

    def add(self, number: int, group: WriteGroup) -> None:
        """Add the commit's group of this number."""
        steps, values, logs = self._steps, self._values, self._logs
        steps.append(len(group.expectations))
        for expectation in group.expectations:
            if type(expectation) is LastKey:
                named = expectation.collection, expectation.prefix
                steps += logs.get(named) or self._log(*named), str(expectation.key)
            else:
                assert isinstance(expectation, StateVersion)
                steps += self._state(expectation.state, expectation.prefix), str(expectation.version)
        start = len(steps)
        steps.append(0)
        run = last = 0
        for write in group.writes:
            if type(write) is Put:  # nearly all are, and a match takes microseconds
                values.append(write.value)
                key = write.key
                if not 1 <= key <= MAX_KEY:
                    check_key(key)
                named = write.collection, write.prefix
                place = logs.get(named) or self._log(*named)
                if run and key > last and steps[run - 2] == place:
                    steps[run] = cast(int, steps[run]) + 1
                    steps.append(str(key))
                else:
                    steps += _PUT, place, len(values) + 1, 1, str(key)
                    run = len(steps) - 2
                last = key
            else:
                steps += self._unusual(write)
                run = 0
        steps[start] = len(steps) - start - 1
        self._members.append((number, group))

    def command(self, writer: str, number: int) -> bytes:
        """Return the command that carries it out, once for this number."""
        keys = [self._keys.writer(self._slice, writer)]
        for name in self._collections:
            keys += (
                self._keys.heads(self._slice, name),
                self._keys.feed(self._slice, name),
                self._keys.prefixes(self._slice, name),
                self._keys.numbers(self._slice, name),
                self._keys.losses(self._slice, name),
            )
        cuts = [len(root) for _, root in self._collections.values()]
        plan = _encode((number, _WRITER_SECONDS, cuts, self._kinds, self._steps))
        return COMMIT.call(keys + self._place_keys, plan, *self._values)

    def report(self, reply: bytes, outcomes: list[Conflict | None]) -> None:
        """Put the conflicts that the script has found into their places."""
        for group, expectation, actual in _decode_conflicts(reply):
            number, member = self._members[group]
            outcomes[number] = Conflict(member.expectations[expectation], int(actual))

    def _unusual(self, write: Write) -> Sequence[Any]:
        match write:
            case Replace(collection, prefix, key, value):
                self._values.append(value)
                return _REPLACE, self._log(collection, prefix), str(check_key(key)), len(self._values) + 1
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
        place = self._logs.get((collection, prefix))
        if place is None:
            if collection not in self._collections:
                root = self._keys.log(self._slice, check_name(collection))
                self._collections[collection] = len(self._collections) + 1, root
            kind, root = self._collections[collection]
            place = self._logs[collection, prefix] = self._add(root + check_prefix(prefix).encode(), kind)
        return place

    def _state(self, state: str, prefix: str) -> int:
        place = self._states.get((state, prefix))
        if place is None:
            key = self._keys.state(self._slice, check_name(state), check_prefix(prefix).encode())
            place = self._states[state, prefix] = self._add(key, self._STATE)
        return place

    def _add(self, key: bytes, kind: int) -> int:
        self._place_keys.append(key)
        self._kinds.append(kind)
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
            kind = type(write)
            if kind is Put or kind is PutState or kind is Replace:
                size_of = len(write.value)  # type: ignore[union-attr]
                if size_of > max_value_bytes:
                    raise too_large(size_of, max_value_bytes)
                weight += size_of
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
