"""Messages as bytes: one byte of format, a CRC-32 of the rest, a MessagePack array.

The checksum finds what a careless link damages. It is no proof of who sent: that is the transport's to give.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from perdure_replication._generation import Number
from perdure_replication._messages import Message, Name
from perdure_replication.errors import BadFrame

FORMAT = b"\x01"
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""The default of the greatest frame."""

_HEAD = 5


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message, with the cluster that it is for and the node that says it."""

    cluster: Name
    source: Name
    incarnation: Number
    """Of the source's present life."""
    sent: Number
    """When it was sent: milliseconds on a scale of the source that begins anywhere and never goes back."""
    message: Message


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def encode_frame(frame: Frame) -> bytes:
    """Return a frame as bytes."""
    body = _encode(frame)
    return FORMAT + crc32(body).to_bytes(4, "big") + body


def decode_frame(data: bytes, max_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """Return the frame of some bytes. Raises `BadFrame`, and nothing else, for whatever is none."""
    if len(data) > max_bytes:
        raise BadFrame(f"it has {len(data):,} bytes, over {max_bytes:,}")
    if data[:1] != FORMAT:
        raise BadFrame(f"it is of format {data[:1].hex() or 'nothing'}, and this program reads {FORMAT.hex()}")
    body = memoryview(data)[_HEAD:]
    if crc32(body) != int.from_bytes(data[1:_HEAD], "big"):
        raise BadFrame("its checksum is wrong")
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadFrame(str(error)) from error
