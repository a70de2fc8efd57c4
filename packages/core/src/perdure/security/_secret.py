"""What the keys of records are made of: a version of a master key, or the key of a subject."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from perdure.security._key import EncryptedKey
from perdure.security._keyring import Keyring


class Secret:
    """A secret to be used with a suite, what stands of it in a header, and how keys are derived from it."""

    __slots__ = ("derive", "handle", "key", "start")

    def __init__(self, suite: int, key_id: bytes, handle: bytes, derive: Callable[[bytes], bytes]) -> None:
        self.start = bytes((suite,)) + key_id
        """The suite with which it is used, the version and the fingerprint: seven bytes."""
        self.handle = handle
        """Whose key it is, 16 bytes; empty for a master key."""
        self.key = self.start + handle
        """What names it among ciphers."""
        self.derive = derive
        """Returns the 32 bytes that HKDF-SHA256 makes for a use."""


def master_secret(suite: int, keyring: Keyring, version: int) -> Secret:
    """Return a version of a keyring as a secret. Raises `UnknownKey`."""
    key_id = version.to_bytes(2, "big") + keyring.fingerprint(version)
    return Secret(suite, key_id, b"", partial(keyring.derive, version))


def subject_secret(suite: int, handle: bytes, key: EncryptedKey) -> Secret:
    """Return the key of a subject as a secret. It is random, so nothing is extracted from it before it is expanded."""

    def derive(info: bytes) -> bytes:
        return key.mac(info + b"\x01")

    return Secret(suite, bytes(2) + derive(b"perdure key id")[:4], handle, derive)
