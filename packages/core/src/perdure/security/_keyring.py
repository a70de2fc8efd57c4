"""The versioned master keys of a system: one seals, all open.

Of a master key only what HKDF extracts from it is kept, masked: everything else is expanded from that, and the master
itself is not needed again. A ring is a value that is replaced whole, under a lock; who reads takes no lock and sees the
ring before a change or after it.

    PRK(v)      = HMAC-SHA256(key = "perdure sealing v1", message = master(v))      RFC 5869, extract
    derive      = HMAC-SHA256(key = PRK(v), message = info || 01)                   RFC 5869, expand, 32 bytes
    fingerprint = HMAC-SHA256(key = master(v), message = "perdure key id" || 01)    its first 4 bytes

The fingerprint hangs on the master itself, so that no `info` can lead to it.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import NoReturn, SupportsIndex, final

from perdure.errors import KeyringError, UnknownKey
from perdure.security._format import Found, problem_with_version
from perdure.security._key import EncryptedKey, problem_with
from perdure.security._sources import (
    AsyncSource,
    Keys,
    Source,
    async_source,
    callable_source,
    environment_source,
    file_source,
)

SALT = b"perdure sealing v1"
_IDENTITY = b"perdure key id\x01"


@dataclass(frozen=True, slots=True)
class _Master:
    prk: EncryptedKey
    identity: bytes


@dataclass(frozen=True, slots=True)
class _Ring:
    masters: Mapping[int, _Master] = field(default_factory=dict)
    active: int = 0


@final
class Keyring:
    """Master keys of 32 bytes under versions 1 to 65535. The active one seals, by default that of the greatest version.

    The ring copies the keys, and wipes only its copies. Raises `KeyringError` at once if there is no key, if a key or a
    version cannot be one, if two versions have one key, or if no key is active. It may be used from any thread.
    """

    __slots__ = ("_fetch", "_load", "_lock", "_ring", "generation")

    generation: int
    """A number that grows with each change of the ring, for those who keep what they derived."""
    _ring: _Ring
    _load: Source | None
    _fetch: AsyncSource | None

    def __init__(self, keys: Keys, *, active: int | None = None) -> None:
        self._begin()
        ring = _grown(self._ring, Found(keys, active))
        del keys
        self._install(ring)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Keyring:
        """Return the keys in a file with lines `VERSION: KEY`, or in a folder of files that are named by version.

        A KEY is 32 bytes in base64 or hexadecimal; `#` begins a comment; a line `active: VERSION`, or a file `active`,
        says which is active. Raises `KeyringError` if a file is neither the user's nor root's, or others may read or
        write it (POSIX), or if it is no key file. No error shows what is in it.
        """
        return cls._from(file_source(path))

    @classmethod
    def from_environment(cls, name: str = "PERDURE_KEYS", *, forget: bool = False) -> Keyring:
        """Return the keys in a variable, in the format of a key file, with commas or newlines between.

        An environment is a poor place for keys: children inherit it, crash reports print it, and /proc/PID/environ
        shows the user and root how it was when the process began. `forget` removes the variable from `os.environ`, and
        so from what later children inherit; /proc still shows it, and `reload` no longer finds it.
        """
        return cls._from(environment_source(name, forget))

    @classmethod
    def from_callable(cls, load: Callable[[], Keys]) -> Keyring:
        """Return the keys that `load()` returns by version, from a key service. What it raises passes."""
        return cls._from(callable_source(load))

    @classmethod
    async def fetched(cls, load: Callable[[], Awaitable[Keys]]) -> Keyring:
        """Return the keys that `await load()` returns by version, from a key service. What it raises passes."""
        keyring = cls.__new__(cls)
        keyring._begin(fetch=async_source(load))
        await keyring.refetch()
        return keyring

    @property
    def active(self) -> int:
        """The version that seals."""
        return self._ring.active

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions, ascending."""
        return tuple(sorted(self._ring.masters))

    def __contains__(self, version: object) -> bool:
        return version in self._ring.masters

    def fingerprint(self, version: int) -> bytes:
        """Return 4 public bytes that tell keys apart. Raises `UnknownKey`.

        They give away whether two places use one key, and let who has a guess at a key test it: no help against 32
        random bytes, all the help against a password. One of 4 billion other keys has the same.
        """
        return self._master(version).identity[:4]

    def derive(self, version: int, info: bytes) -> bytes:
        """Return the 32 bytes that HKDF-SHA256 makes of a master key for the use that `info` names, which is not empty.

        The salt is `b"perdure sealing v1"`. Raises `UnknownKey`.
        """
        if not info:
            raise KeyringError("info", "it is empty: name the use of the key")
        try:
            return self._master(version).prk.mac(info + b"\x01")
        except KeyringError:  # another thread removed it just now
            raise self._unknown(version) from None

    def add(self, version: int, key: bytes | EncryptedKey) -> None:
        """Add a key that opens; `activate` lets it seal. Raises `KeyringError` if the version or the key is there."""
        with self._lock:
            if version in self._ring.masters:
                del key
                raise KeyringError(f"key {version}", "it is in the keyring: give the new key a new version")
            ring = _grown(self._ring, Found({version: key}, self.active))
            del key
            self._install(ring)

    def activate(self, version: int) -> None:
        """Seal with this version from now on. Raises `UnknownKey`."""
        with self._lock:
            self._master(version)
            self._become(_Ring(self._ring.masters, version))

    def remove(self, version: int) -> None:
        """Wipe a key, without which what it has sealed cannot be read. Raises `UnknownKey`.

        The active one is refused with `KeyringError`. Take it out of the source first, or `reload` adds it again.
        """
        with self._lock:
            master = self._master(version)
            if version == self.active:
                raise KeyringError(f"key {version}", "it is active, and cannot be removed: activate another one first")
            left = {other: kept for other, kept in self._ring.masters.items() if other != version}
            self._become(_Ring(left, self.active))
            master.prk.wipe()

    def reload(self) -> tuple[int, ...]:
        """Add what is new in the source, activate what it says or the greatest version, and return the new versions.

        Nothing is removed; an answer with anything wrong changes nothing. Raises `KeyringError`.
        """
        if self._load is None:
            how = "was given its keys: add() them" if self._fetch is None else "awaits its source: `await refetch()`"
            raise KeyringError("the keyring", f"it {how}")
        return self._take(self._load())

    async def refetch(self) -> tuple[int, ...]:
        """Do as `reload`, and await the source, if it is one to be awaited."""
        return self.reload() if self._fetch is None else self._take(await self._fetch())

    @classmethod
    def _from(cls, load: Source) -> Keyring:
        keyring = cls.__new__(cls)
        keyring._begin(load)
        keyring.reload()
        return keyring

    def _begin(self, load: Source | None = None, fetch: AsyncSource | None = None) -> None:
        self._lock = RLock()  # a signal may come while this thread has it
        self._ring = _Ring()
        self.generation = 0
        self._load = load
        self._fetch = fetch

    def _take(self, found: Found | KeyringError) -> tuple[int, ...]:
        with self._lock:
            ring = found if isinstance(found, KeyringError) else _grown(self._ring, found)
            del found
            return self._install(ring)

    def _install(self, ring: _Ring | KeyringError) -> tuple[int, ...]:
        """Replace the ring, or raise why it cannot be. Return what is new in it."""
        if isinstance(ring, KeyringError):
            raise ring
        new = ring.masters.keys() - self._ring.masters.keys()
        if new or ring.active != self._ring.active:
            self._become(ring)
        return tuple(sorted(new))

    def _become(self, ring: _Ring) -> None:
        self._ring = ring
        self.generation += 1  # last: who sees the new number finds the new ring

    def _master(self, version: int) -> _Master:
        master = self._ring.masters.get(version)
        if master is None:
            raise self._unknown(version)
        return master

    def _unknown(self, version: int) -> KeyringError:
        wrong = problem_with_version(version)
        return KeyringError("the version of a key", wrong) if wrong else UnknownKey(version, self.versions)

    def __repr__(self) -> str:
        return f"<Keyring of versions {', '.join(map(str, self.versions))}; {self.active} is active>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise KeyringError(
            "the keyring",
            "it is neither copied nor pickled, so that it is written nowhere: "
            "share the object, or load the keys again in the other process",
        )


