"""The ciphers that records are sealed with: authenticated encryption with additional data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perdure.errors import PerdureError

SuiteName: TypeAlias = Literal["aes-256-gcm", "xchacha20-poly1305"]

TAG_BYTES = 16


class Cipher(Protocol):
    """An algorithm with its key. Thread-safe."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return what was encrypted. Raises `InvalidTag`."""


class Suite(NamedTuple):
    """An algorithm: its number in records, the bytes of its nonces, and what makes a cipher of a 32-byte key."""

    name: SuiteName
    number: int
    nonce_bytes: int
    cipher: Callable[[bytes], Cipher]


class _XChaCha20Poly1305:
    """As libsodium has it. `cryptography` has no variant with nonces of 24 bytes."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

        return crypto_aead_xchacha20poly1305_ietf_encrypt(data, associated_data, nonce, self._key)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
        from nacl.exceptions import CryptoError

        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(data, associated_data, nonce, self._key)
        except CryptoError as error:
            raise InvalidTag from error


_SUITES = (Suite("aes-256-gcm", 1, 12, AESGCM), Suite("xchacha20-poly1305", 2, 24, _XChaCha20Poly1305))

BY_NUMBER = {suite.number: suite for suite in _SUITES}


def suite_named(name: str) -> Suite:
    """Return a suite that works here.

    Raises `ValueError` for a name of none, `PerdureError` when its library is not installed.
    """
    suite = next((suite for suite in _SUITES if suite.name == name), None)
    if suite is None:
        raise ValueError(f"a suite is {' or '.join(repr(suite.name) for suite in _SUITES)}, not {name!r}")
    try:
        suite.cipher(bytes(32)).encrypt(bytes(suite.nonce_bytes), b"", b"")
    except ImportError as error:
        raise PerdureError(f"the suite {name} needs PyNaCl: pip install 'perdure[xchacha20]'") from error
    return suite
