"""Which keys of a topic a reader wants."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Annotated, TypeAlias

import msgspec

MAX_KEY = 1024
"""The characters of a key, and of a prefix."""
MAX_KEYS = 1024
"""The keys that an interest names at most, for each fetch names them all: of more, follow a prefix."""
MAX_PREFIXES = 128
MAX_CHARACTERS = 100_000
"""All keys and prefixes of an interest together."""

Key: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)]
Keys: TypeAlias = Annotated[tuple[Key, ...], msgspec.Meta(max_length=MAX_KEYS)]
Prefixes: TypeAlias = Annotated[
    tuple[Annotated[str, msgspec.Meta(max_length=MAX_KEY)], ...], msgspec.Meta(max_length=MAX_PREFIXES)
]


class Interest(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Some keys in their order, and all that begin with some prefixes.

    The empty prefix means everything, and none of both nothing. Make it by `interest`.
    """

    keys: Keys = ()
    prefixes: Prefixes = ()

    def __bool__(self) -> bool:
        return bool(self.keys or self.prefixes)

    def covers(self, key: str) -> bool:
        """Tell whether a key is wanted."""
        if key.startswith(self.prefixes):
            return True
        place = bisect_left(self.keys, key)
        return place < len(self.keys) and self.keys[place] == key

    def within(self, other: Interest) -> Interest:
        """Return what of this is in another interest for sure."""
        return Interest(
            tuple(key for key in self.keys if other.covers(key)),
            tuple(prefix for prefix in self.prefixes if prefix.startswith(other.prefixes)),
        )

    def beyond(self, other: Interest) -> Interest:
        """Return what of this may not be in another interest."""
        return Interest(
            tuple(key for key in self.keys if not other.covers(key)),
            tuple(prefix for prefix in self.prefixes if not prefix.startswith(other.prefixes)),
        )


NOTHING = Interest()
EVERYTHING = Interest(prefixes=("",))


def interest(keys: Iterable[str] = (), prefixes: Iterable[str] = ()) -> Interest:
    """Return an interest with each key and prefix once. Raises `ValueError` for what it cannot name."""
    keys, shortest = _texts("keys", keys), _shortest(_texts("prefixes", prefixes))
    if sum(map(len, keys)) + sum(map(len, shortest)) > MAX_CHARACTERS:
        raise ValueError(f"an interest has up to {MAX_CHARACTERS:,} characters: follow a prefix instead of many keys")
    wanted = Interest(tuple(key for key in keys if not key.startswith(shortest)), shortest)
    try:
        return msgspec.convert(msgspec.to_builtins(wanted), Interest)
    except msgspec.ValidationError as error:
        most = f"up to {MAX_KEYS:,} keys and {MAX_PREFIXES} prefixes, of up to {MAX_KEY} characters"
        raise ValueError(f"an interest names {most}: {error}") from error


def first_of(keys: Sequence[str]) -> Interest:
    """Return as many of some ascending keys as an interest may name."""
    count = characters = 0
    for key in keys[:MAX_KEYS]:
        characters += len(key)
        if characters > MAX_CHARACTERS:
            break
        count += 1
    return Interest(tuple(keys[:count]))


def check_key(key: str) -> str:
    """Return a key. Raises `ValueError` for what cannot be one."""
    if not is_text(key) or not 1 <= len(key) <= MAX_KEY:
        raise ValueError(f"a key is a text of 1 to {MAX_KEY} characters, not {ascii(key)[:40]}")
    return key


def is_text(value: object) -> bool:
    """Tell whether something is a text that can be sent: half of a surrogate pair cannot."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _texts(name: str, given: Iterable[str]) -> list[str]:
    """Return some texts in their order, each once."""
    if isinstance(given, str):
        raise ValueError(f"{name} are several texts: write ({given!r},)")
    texts = set(given)
    for text in texts:
        if not is_text(text):
            raise ValueError(f"{name} are texts that can be encoded, and {ascii(text)[:40]} is none")
    return sorted(texts)


def _shortest(prefixes: list[str]) -> tuple[str, ...]:
    """Return those of some ascending prefixes that begin with no other: it would be right before them."""
    shortest: list[str] = []
    for prefix in prefixes:
        if not shortest or not prefix.startswith(shortest[-1]):
            shortest.append(prefix)
    return tuple(shortest)
