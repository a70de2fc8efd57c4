"""The ciphers of records that were lately sealed or opened."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from perdure.security._secret import Secret
from perdure.security._suites import Suite

_INFO = b"perdure record "


class Ready(NamedTuple):
    """A cipher with the key of one persistence id."""

    nonce_bytes: int
    encrypt: Callable[[bytes, bytes, bytes], bytes]
    decrypt: Callable[[bytes, bytes, bytes], bytes]


class Ciphers:
    """Ciphers by what stands of their key in a header, and the persistence id as it is stored. Thread-safe.

    A cipher takes microseconds to make and 2.5 KiB to keep, so those of 8,192 persistence ids are kept.
    """

    def __init__(self, store: str = "", room: int = 8192) -> None:
        """Make keys that are good for the store of this name alone."""
        self._store = b"\0" + store.encode() if store else b""
        self._room = room
        self._lock = Lock()
        self._made: dict[tuple[bytes, str], Ready] = {}
        self.find = self._made.get
        """Returns the cipher under `(key, name)`, or None if it has to be made."""

    def make(self, key: bytes, name: str, suite: Suite, secret: Secret) -> Ready:
        """Return a new cipher, and keep it in the place of that which was made first."""
        use = b"%s%c%s%s" % (_INFO, suite.number, name.encode(), self._store)  # no name has a NUL
        cipher = suite.cipher(secret.derive(use))
        ready = Ready(suite.nonce_bytes, cipher.encrypt, cipher.decrypt)
        with self._lock:
            if len(self._made) >= self._room:
                del self._made[next(iter(self._made))]
            self._made[key, name] = ready
        return ready

    def clear(self) -> None:
        """Forget all of them, for a key is no longer to be used."""
        with self._lock:
            self._made.clear()
