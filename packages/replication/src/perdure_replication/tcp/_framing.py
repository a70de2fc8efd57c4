"""Bytes cut into frames: four bytes of length, big-endian, and as many bytes."""

from __future__ import annotations

from perdure_replication.tcp._refused import Refused

LENGTH_BYTES = 4


def framed(data: bytes) -> bytes:
    """Return a frame as bytes."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class Unframer:
    """What has come of a stream, and was not taken yet. It never holds more than one frame and one read."""

    __slots__ = ("_buffer", "limit")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self.limit = limit
        """The greatest frame that is waited for."""

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def starts_like(self, expected: bytes) -> bool:
        """Tell whether what is there may be, or become, what begins with `expected`."""
        return expected.startswith(self._buffer[: len(expected)])

    def take(self, count: int) -> bytes | None:
        """Return so many bytes, when they are there."""
        if len(self._buffer) < count:
            return None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def frame(self) -> bytes | None:
        """Return the next frame, when it is there whole. Raises `Refused` for one over the limit."""
        size = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if len(self._buffer) < LENGTH_BYTES:
            return None
        if size > self.limit:
            raise Refused("too_large", f"it announces {size:,} bytes, over {self.limit:,}")
        if len(self._buffer) < LENGTH_BYTES + size:
            return None
        frame = bytes(memoryview(self._buffer)[LENGTH_BYTES : LENGTH_BYTES + size])
        del self._buffer[: LENGTH_BYTES + size]
        return frame
