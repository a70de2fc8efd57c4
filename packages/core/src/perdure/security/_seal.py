"""Sealing and opening the records of one collection and persistence id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from zlib import crc32

from cryptography.exceptions import InvalidTag

from perdure.errors import PlaintextRefused, RecordAltered, RecordMoved, SubjectKeyMissing
from perdure.security._anchor import Anchor, AnchoredHead
from perdure.security._chain import digest_of, link_of, next_link
from perdure.security._ciphers import Ready
from perdure.security._layout import (
    BEGINNINGS,
    CHAINED,
    COMPRESSED,
    FIXED,
    FORMAT,
    HANDLE_BYTES,
    HEADER_BYTES,
    JSON,
    RESEALED,
    SEALED,
    SUBJECT,
    Header,
    LayoutError,
    header_of,
    is_sealed,
    pack_header,
    pack_number,
    place_of,
    plain_body,
    plain_record,
)
from perdure.security._nonces import random_bytes
from perdure.security._sealing import Sealing
from perdure.security._secret import Secret
from perdure.security._suites import BY_NUMBER, TAG_BYTES

_BODIES = {start: size for start, size in HEADER_BYTES.items() if not start[1] & (COMPRESSED | JSON)}
_MORE = SUBJECT | CHAINED | RESEALED


class Subjects(Protocol):
    """The keys of subjects that are in memory."""

    def check(self, handle: bytes, name: str) -> None:
        """Raise `SubjectForgotten` if a subject is known to be forgotten."""

    def secret(self, handle: bytes, name: str, number: int, fingerprint: bytes) -> Secret:
        """Return the secret of a subject. Raises `SubjectForgotten`, `SubjectKeyMissing`, `WrongKey`."""


class Seal:
    """Seals and opens the records of one place: a collection, and a persistence id as it is stored.

    What is sealed and what is returned are plain records: `open(n, seal(n, record)) == record`. Thread-safe.
    """

    __slots__ = ("_check", "_collection", "_name", "_place", "_sealing", "_subject", "_subjects", "is_chained")

    def __init__(
        self,
        sealing: Sealing,
        collection: str,
        name: str,
        subjects: Subjects | None = None,
        subject: Secret | None = None,
    ) -> None:
        """Seal with the key of a subject where one is given, else with the keyring's."""
        self._sealing = sealing
        self._collection = collection
        self._name = name
        self._place = place_of(collection, name)
        self._check = crc32(self._place)
        self._subjects = subjects
        self._subject = subject
        self.is_chained = sealing.chain
        """True if each record carries the link of the one before."""

    def elsewhere(self, collection: str) -> Seal:
        """Return the seal of the same persistence id in another collection."""
        return Seal(self._sealing, collection, self._name, self._subjects, self._subject)

    def of_subject(self, subject: Secret | None) -> Seal:
        """Return the seal of the same place that seals with the key of a subject."""
        return Seal(self._sealing, self._collection, self._name, self._subjects, subject)

    @property
    def anchor(self) -> Anchor | None:
        """What is known of logs and durable states, if anything."""
        return self._sealing.anchor

    @property
    def anchored(self) -> AnchoredHead | None:
        """What an anchor knows of the log."""
        anchor = self._sealing.anchor
        return None if anchor is None else anchor.heads.get(self._name)

    @property
    def has_subject(self) -> bool:
        """True if it seals with the key of a subject."""
        return self._subject is not None

    def seal(self, number: int, record: bytes, previous: bytes | None = None) -> bytes:
        """Return a record sealed for its number; `previous` is the link that it carries, if it is chained."""
        sealing = self._sealing
        if sealing.keyring.generation != sealing.generation:
            sealing.refresh()
        flags, body = (SEALED | record[1] & COMPRESSED, record[6:]) if record[0] == FORMAT else (SEALED | JSON, record)
        secret = self._subject or sealing.active
        if previous is None:
            return self._encrypt(number, flags, b"", body, secret)
        return self._encrypt(number, flags | CHAINED, previous, body, secret)

    def seal_chain(self, after: int, records: Sequence[bytes], previous: bytes) -> tuple[list[bytes], bytes]:
        """Return records sealed for the numbers behind `after`, and the link of the last."""
        sealed = []
        for number, record in enumerate(records, after + 1):
            sealed.append(self.seal(number, record, previous))
            previous = next_link(self._place + pack_number(number), previous, digest_of(sealed[-1]))
        return sealed, previous

    def link(self, number: int, data: bytes) -> bytes:
        """Return the link of a stored record. Raises `RecordAltered`."""
        return link_of(self._collection, self._name, number, data)

    def open(self, number: int, data: bytes) -> bytes:
        """Return a record as it was before it was sealed.

        Raises `PlaintextRefused`, `KeyMissing`, `WrongKey`, `SubjectForgotten`, `RecordMoved`, `RecordAltered`.
        """
        size = HEADER_BYTES.get(data[:2])
        if size is None:
            return self._plain(number, data)
        body = self._decrypt(number, data, size)
        return body if data[1] & JSON else plain_record(body, data[1] & COMPRESSED)

    def body(self, number: int, data: bytes) -> bytes | None:
        """Return a record without its header and checksum, of which who has opened it has no need.

        None for what is compressed, JSON or not sealed. Raises what `open` raises.
        """
        size = _BODIES.get(data[:2])
        return None if size is None else self._decrypt(number, data, size)

    def renewed(self, number: int, data: bytes, *, chained: bool) -> bytes | None:
        """Return a stored record sealed with what is active now; None if it is already.

        It keeps its subject, unless this seal has one, and its place in a chain; with `chained` also its link where it
        is in no chain, for the next may be, and an anchor may know it. Raises what `open` raises.
        """
        self._sealing.refresh()
        size = HEADER_BYTES.get(data[:2])
        if size is None:
            record = self._plain(number, data)
            is_json = record[:1] == b"{"
            flags, body = (SEALED | JSON, record) if is_json else (SEALED | record[1] & COMPRESSED, plain_body(record))
            again, digest = (RESEALED, digest_of(data)) if chained else (0, b"")
            return self._encrypt(number, flags | again, digest, body, self._subject or self._sealing.active)
        body = self._decrypt(number, data, size)
        header = self._header(number, data)
        secret = self._subject or self._sealing.active
        if self._subject is None and header.handle is not None:
            secret = self._secret(number, data[3:9], header.handle)
        if data[2:9] == secret.start and (header.handle or b"") == secret.handle:
            return None
        chain = header.previous or b""
        flags = header.flags & ~(SUBJECT | RESEALED)
        if chained or header.previous is not None or header.digest is not None:
            chain += header.digest or digest_of(data)
            flags |= RESEALED
        return self._encrypt(number, flags, chain, body, secret)

    def _encrypt(self, number: int, flags: int, chain: bytes, body: bytes, secret: Secret) -> bytes:
        sealing = self._sealing
        if secret.handle:
            flags |= SUBJECT
        place = pack_number(number)
        header = pack_header(BEGINNINGS[flags], secret.start, crc32(place, self._check))
        if flags & _MORE:
            header += secret.handle + chain
        cipher = sealing.ciphers.find((secret.key, self._name))
        if cipher is None:
            cipher = sealing.ciphers.make(secret.key, self._name, sealing.suite, secret)
        nonce_bytes, encrypt, _ = cipher
        nonce = random_bytes(nonce_bytes)
        return header + nonce + encrypt(nonce, body, self._place + place + header)

    def _plain(self, number: int, data: bytes) -> bytes:
        """Return a record that is not sealed, where that is accepted. Raises for all others."""
        if is_sealed(data):
            self._header(number, data)
        if not self._sealing.accepts_plaintext:
            raise PlaintextRefused(self._name, number)
        return data

    def _decrypt(self, number: int, data: bytes, size: int) -> bytes:
        if len(data) < size:
            raise RecordAltered(self._name, number, f"it has {len(data)} bytes, fewer than its header")
        sealing = self._sealing
        if sealing.keyring.generation != sealing.generation:
            sealing.refresh()
        key = self._subject_key(data) if data[1] & SUBJECT else data[2:9]
        cipher = sealing.ciphers.find((key, self._name))
        if cipher is None:
            self._check_place(number, data)
            cipher = self._cipher(number, key)
        nonce_bytes, _, decrypt = cipher
        start = size + nonce_bytes
        if len(data) < start + TAG_BYTES:
            raise RecordAltered(self._name, number, f"it has {len(data)} bytes, and was cut")
        try:
            return decrypt(data[size:start], data[start:], self._place + pack_number(number) + data[:size])
        except InvalidTag:
            self._check_place(number, data)
            raise RecordAltered(self._name, number, "its bytes are not those that were sealed here") from None

    def _check_place(self, number: int, data: bytes) -> None:
        """Raise `RecordMoved` for what was sealed elsewhere, which never opens here: the tag covers the place."""
        if crc32(pack_number(number), self._check).to_bytes(4, "big") != data[9:FIXED]:
            raise RecordMoved(self._name, number)

    def _subject_key(self, data: bytes) -> bytes:
        """Return what names the cipher of a subject's record, which may be in memory when its key is destroyed."""
        handle = data[FIXED : FIXED + HANDLE_BYTES]
        if self._subjects is not None:
            self._subjects.check(handle, self._name)
        return data[2:9] + handle

    def _cipher(self, number: int, key: bytes) -> Ready:
        """Return the cipher that a header speaks of."""
        suite = BY_NUMBER.get(key[0])
        if suite is None:
            raise RecordAltered(self._name, number, f"its suite is {key[0]}, unknown to this version of perdure")
        return self._sealing.ciphers.make(key, self._name, suite, self._secret(number, key[1:7], key[7:]))

    def _secret(self, number: int, key_id: bytes, handle: bytes) -> Secret:
        if not handle:
            return self._sealing.secret(self._name, number, int.from_bytes(key_id[:2], "big"), key_id[2:])
        own = self._subject
        if own is not None and own.handle == handle and own.start[1:] == key_id:
            return own
        if self._subjects is None:
            raise SubjectKeyMissing(self._name, number)
        return self._subjects.secret(handle, self._name, number, key_id[2:])

    def _header(self, number: int, data: bytes) -> Header:
        try:
            return header_of(data)
        except LayoutError as error:
            raise RecordAltered(self._name, number, str(error)) from error
