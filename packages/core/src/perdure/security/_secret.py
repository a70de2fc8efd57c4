"""What the keys of records are made of: a version of a master key, or the key of a subject."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from perdure.security._key import EncryptedKey
from perdure.security._keyring import Keyring


class Secret:
    """A secret, what stands of it in the header of a record, and how keys are derived from it."""

    __slots__ = ("derive", "handle", "key_id")

    def __init__(self, key_id: bytes, handle: bytes, derive: Callable[[bytes], bytes]) -> None:
        self.key_id = key_id
        """The version and the fingerprint: six bytes."""
        self.handle = handle
        """Whose key it is, 16 bytes; empty for a master key."""
        self.derive = derive
        """Returns the 32 bytes that HKDF-SHA256 makes for a use."""


def master_secret(keyring: Keyring, version: int) -> Secret:
    """Return a version of a keyring as a secret. Raises `UnknownKey`."""
    key_id = version.to_bytes(2, "big") + keyring.fingerprint(version)
    return Secret(key_id, b"", partial(keyring.derive, version))


def subject_secret(handle: bytes, key: EncryptedKey) -> Secret:
    """Return the key of a subject as a secret. It is random, so nothing is extracted from it before it is expanded."""

    def derive(info: bytes) -> bytes:
        return key.mac(info + b"\x01")

    return Secret(bytes(2) + derive(b"perdure key id")[:4], handle, derive)
