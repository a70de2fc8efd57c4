"""A secret of 32 bytes that is masked while nobody uses it.

Masked: in memory there are a random pad and the secret XOR the pad, and either alone says nothing. So the secret is in
no repr, no log, no pickle, no traceback and no half of a heap dump by accident. It is no protection from somebody who
reads the memory of the process on purpose; docs/keys.md says what it is worth.

Two habits keep the secret out of tracebacks, for reporters of errors print the variables of each frame: a function that
holds a secret never raises (it returns what is wrong, and its caller raises), and a constructor forgets its argument
before it raises. The secret is unmasked into its buffer eight bytes at a time, so that no whole copy of it is left in
freed memory.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import xor
from struct import Struct
from threading import RLock
from typing import NoReturn, SupportsIndex, final

from perdure.errors import KeyringError

SIZE = 32


@final
class EncryptedKey:
    """A secret of 32 bytes, masked in memory. Two are equal only if they are one object.

    `secret` is copied; `taking` wipes it as well. Any other length, all zeros, or a str is a `KeyringError`.
    It may be used from any thread. It cannot be printed, copied or pickled.
    """

    __slots__ = ("_halves", "_lock")

    _halves: tuple[bytearray, bytearray] | None  # the masked secret and its pad; None when wiped

    def __init__(self, secret: bytes | bytearray | memoryview) -> None:
        self._lock = RLock()  # a signal may come while this thread has it
        self._halves = None  # a reporter of errors may print what is half made
        if wrong := problem_with(secret):
            del secret
            raise KeyringError("the key", wrong)
        self._halves = _masked(secret)

    @classmethod
    def taking(cls, buffer: bytearray | memoryview) -> EncryptedKey:
        """Return the key in `buffer`, and overwrite the buffer with zeros, also when the key is refused.

        Raises `KeyringError` if it is no key, or if the buffer cannot be written.
        """
        if not isinstance(buffer, bytearray | memoryview) or not _can_be_wiped(memoryview(buffer)):
            kind = type(buffer).__name__
            del buffer
            raise KeyringError(
                "the key", f"a {kind} that cannot be overwritten: pass a bytearray, or make EncryptedKey(…)"
            )
        try:
            return cls(buffer)
        finally:
            _wipe(buffer)

    @classmethod
    def generate(cls) -> EncryptedKey:
        """Return a new random key. It is lost with the process: `write_key_file` makes one that stays."""
        key = cls.__new__(cls)
        key._lock = RLock()
        key._halves = (_random(), _random())  # the secret is their XOR, and nobody has ever seen it
        return key

    @property
    def wiped(self) -> bool:
        """Whether `wipe` was called."""
        return self._halves is None

    @contextmanager
    def reveal(self) -> Iterator[bytearray]:
        """Yield the secret in a buffer that is overwritten with zeros on leaving; the pad is made anew.

        What is copied out of the buffer (`bytes(buffer)`) stays. Raises `KeyringError` after `wipe`.
        """
        with self._lock:
            secret = self._unmasked()
            stale, self._halves = self._halves, _masked(secret)
            _wipe(*stale or ())
        try:
            yield secret
        finally:
            _wipe(secret)

    def mac(self, message: bytes) -> bytes:
        """Return the HMAC-SHA256 of `message` under this key. Raises `KeyringError` after `wipe`."""
        secret = self._unmasked()
        try:
            return hmac.digest(secret, message, "sha256")
        finally:
            secret[:] = _ZEROS

    def wipe(self) -> None:
        """Overwrite the secret. Every later use is a `KeyringError`; wiping again is none."""
        with self._lock:
            stale, self._halves = self._halves, None
            _wipe(*stale or ())

    def _unmasked(self) -> bytearray:
        with self._lock:  # nobody wipes the halves while they are read
            if self._halves is None:
                raise KeyringError("the key", "it was wiped, and cannot be used: load it again")
            return _xor(*self._halves)

    def __repr__(self) -> str:
        return "<EncryptedKey, wiped>" if self.wiped else "<EncryptedKey>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise KeyringError(
            "the key",
            "it is neither copied nor pickled, so that it is written nowhere: "
            "share the object, or load the key again in the other process",
        )


def problem_with(secret: object) -> str | None:
    """Return why `secret` is no key, in words that do not show it; None if it is one."""
    match secret:
        case str():
            return "it is a str, and a key is 32 bytes: decode it, with base64.b64decode or bytes.fromhex"
        case memoryview() if not secret.c_contiguous:
            return "it is a memoryview with gaps: copy it into a bytearray"
        case bytes() | bytearray() | memoryview():
            return _problem_with_bytes(memoryview(secret).cast("B"))
        case _:
            return f"it is of type {type(secret).__name__}, and a key is 32 bytes"


def _problem_with_bytes(secret: memoryview[int]) -> str | None:
    if len(secret) != SIZE:
        return (
            f"it has {len(secret)} bytes, and a key has 32: make one with write_key_file, or `openssl rand -base64 32`"
        )
    return None if any(secret) else "it is all zeros, as a buffer is that was not filled, or wiped already"


_ZEROS = bytes(SIZE)
_QUADS = Struct(f"={SIZE // 8}Q")


def _random() -> bytearray:
    return bytearray(os.urandom(SIZE))


def _xor(left: bytes | bytearray | memoryview, right: bytearray) -> bytearray:
    mixed = bytearray(SIZE)
    _QUADS.pack_into(mixed, 0, *map(xor, _QUADS.unpack(left), _QUADS.unpack(right)))
    return mixed


def _masked(secret: bytes | bytearray | memoryview) -> tuple[bytearray, bytearray]:
    pad = _random()
    return _xor(secret, pad), pad


def _can_be_wiped(buffer: memoryview) -> bool:
    return buffer.c_contiguous and not buffer.readonly


def _wipe(*buffers: bytearray | memoryview) -> None:
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
