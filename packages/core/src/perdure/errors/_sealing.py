"""What goes wrong with keys, and with what is sealed."""

from __future__ import annotations

from perdure.errors._actors import Rejected
from perdure.errors._corruption import CorruptionError
from perdure.errors._root import PerdureError


class SealError(CorruptionError):
    """A sealed record cannot be opened, or one is not sealed that has to be. No content of it is ever in the text."""

    def __init__(self, persistence_id: str, sequence_number: int, reason: str) -> None:
        super().__init__(persistence_id, sequence_number, reason)
        self.args = (persistence_id, sequence_number, reason)


class KeyMissing(SealError):
    """The key of a record is not in the keyring."""

    def __init__(self, persistence_id: str, sequence_number: int, version: int, versions: tuple[int, ...]) -> None:
        has = f"has {', '.join(map(str, versions))}"
        super().__init__(
            persistence_id,
            sequence_number,
            f"it is sealed with key version {version}, and the keyring {has}: add that key to the keyring",
        )
        self.args = (persistence_id, sequence_number, version, versions)
        self.version = version
        self.versions = versions


class WrongKey(SealError):
    """The keyring has another key under the version that a record was sealed with; both are told by fingerprints."""

    def __init__(self, persistence_id: str, sequence_number: int, version: int, sealed: str, loaded: str) -> None:
        which = f"version {version} of the keyring" if version else "its subject's key"
        super().__init__(
            persistence_id,
            sequence_number,
            f"it is sealed with a key of the fingerprint {sealed}, and {which} has {loaded}: load the right one",
        )
        self.args = (persistence_id, sequence_number, version, sealed, loaded)
        self.version = version
        self.sealed = sealed
        self.loaded = loaded


class SubjectKeyMissing(SealError):
    """A record is sealed with the key of a subject, and the store has none for it, not even that it was forgotten."""

    def __init__(self, persistence_id: str, sequence_number: int) -> None:
        super().__init__(
            persistence_id,
            sequence_number,
            "it is sealed with its subject's key, which is not in the store: restore the collection subject_keys",
        )
        self.args = (persistence_id, sequence_number)


class PlaintextRefused(SealError):
    """A record is not sealed, where all have to be: it was not stored by this system, or before it sealed."""

    def __init__(self, persistence_id: str, sequence_number: int) -> None:
        super().__init__(
            persistence_id,
            sequence_number,
            "it is not sealed, so anybody may have written it; if it is from before the store was sealed, "
            "set plaintext_until and reseal the store",
        )
        self.args = (persistence_id, sequence_number)


class RecordMoved(SealError):
    """A record was sealed for another persistence id, sequence number or collection than it stands under."""

    def __init__(self, persistence_id: str, sequence_number: int) -> None:
        super().__init__(
            persistence_id, sequence_number, "it was sealed for another place, and moved or copied here: restore it"
        )
        self.args = (persistence_id, sequence_number)


class RecordAltered(SealError):
    """A record, or its header, is not as it was sealed."""


class KeyringError(PerdureError, ValueError):
    """A key, a keyring or a place that keys come from cannot be used. No part of a key is ever in an error."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class UnknownKey(KeyringError):
    """The keyring has no key of this version, only of `versions`. What that key has sealed is not lost with it."""

    def __init__(self, version: int, versions: tuple[int, ...]) -> None:
        Exception.__init__(self, version, versions)
        self.what = f"key {version}"
        self.reason = "not in the keyring"
        self.version = version
        self.versions = versions

    def __str__(self) -> str:
        known = ", ".join(map(str, self.versions[-8:]))
        earlier = "…, " if len(self.versions) > 8 else ""
        return (
            f"key {self.version} is not in the keyring, which has {earlier}{known}: "
            f"add it to the source of the keyring and reload(), or add() it"
        )


class SealedStore(PerdureError):
    """A store and the sealing with which it is used do not agree. Nothing was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the store is sealed: {self.reason}"


class SubjectForgotten(Rejected):
    """The key of a subject was destroyed: what is stored of it cannot be read, by anybody, and nothing is added."""

    def __init__(self, persistence_id: str) -> None:
        super().__init__(persistence_id)
        self.persistence_id = persistence_id

    def __str__(self) -> str:
        return f"{self.persistence_id}: its subject was forgotten, so what is stored of it can never be read again"