def _grown(ring: _Ring, found: Found) -> _Ring | KeyringError:
    """Return the ring with what was found added, or why it cannot be."""
    given: object = found.keys
    if not isinstance(given, Mapping):
        return KeyringError("the keyring", f"its keys are a mapping, version to key, not a {type(given).__name__}")
    masters = dict(ring.masters)
    owners = {master.identity: version for version, master in masters.items()}
    for version, key in given.items():
        master = _master(version, key)
        if isinstance(master, KeyringError):
            return master
        if masters.setdefault(version, master).identity != master.identity:
            return KeyringError(f"key {version}", "it is another than it was: give a new key a new version")
        if (owner := owners.setdefault(master.identity, version)) != version:
            return KeyringError(f"key {version}", f"it is the same as key {owner}: make a new one")
    return _activated(ring, masters, found.active)


def _activated(ring: _Ring, masters: Mapping[int, _Master], active: int | None) -> _Ring | KeyringError:
    if not masters:
        return KeyringError("the keyring", "no key is in it: make one with write_key_file, and load it with from_file")
    if active is None:
        active = max(masters)
    if wrong := problem_with_version(active):
        return KeyringError("the active key", wrong)
    if active not in masters:
        return KeyringError("the active key", f"{active} is not in the keyring: add it, or let another be active")
    return _Ring(masters, active)


def _master(version: int, key: bytes | EncryptedKey) -> _Master | KeyringError:
    if wrong := problem_with_version(version):
        return KeyringError("the version of a key", wrong)
    if not isinstance(key, EncryptedKey):
        if wrong := problem_with(key):
            return KeyringError(f"key {version}", wrong)
        key = EncryptedKey(key)
    if key.wiped:
        return KeyringError(f"key {version}", "it was wiped, and cannot be used: load it again")
    with key.reveal() as secret:
        prk = EncryptedKey(hmac.digest(SALT, secret, "sha256"))
        return _Master(prk, hmac.digest(secret, _IDENTITY, "sha256"))
