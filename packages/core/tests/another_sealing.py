"""Sealing as `docs/sealing-format.md` has it, written from that page with another library, and nothing of perdure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from Crypto.Cipher import AES, ChaCha20_Poly1305
from Crypto.Hash import HMAC, SHA256
from Crypto.Protocol.KDF import HKDF

NONCE = {1: 12, 2: 24}


def mac(key: bytes, message: bytes) -> bytes:
    return HMAC.new(key, message, SHA256).digest()


def fingerprint(key: bytes) -> bytes:
    return mac(key, b"perdure key id\x01")[:4]


def place(collection: str, name: str, number: int) -> bytes:
    kind, identity = collection.encode(), name.encode()
    length = len(identity).to_bytes(2, "big")
    return bytes([len(kind)]) + kind + length + identity + number.to_bytes(8, "big")


def record_key(master: bytes, subject: bytes | None, suite: int, name: str, store: str = "") -> bytes:
    info = b"perdure record " + bytes([suite]) + name.encode() + (b"\0" + store.encode() if store else b"")
    if subject is not None:
        return mac(subject, info + b"\x01")
    key = HKDF(master, 32, b"perdure sealing v1", SHA256, context=info)
    assert isinstance(key, bytes)
    return key


def cipher(suite: int, key: bytes, nonce: bytes) -> Any:
    return AES.new(key, AES.MODE_GCM, nonce=nonce) if suite == 1 else ChaCha20_Poly1305.new(key=key, nonce=nonce)


def stored_name(key: bytes, persistence_id: str) -> str:
    return mac(key, b"perdure name " + persistence_id.encode())[:20].hex()


def handle(key: bytes, subject: str) -> bytes:
    return mac(key, b"perdure subject " + subject.encode())[:16]


@dataclass
class Parts:
    """A record, taken apart."""

    flags: int
    suite: int
    version: int
    fingerprint: bytes
    handle: bytes = b""
    previous: bytes = b""
    digest: bytes = b""
    header: bytes = b""
    nonce: bytes = b""
    sealed: bytes = field(default=b"", repr=False)


def parts(record: bytes) -> Parts:
    assert record[0] == 1
    assert record[1] & 2
    assert not record[1] & ~63
    found = Parts(record[1], record[2], int.from_bytes(record[3:5], "big"), record[5:9])
    end = 13
    for flag, name, size in ((8, "handle", 16), (16, "previous", 32), (32, "digest", 32)):
        if record[1] & flag:
            setattr(found, name, record[end : end + size])
            end += size
    found.header, rest = record[:end], record[end:]
    found.nonce, found.sealed = rest[: NONCE[found.suite]], rest[NONCE[found.suite] :]
    return found


def opened(masters: dict[int, bytes], subjects: dict[bytes, bytes], where: bytes, name: str, record: bytes) -> bytes:
    """Return the plain record; raise `ValueError` if the tag is wrong."""
    of = parts(record)
    assert record[9:13] == crc32(where).to_bytes(4, "big")
    subject = subjects[of.handle] if of.handle else None
    master = b"" if of.handle else masters[of.version]
    assert of.fingerprint == fingerprint(subject or master)
    with_key = cipher(of.suite, record_key(master, subject, of.suite, name), of.nonce)
    with_key.update(where + of.header)
    body: bytes = with_key.decrypt_and_verify(of.sealed[:-16], of.sealed[-16:])
    return body if of.flags & 4 else bytes([1, of.flags & 1]) + crc32(body).to_bytes(4, "big") + body


def sealed(
    version: int,
    key: bytes,
    suite: int,
    where: bytes,
    name: str,
    nonce: bytes,
    plain: bytes,
    *,
    handle: bytes = b"",
    previous: bytes = b"",
    digest: bytes = b"",
) -> bytes:
    """Return a plain record sealed with a master key, or with that of the subject with the handle."""
    is_json = plain[:1] == b"{"
    flags = 2 | (4 if is_json else plain[1]) | bool(handle) * 8 | bool(previous) * 16 | bool(digest) * 32
    start = bytes([1, flags, suite]) + (0 if handle else version).to_bytes(2, "big") + fingerprint(key)
    header = start + crc32(where).to_bytes(4, "big") + handle + previous + digest
    with_key = cipher(suite, record_key(key, key if handle else None, suite, name), nonce)
    with_key.update(where + header)
    ciphertext, tag = with_key.encrypt_and_digest(plain if is_json else plain[6:])
    return header + nonce + bytes(ciphertext) + bytes(tag)


def link(where: bytes, record: bytes) -> bytes:
    previous, digest = bytes(32), b""
    if record[:1] != b"{" and record[1] & 2:
        of = parts(record)
        previous, digest = of.previous or previous, of.digest
    return SHA256.new(b"perdure chain v1" + where + previous + (digest or SHA256.new(record).digest())).digest()
