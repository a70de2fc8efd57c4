"""Frames: what goes in comes out, and nothing else does."""

from __future__ import annotations

from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure_replication import (
    Delta,
    Digest,
    Feed,
    Frame,
    Generation,
    Goodbye,
    Hello,
    Letter,
    Message,
    Obsolete,
    Pull,
    Snapshot,
    Standing,
    Unchanged,
    Withheld,
    decode_frame,
    encode_frame,
)
from perdure_replication.errors import BadFrame

NEW = Generation(3, 7)
MESSAGES: list[Message] = [
    Hello({"load": Standing(NEW, 5)}, {"load": (1, 2)}, {"load": Generation(2, 9)}, True),
    Digest({"load": Standing(NEW, 5)}),
    Snapshot("load", NEW, 2, 1_000, 2_000, b"view", 4),
    Delta("load", 4, NEW, 2, 2_000, (b"one", b"two", b"three")),
    Feed({"load": NEW, "disk": Generation(3, 0)}),
    Pull("load", None, (1, 2), 4),
    Unchanged("load", NEW, 4),
    Withheld("load", "version", 4),
    Obsolete(2, NEW, "load"),
    Letter("post", b"content"),
    Goodbye(),
]


def framed(message: Message) -> Frame:
    return Frame("cluster", "a", 3, 12_345, message)


def sealed(body: bytes) -> bytes:
    return b"\x01" + crc32(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    """All fields of all kinds (WIRE-01, WIRE-02, WIRE-03, WIRE-04)."""
    assert decode_frame(encode_frame(framed(message))) == framed(message)


@given(data=st.data(), message=st.sampled_from(MESSAGES))
def test_a_damaged_byte_is_found(data: st.DataObject, message: Message) -> None:
    """Wherever it is (FAULT-04, E2E-F04)."""
    frame = bytearray(encode_frame(framed(message)))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(BadFrame):
        decode_frame(bytes(frame))


@given(message=st.sampled_from(MESSAGES), cut=st.integers(0, 200))
def test_a_cut_frame_is_refused(message: Message, cut: int) -> None:
    """Also one of no bytes."""
    frame = encode_frame(framed(message))

    with pytest.raises(BadFrame):
        decode_frame(frame[: min(cut, len(frame) - 1)])


@given(data=st.binary(max_size=200))
def test_no_bytes_make_another_error(data: bytes) -> None:
    """Whatever stands behind a right checksum (weak point 22)."""
    with pytest.raises(BadFrame):
        decode_frame(sealed(data))


def test_a_huge_frame_is_refused_before_it_is_read() -> None:
    """The error says how large it may be."""
    with pytest.raises(BadFrame, match="it has 17 bytes, over 16"):
        decode_frame(bytes(17), max_bytes=16)


def test_a_frame_nested_without_end_is_refused() -> None:
    """Depth costs no stack."""
    with pytest.raises(BadFrame):
        decode_frame(sealed(b"\x91" * 100_000))


@pytest.mark.parametrize(
    "content",
    [
        ["", "a", 1, 0, [10]],
        ["c", "", 1, 0, [10]],
        ["c", "a" * 257, 1, 0, [10]],
        ["c", "a", -1, 0, [10]],
        ["c", "a", 2**53, 0, [10]],
        ["c", "a", 1, 0, [99]],
        ["c", "a", 1, 0, [7, "s", [1, -1], 0]],
        ["c", "a", 1, 0, [4, "s", 0, [1, 1], 1, 0, []]],
        ["c", "a", 1, 0, [4, "s", 0, [1, 1], 1, 0, [b""] * 257]],
        ["c", "a", 1, 0, [6, "s", None, [], 0]],
        ["c", "a", 1, 0, [5, {str(number): [1, 1] for number in range(1025)}]],
    ],
)
def test_what_breaks_a_limit_is_refused(content: list[object]) -> None:
    """Names, numbers and counts are bounded before the engine sees them (weak point 22)."""
    with pytest.raises(BadFrame):
        decode_frame(sealed(msgspec.msgpack.encode(content)))


def test_a_field_that_was_added_later_is_passed_over() -> None:
    """An old reader takes a newer message, as far as it knows it."""
    body = msgspec.msgpack.encode(["c", "a", 1, 0, [7, "s", [1, 2], 3, "a later field"], "another"])

    assert decode_frame(sealed(body)).message == Unchanged("s", Generation(1, 2), 3)


@pytest.mark.parametrize(
    ("older", "newer"),
    [((1, 5), (1, 6)), ((1, 999), (2, 0)), ((0, 0), (0, 1))],
)
def test_generations_are_ordered_by_incarnation_first(older: tuple[int, int], newer: tuple[int, int]) -> None:
    """Any age of a later life is newer (INC-01, INC-02, INC-03)."""
    assert Generation(*older) < Generation(*newer)
    assert str(Generation(*newer)) == f"v{newer[0]}:{newer[1]}"
