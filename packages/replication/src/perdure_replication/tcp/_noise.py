"""The handshake of two who share a secret: Noise_NNpsk0_25519_ChaChaPoly_SHA256 of noiseprotocol.org, revision 34.

Each side brings a new X25519 key, so a recorded session cannot be read by who learns the secret later, and each session
has keys of its own, one for each direction. What is sent is numbered: a frame that is repeated, left out, moved or
changed cannot be opened, and neither can any frame of another session. One thing is not as there: a message may be
longer than 65,535 bytes.

The responder knows that the initiator is alive, and no recording, by the first message under the new keys.
"""

from __future__ import annotations

import hashlib
import hmac
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

NAME = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
KEY_BYTES = 32
TAG_BYTES = 16

_NONCE = Struct("<4xQ")


class NoiseError(Exception):
    """A message was not made with this secret, in this session, at this place."""


class Cipher:
    """One direction: seals messages in their order, or opens them in that order."""

    __slots__ = ("_aead", "_count")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._count = 0

    def seal(self, data: bytes, associated: bytes = b"") -> bytes:
        return self._aead.encrypt(self._next(), data, associated)

    def open(self, data: bytes, associated: bytes = b"") -> bytes:
        """Return what was sealed. Raises `NoiseError`."""
        try:
            return self._aead.decrypt(self._next(), data, associated)
        except (InvalidTag, ValueError) as error:
            raise NoiseError("it was not sealed by the peer of this session, or not as the next message") from error

    def _next(self) -> bytes:
        nonce = _NONCE.pack(self._count)
        self._count += 1
        return nonce


class NoiseHandshake:
    """One side of a handshake of two messages. The initiator writes first."""

    def __init__(self, secret: bytes, prologue: bytes, *, initiates: bool, ephemeral: bytes | None = None) -> None:
        """Take 32 bytes that both have, and what both have seen before; `ephemeral` is for tests."""
        self._initiates = initiates
        self._own = X25519PrivateKey.from_private_bytes(ephemeral) if ephemeral else X25519PrivateKey.generate()
        self._hash = self._chaining = hashlib.sha256(NAME).digest()
        self._cipher: Cipher | None = None
        self._theirs: X25519PublicKey | None = None
        self._mix_hash(prologue)
        self._mix_secret(secret)

    def write(self, payload: bytes) -> bytes:
        """Return this side's message. The responder has read the other before."""
        public = self._own.public_key().public_bytes_raw()
        self._mix_ephemeral(public)
        if not self._initiates:
            self._mix_shared()
        sealed = self._sealing.seal(payload, self._hash)
        self._mix_hash(sealed)
        return public + sealed

    def read(self, message: bytes) -> bytes:
        """Return the payload of the other side's message. Raises `NoiseError`."""
        public, sealed = message[:KEY_BYTES], message[KEY_BYTES:]
        if len(public) < KEY_BYTES:
            raise NoiseError("it is too short")
        self._theirs = X25519PublicKey.from_public_bytes(public)
        self._mix_ephemeral(public)
        if self._initiates:
            self._mix_shared()
        payload = self._sealing.open(sealed, self._hash)
        self._mix_hash(sealed)
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """Return what seals and what opens from now on, when both messages have passed."""
        first, second = (Cipher(key) for key in _expand(self._chaining, b"", 2))
        return (first, second) if self._initiates else (second, first)

    @property
    def _sealing(self) -> Cipher:
        assert self._cipher is not None
        return self._cipher

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_key(self, material: bytes) -> None:
        self._chaining, key = _expand(self._chaining, material, 2)
        self._cipher = Cipher(key)

    def _mix_secret(self, secret: bytes) -> None:
        self._chaining, mixed, key = _expand(self._chaining, secret, 3)
        self._mix_hash(mixed)
        self._cipher = Cipher(key)

    def _mix_ephemeral(self, public: bytes) -> None:
        self._mix_hash(public)
        self._mix_key(public)

    def _mix_shared(self) -> None:
        assert self._theirs is not None
        try:
            self._mix_key(self._own.exchange(self._theirs))
        except ValueError as error:
            raise NoiseError("its public key is of a small order") from error


def _expand(key: bytes, material: bytes, count: int) -> list[bytes]:
    """HKDF as section 4.3 of the specification has it."""
    extracted, made = hmac.digest(key, material, "sha256"), [b""]
    for number in range(1, count + 1):
        made.append(hmac.digest(extracted, made[-1] + bytes([number]), "sha256"))
    return made[1:]
