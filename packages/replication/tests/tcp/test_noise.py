"""The handshake is the one of the specification, and nothing that was changed passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure_replication.tcp._noise import Cipher, NoiseError, NoiseHandshake

SECRET = bytes.fromhex("54686973206973206d7920417573747269616e20706572737065637469766521")
INITIATOR = bytes.fromhex("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a")
RESPONDER = bytes.fromhex("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b")
MESSAGES = [
    (
        b"Ludwig von Mises",
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
        "79b962b8aff8485742ac32f905ba45369e2465fb59e138a93d67a0d1266b6a54",
    ),
    (
        b"Murray Rothbard",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
        "d6062704d5a9c422a8e834423f8c1feada7e8d0d910a1a2cd030fb584221e3",
    ),
    (b"F. A. Hayek", "e632c3763d7669067383433197a3baddf146e9e70ad4b4e9e59e0f"),
    (b"Carl Menger", "64c6bee32ea91c8474bb4c21d7a700109ad45af77b29764ba5eb1e"),
]
"""Made by the package noiseprotocol 0.3.1, with the keys and the prologue of the usual test vectors."""


def handshake(secret: bytes = SECRET, prologue: bytes = b"", *, initiates: bool) -> NoiseHandshake:
    return NoiseHandshake(secret, prologue, initiates=initiates)


def split() -> tuple[tuple[Cipher, Cipher], tuple[Cipher, Cipher]]:
    """Return what the two sides have after a handshake, to seal and to open."""
    one, other = handshake(initiates=True), handshake(initiates=False)
    other.read(one.write(b""))
    one.read(other.write(b""))
    return one.split(), other.split()


def test_another_implementation_makes_the_same_bytes() -> None:
    """Of one secret, one prologue and the same ephemeral keys."""
    initiator = NoiseHandshake(SECRET, b"John Galt", initiates=True, ephemeral=INITIATOR)
    responder = NoiseHandshake(SECRET, b"John Galt", initiates=False, ephemeral=RESPONDER)
    payloads = [payload for payload, _ in MESSAGES]

    first = initiator.write(payloads[0])
    read = [responder.read(first)]
    second = responder.write(payloads[1])
    read.append(initiator.read(second))
    (sealing, _), (answering, _) = initiator.split(), responder.split()

    made = [first, second, sealing.seal(payloads[2]), answering.seal(payloads[3])]
    assert [message.hex() for message in made] == [expected for _, expected in MESSAGES]
    assert read == payloads[:2]


@pytest.mark.parametrize(("secret", "prologue"), [(bytes(32), b""), (SECRET, b"other")])
def test_another_secret_or_another_beginning_is_noticed(secret: bytes, prologue: bytes) -> None:
    """By whoever is called, with the first message."""
    message = handshake(initiates=True).write(b"greeting")

    with pytest.raises(NoiseError):
        handshake(secret, prologue, initiates=False).read(message)


def test_whoever_answers_without_the_secret_is_noticed() -> None:
    """By whoever calls, with the second message."""
    caller = handshake(initiates=True)
    caller.write(b"")

    with pytest.raises(NoiseError):
        caller.read(bytes(range(1, 33)) + bytes(16))


def test_a_public_key_of_a_small_order_is_refused() -> None:
    """It would make the shared key one that everybody knows."""
    caller, answering = handshake(initiates=True), handshake(initiates=False)
    answering.read(caller.write(b""))

    with pytest.raises(NoiseError, match="small order"):
        caller.read(bytes(32) + bytes(16))


@given(st.data())
def test_no_changed_message_of_the_handshake_is_read(data: st.DataObject) -> None:
    """Whatever byte is changed, wherever it is cut."""
    caller, answering = handshake(initiates=True), handshake(initiates=False)
    message = caller.write(b"greeting")
    place = data.draw(st.integers(0, len(message) - 1))
    change = data.draw(st.integers(1, 255))
    changed = message[:place] + bytes([message[place] ^ change]) + message[place + 1 :]

    with pytest.raises(NoiseError):
        answering.read(data.draw(st.sampled_from([changed, message[:place]])))


@given(st.permutations(range(4)), st.sets(st.integers(0, 3)))
def test_messages_are_opened_in_their_order_alone(order: list[int], doubled: set[int]) -> None:
    """The first that is out of order, repeated or missing is noticed; all before it are read."""
    (sealing, _), (_, opening) = split()
    sealed = [sealing.seal(b"%d" % number) for number in range(4)]
    arriving = [number for place in order for number in [place] * (1 + (place in doubled))]

    for expected, number in enumerate(arriving):
        if number != expected:
            with pytest.raises(NoiseError):
                opening.open(sealed[number])
            return
        assert opening.open(sealed[number]) == b"%d" % number


def test_sessions_share_nothing() -> None:
    """What was sealed in one, or in the other direction, is not opened in another."""
    (sealing, opening), _ = split()
    _, (_, other) = split()

    with pytest.raises(NoiseError):
        other.open(sealing.seal(b"frame"))
    with pytest.raises(NoiseError):
        opening.open(sealing.seal(b"frame"))
