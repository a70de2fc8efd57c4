"""Large snapshots have fewer bytes, and no bytes make more than they say."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any

import pytest
import zstandard

from perdure import ActorSystem, Compression, Full, every_n_events
from perdure.journal import RecordError, StateCodec, compressed
from perdure.snapshots import SNAPSHOTS
from perdure_testkit import FaultyBackend

from .tapes import PureTape, Read, Write, stored_as

CODEC = StateCodec("Page", str)
TEXT = "to be or not to be, " * 1000
RECORD = CODEC.encode(TEXT, 1, 0)


@pytest.mark.parametrize("algorithm", ["zstd", "gzip"])
@pytest.mark.parametrize("level", [None, 1, 9])
def test_what_was_compressed_is_read_without_knowing_how(algorithm: Any, level: int | None) -> None:
    """The record says by what, and the level does not matter (ATS-92, ATS-93)."""
    record = compressed(RECORD, Compression(algorithm, level=level))

    assert len(record) < len(RECORD) / 10
    assert CODEC.decode(record) == (TEXT, 1)


@pytest.mark.parametrize(
    "compression", [Compression("none"), Compression(over=len(RECORD)), Compression("gzip", over=len(RECORD))]
)
def test_what_is_small_or_not_to_be_compressed_stays_as_it_is(compression: Compression) -> None:
    """The threshold is in bytes."""
    assert compressed(RECORD, compression) == RECORD


def test_what_would_grow_stays_as_it_is() -> None:
    """Bytes without any pattern are not worth it."""
    codec = StateCodec("Page", bytes)
    noise = codec.encode(zstandard.ZstdCompressor(level=19).compress(bytes(range(256))), 1, 0)

    assert compressed(noise, Compression(over=0)) == noise


def test_json_is_never_compressed() -> None:
    """It is for those who look into the table."""
    record = StateCodec("Page", str, "json").encode(TEXT, 1, 0)

    assert compressed(record, Compression(over=0)) == record


@pytest.mark.parametrize("algorithm", ["zstd", "gzip"])
def test_damage_is_found(algorithm: Any) -> None:
    """Any byte that changed or is missing makes the record unreadable, and never another text."""
    record = compressed(RECORD, Compression(algorithm))

    for place in range(len(record)):
        for damaged in (record[:place], record[:place] + bytes([record[place] ^ 1]) + record[place + 1 :]):
            with pytest.raises(RecordError):
                CODEC.decode(damaged)


def packed(body: bytes, size: int, kind: int) -> bytes:
    """Return a compressed record with a right checksum, whatever is in it."""
    from zlib import crc32

    data = bytes([kind]) + size.to_bytes(4, "big") + body
    return b"\x01\x01" + crc32(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(("kind", "compress"), [(1, zstandard.compress), (2, gzip.compress)])
def test_a_bomb_does_not_go_off(kind: int, compress: Any) -> None:
    """What says to be small and is large is refused before it has grown (ATS-94)."""
    bomb = packed(compress(bytes(100_000_000)), 1000, kind)
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="it should have 1,000 bytes, and has more"):
            CODEC.decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (packed(zstandard.compress(b"x"), 2**32 - 1, 1), "it would have 4,294,967,295 bytes, over 536,870,912"),
        (packed(b"rubbish", 7, 1), "does not decompress"),
        (packed(b"rubbish", 7, 2), "does not decompress"),
        (packed(b"x", 1, 9), "compression 9 is unknown to this version of perdure"),
        (packed(zstandard.compress(b"no array"), 8, 1), "no perdure record"),
    ],
)
def test_what_is_no_compressed_record_is_refused_with_the_reason(record: bytes, reason: str) -> None:
    """Also with a right checksum."""
    with pytest.raises(RecordError, match=reason):
        CODEC.decode(record)


@pytest.mark.parametrize(("compression", "start"), [(Compression(over=10), b"\x01\x01"), (Compression(), b"\x01\x00")])
async def test_snapshots_over_the_threshold_are_compressed(
    store: FaultyBackend, compression: Compression, start: bytes
) -> None:
    """An actor is recovered from either."""
    tape = stored_as(
        PureTape, Full(snapshot=every_n_events(1), keep_snapshots=1, compact=True, compression=compression)
    )
    async with ActorSystem(store=store) as system:
        await system.ref(tape, "a").ask(Write((7,) * 100))
    record = await store.collection(SNAPSHOTS, "Tape/a").get(100)

    async with ActorSystem(store=store) as system:
        assert await system.ref(tape, "a").ask(Read()) == [7] * 100
    assert record[:2] == start


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Compression("lzma"), "compression is 'zstd', 'gzip' or 'none', not 'lzma'"),  # type: ignore[arg-type]
        (lambda: Compression("zstd", level=23), "the level of zstd is 1 to 22, not 23"),
        (lambda: Compression("gzip", level=0), "the level of gzip is 1 to 9, not 0"),
        (lambda: Compression(over=-1), "compression begins over 0 bytes or more, not -1"),
    ],
)
def test_a_wrong_choice_is_refused_where_it_is_written(make: Any, reason: str) -> None:
    """A mistake is said at once."""
    with pytest.raises(ValueError, match=reason):
        make()
