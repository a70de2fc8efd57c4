"""Nothing of what sealed actors store is to be seen in the store.

The rules plant texts that nothing makes up by chance, and look for them in all that the store has put anywhere, in
every guise in which a program may write a text down. One stands there in clear: who does not find that has not looked.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5, sha1, sha256
from typing import Any, Literal

import pytest

from perdure.abc import Backend
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._sealed import (
    PLAIN,
    SECRET,
    TYPES,
    Drop,
    FridgeNote,
    Place,
    Raw,
    put,
    records,
    system_of,
    tell_all,
)
from perdure_testkit._contract._stores import Reopen

NAME = "bob-Wd6kXs9rPq2h"
"""Names an actor, and the person whose data it holds."""

CONTENTS = (SECRET, "Whispered", "and so on and so on", "tag-", "persistence_id", "sequence_number", "deleted")
"""What is in records: payloads, event types, tags, the names of metadata."""

NAMES = (NAME, *(actor_type.__name__ for actor_type in TYPES))


def guises(text: str) -> Iterator[bytes]:
    """Yield how a text may have been written down: in several encodings, in part of a base64, and backwards."""
    plain = text.encode()
    for encoding in ("utf-8", "utf-16-le", "utf-32-le", "utf-16-be"):
        yield text.encode(encoding)
    yield plain[::-1]
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for shift in range(3):
        encoded = b64encode(bytes(shift) + plain).rstrip(b"=")
        inner = encoded[(8 * shift + 5) // 6 : (8 * (shift + len(plain))) // 6]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def digests(text: str) -> Iterator[bytes]:
    """Yield the hashes of a text that everybody can compute."""
    for digest in (md5, sha1, sha256):
        hashed = digest(text.encode())
        yield hashed.digest()
        yield hashed.hexdigest().encode()


class SecrecyRules:
    @pytest.mark.parametrize("hide_names", [False, True])
    @pytest.mark.parametrize("write", ["msgpack", "json"])
    async def test_nothing_that_is_sealed_shows(
        self, backend: Backend, raw: Raw | None, write: Literal["msgpack", "json"], hide_names: bool
    ) -> None:
        """Of events, tags, snapshots and states nothing is in the store, nor who somebody is (GAP-16)."""
        seen = await _seen_at_work(backend, raw, write=write, hide_names=hide_names)

        assert raw is None or any(PLAIN.encode() in each for each in raw()), "`raw` does not return all bytes"
        assert _found(seen, hide_names=hide_names) == []

    @needs("reopening")
    async def test_nothing_shows_when_a_store_was_closed(
        self, backend: Backend, reopen: Reopen, raw: Raw | None
    ) -> None:
        """Nor where a store puts its records when it is closed and opened again (GAP-16)."""
        await _seen_at_work(backend, raw, hide_names=True)

        seen = await _seen(await reopen(), raw)

        assert _found(seen, hide_names=True) == []


async def _seen_at_work(backend: Backend, raw: Raw | None, **options: Any) -> bytes:
    """Return all bytes of a store in which actors of every kind were at work, while and after they were."""
    await put(backend, Place("notices", "anybody", 1), PLAIN.encode())
    async with system_of(backend, **options) as system:
        await tell_all(system, NAME)
        await system.ref(FridgeNote, NAME).ask(Drop())
        await system.forget(NAME)
        at_work = await _seen(backend, raw)
    return at_work + await _seen(backend, raw)


async def _seen(backend: Backend, raw: Raw | None) -> bytes:
    """Return all bytes of a store, and what the backend gives back."""
    given = [
        b"%s %s %s" % (place.collection.encode(), place.prefix.encode(), record)
        for place, record in (await records(backend)).items()
    ]
    return b"\n".join([*given, *(raw() if raw is not None else ())])


def _found(seen: bytes, *, hide_names: bool) -> list[bytes]:
    """Return what is seen and is not to be."""
    secrets = [guise for text in CONTENTS for guise in guises(text)]
    secrets += digests(NAME)
    if hide_names:
        secrets += [guise for text in NAMES for guise in guises(text)]
        secrets += [digest for kind in TYPES for digest in digests(f"{kind.__name__}/{NAME}")]
    return [secret for secret in secrets if secret in seen]
