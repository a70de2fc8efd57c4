"""How what goes through the broker is kept from those who have the broker, or is not.

AES-256-GCM, with a key for each use: made of the use under the shared secret. A use names the cluster, so that one
secret for two clusters mixes nothing, and where messages are numbered also the process that numbers them, so that no
number is used twice with one key. What is sealed says which key of a keyring it was, so that the secret can be changed
while nodes run: give all of them the new key, then let all of them use it, then take the old one away.
"""

from __future__ import annotations

import os
from typing import TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perdure import Keyring
from perdure.errors import KeyringError
from perdure.security import EncryptedKey
from perdure_replication.errors import InvalidTransport

Secret: TypeAlias = EncryptedKey | Keyring
Use: TypeAlias = tuple[str | bytes | int, ...]

NONCE_BYTES = 12
KEY_ID_BYTES = 6
"""The version of a keyring's key and its fingerprint; zeros for a key that is alone, and for none."""

_ALONE = bytes(KEY_ID_BYTES)
_MOST_CIPHERS = 8192


class NotAuthentic(Exception):
    """Bytes were not sealed with a secret of ours, or not for this use."""


class Seal:
    """The secret of a cluster, or the decision to have none."""

    def __init__(self, cluster: str, secret: Secret | None) -> None:
        self.cluster = cluster
        self._secret = secret
        self._ciphers: dict[tuple[bytes, Use], AESGCM] = {}

    @classmethod
    def of(cls, place: str, cluster: str, secret: Secret | None, insecure: bool) -> Seal:
        """Return the seal of these arguments. Raises `InvalidTransport` where neither or both are chosen."""
        if secret is None and not insecure:
            reason = "whoever reaches the broker could speak as any node: give secret=…, or say insecure=True"
            raise InvalidTransport(place, reason)
        if secret is not None and insecure:
            raise InvalidTransport(place, "it has a secret and is to be insecure: choose one")
        return cls(cluster, secret)

    @property
    def suite(self) -> int:
        """The number of the cipher: 1 for AES-256-GCM, 0 for none."""
        return 0 if self._secret is None else 1

    @property
    def key_id(self) -> bytes:
        """What names the key that seals now."""
        if not isinstance(self._secret, Keyring):
            return _ALONE
        version = self._secret.active
        return version.to_bytes(2, "big") + self._secret.fingerprint(version)

    def seal(self, use: Use, place: Use, data: bytes) -> bytes:
        """Return data that opens for this use and place alone; without a secret, as it is."""
        if self._secret is None:
            return data
        key_id, nonce = self.key_id, os.urandom(NONCE_BYTES)
        return key_id + nonce + self.encrypted(key_id, use, nonce, data, _joined(place))

    def open(self, use: Use, place: Use, data: bytes) -> bytes:
        """Return what was sealed. Raises `NotAuthentic`."""
        if self._secret is None:
            return data
        start = KEY_ID_BYTES + NONCE_BYTES
        return self.decrypted(data[:KEY_ID_BYTES], use, data[KEY_ID_BYTES:start], data[start:], _joined(place))

    def encrypted(self, key_id: bytes, use: Use, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        """Return data encrypted with a nonce of the caller's, which was never used for this use."""
        return self._cipher(key_id, use).encrypt(nonce, data, associated)

    def decrypted(self, key_id: bytes, use: Use, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        """Return what was encrypted. Raises `NotAuthentic`."""
        try:
            return self._cipher(key_id, use).decrypt(nonce, data, associated)
        except (InvalidTag, ValueError, KeyringError) as error:
            raise NotAuthentic from error

    def _cipher(self, key_id: bytes, use: Use) -> AESGCM:
        cipher = self._ciphers.get((key_id, use))
        if cipher is None or not self._has(key_id):
            cipher = AESGCM(self._derived(key_id, _joined(("perdure-replication redis 1", self.cluster, *use))))
            if len(self._ciphers) >= _MOST_CIPHERS:
                self._ciphers.clear()
            self._ciphers[key_id, use] = cipher
        return cipher

    def _derived(self, key_id: bytes, use: bytes) -> bytes:
        """Return the 32 bytes for a use. Raises `NotAuthentic` for a key that is not there."""
        if not self._has(key_id):
            raise NotAuthentic
        if isinstance(self._secret, Keyring):
            return self._secret.derive(_version(key_id), use)
        assert self._secret is not None
        return self._secret.mac(use)

    def _has(self, key_id: bytes) -> bool:
        if not isinstance(self._secret, Keyring):
            return key_id == _ALONE
        version = _version(key_id)
        return version in self._secret and self._secret.fingerprint(version) == key_id[2:]


def _version(key_id: bytes) -> int:
    return int.from_bytes(key_id[:2], "big")


def _joined(parts: Use) -> bytes:
    return msgspec.msgpack.encode(parts)
