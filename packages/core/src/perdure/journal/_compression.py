"""How the bytes of a large record are made fewer.

What is compressed says by which algorithm and how large it was, so that any choice reads all others, and what would
grow beyond its word, or beyond what any store holds, is refused before it grows.
"""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

_GREATEST = 512 * 1024 * 1024  # what any backend holds in one value
_WINDOW = 128 * 1024 * 1024  # the greatest of zstandard's own levels
_ZSTD, _GZIP = 1, 2
_HEADER = 5  # the algorithm, and the size in four bytes


class CompressionError(ValueError):
    """The bytes are not what a compression has made; the text says why."""


class Compression(msgspec.Struct, frozen=True):
    """Compress records of more than `over` bytes by `zstd`, `gzip` or `none`.

    `level` is 1 to 22 for zstd (default 3), 1 to 9 for gzip (default 6). All may be changed at any time: each record
    says how it is to be read.
    """

    algorithm: Literal["zstd", "gzip", "none"] = "zstd"
    level: int | None = None
    over: int = 4096

    def __post_init__(self) -> None:
        greatest = {"zstd": 22, "gzip": 9, "none": 0}.get(self.algorithm)
        if greatest is None:
            raise ValueError(f"compression is 'zstd', 'gzip' or 'none', not {self.algorithm!r}")
        if self.level is not None and not 1 <= self.level <= greatest:
            raise ValueError(f"the level of {self.algorithm} is 1 to {greatest}, not {self.level}")
        if self.over < 0:
            raise ValueError(f"compression begins over 0 bytes or more, not {self.over}")

    def compress(self, body: bytes) -> bytes | None:
        """Return the compressed bytes, or None where they are better left as they are."""
        if self.algorithm == "none" or not self.over < len(body) <= _GREATEST:
            return None
        if self.algorithm == "zstd":
            kind, packed = _ZSTD, _zstd(body, self.level or 3)
        else:
            kind, packed = _GZIP, zlib.compress(body, self.level or 6, wbits=31)
        if len(packed) + _HEADER >= len(body):
            return None
        return b"%c%s%s" % (kind, len(body).to_bytes(4, "big"), packed)


def decompress(data: bytes) -> bytes:
    """Return what was compressed. Raises `CompressionError`; never makes more bytes than the data says, and 512 MiB."""
    if len(data) < _HEADER:
        raise CompressionError(f"{len(data)} bytes are fewer than the header of compressed data")
    size = int.from_bytes(data[1:_HEADER], "big")
    if size > _GREATEST:
        raise CompressionError(f"it would have {size:,} bytes, over {_GREATEST:,}")
    if data[0] == _ZSTD:
        body = _unzstd(data[_HEADER:], size)
    elif data[0] == _GZIP:
        body = _gunzip(data[_HEADER:], size)
    else:
        raise CompressionError(f"compression {data[0]} is unknown to this version of perdure")
    if len(body) != size:
        raise CompressionError(f"it should have {size:,} bytes, and has {'more' if len(body) > size else len(body)}")
    return body


def _zstd(body: bytes, level: int) -> bytes:
    import zstandard  # takes 10 ms, and many actors have no large state

    return zstandard.ZstdCompressor(level=level).compress(body)


def _unzstd(packed: bytes, size: int) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(packed) as reader:
            return reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise CompressionError(f"it does not decompress: {error}") from error


def _gunzip(packed: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(packed, size + 1)
    except zlib.error as error:
        raise CompressionError(f"it does not decompress: {error}") from error
