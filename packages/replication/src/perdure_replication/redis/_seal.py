"""How what goes through the broker is kept from those who have the broker, or is not.

AES-256-GCM, with a key for each use: HMAC-SHA256 of the use under the shared secret. A use names the cluster, so that
one secret for two clusters mixes nothing, and where messages are numbered also the process that numbers them, so that
no number is used twice with one key.
"""

from __future__ import annotations

import os
from typing import TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perdure.security import EncryptedKey
from perdure_replication.errors import InvalidTransport

Use: TypeAlias = tuple[str | bytes | int, ...]

NONCE_BYTES = 12
_MOST_KEYS = 8192


class NotAuthentic(Exception):
    """Bytes were not sealed with the secret, or not for this use."""


class Seal:
    """The secret of a cluster, or the decision to have none."""

    def __init__(self, cluster: str, secret: EncryptedKey | None) -> None:
        self.cluster = cluster
        self._secret = secret
        self._ciphers: dict[Use, AESGCM] = {}

    @classmethod
    def of(cls, place: str, cluster: str, secret: EncryptedKey | None, insecure: bool) -> Seal:
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

    def seal(self, use: Use, place: Use, data: bytes) -> bytes:
        """Return data that opens for this use and place alone; without a secret, as it is."""
        if self._secret is None:
            return data
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self.cipher(use).encrypt(nonce, data, _joined(place))

    def open(self, use: Use, place: Use, data: bytes) -> bytes:
        """Return what was sealed. Raises `NotAuthentic`."""
        if self._secret is None:
            return data
        return self.decrypted(use, data[:NONCE_BYTES], data[NONCE_BYTES:], _joined(place))

    def decrypted(self, use: Use, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        """Return what was encrypted with a nonce of the caller's. Raises `NotAuthentic`."""
        try:
            return self.cipher(use).decrypt(nonce, data, associated)
        except (InvalidTag, ValueError) as error:
            raise NotAuthentic from error

    def cipher(self, use: Use) -> AESGCM:
        """Return the cipher of a use. There must be a secret."""
        cipher = self._ciphers.get(use)
        if cipher is None:
            assert self._secret is not None
            if len(self._ciphers) >= _MOST_KEYS:
                self._ciphers.clear()
            cipher = self._ciphers[use] = AESGCM(self._secret.mac(_joined(("perdure-replication", self.cluster, *use))))
        return cipher


def _joined(parts: Use) -> bytes:
    return msgspec.msgpack.encode(parts)
