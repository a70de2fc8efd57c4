"""Letters: what is taken, and what is refused by which name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.security import EncryptedKey
from perdure_replication.redis._letters import Letter, Reader, Refused, Writer
from perdure_replication.redis._seal import Seal

SECRET = bytes(range(32))
HERE = b"to:b"


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def seal(cluster: str = "perdure", secret: bytes | None = SECRET) -> Seal:
    return Seal(cluster, None if secret is None else EncryptedKey(secret))


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def reader(wall: Wall) -> Reader:
    return reader_of(wall)


def reader_of(wall: Callable[[], float], seal: Seal | None = None, most: int = 10) -> Reader:
    return Reader(seal or _SEAL, "b", bytes(16), wall, window=60, most=most)


_SEAL = seal()


def reason(reader: Reader, letter: bytes, channel: bytes = HERE) -> str:
    with pytest.raises(Refused) as refused:
        reader.read(channel, letter)
    return refused.value.reason


class TestTaking:
    @pytest.mark.parametrize("secret", [SECRET, None])
    def test_gives_what_was_written(self, wall: Wall, secret: bytes | None) -> None:
        """With the source that is proved, where there is a secret."""
        writer = Writer(seal(secret=secret), "a", wall)
        _, first = writer.write(HERE, b"body")
        number, second = writer.write(HERE, b"", "taken")
        reader = reader_of(wall, seal(secret=secret))

        letters = [reader.read(HERE, letter) for letter in (first, second)]

        assert letters == [Letter("a", "frame", 1, b"body"), Letter("a", "taken", number, b"")]

    def test_passes_over_the_own_letters(self, wall: Wall) -> None:
        """They come back from the broker."""
        writer = Writer(_SEAL, "b", wall)
        reader = Reader(_SEAL, "b", writer.instance, wall, window=60, most=10)

        assert reader.read(b"all", writer.write(b"all", b"body")[1]) is None

    def test_of_letters_of_two_channels_bears_any_order(self, wall: Wall, reader: Reader) -> None:
        """They came by one connection, but were not sent by one."""
        writer = Writer(_SEAL, "a", wall)
        _, first = writer.write(b"all", b"1")
        _, second = writer.write(HERE, b"2")

        assert reader.read(HERE, second) is not None
        assert reader.read(b"all", first) is not None


class TestRefusing:
    def test_a_letter_that_comes_again(self, wall: Wall, reader: Reader) -> None:
        """Or after a later one."""
        writer = Writer(_SEAL, "a", wall)
        first, second = writer.write(HERE, b"1")[1], writer.write(HERE, b"2")[1]
        reader.read(HERE, second)

        assert [reason(reader, letter) for letter in (first, second)] == ["replayed", "replayed"]

    def test_a_letter_of_an_earlier_life(self, wall: Wall, reader: Reader) -> None:
        """Also one that was never taken: it was sent before what was taken of the later life."""
        earlier = Writer(_SEAL, "a", wall)
        kept = [earlier.write(HERE, b"%d" % number)[1] for number in range(2)]
        reader.read(HERE, kept[0])
        wall.now += 1
        reader.read(HERE, Writer(_SEAL, "a", wall).write(HERE, b"later")[1])

        assert reason(reader, kept[1]) == "replayed"

    def test_nothing_of_a_later_life(self, wall: Wall, reader: Reader) -> None:
        """It counts from one again."""
        earlier = Writer(_SEAL, "a", wall)
        for _ in range(5):
            reader.read(HERE, earlier.write(HERE, b"")[1])
        wall.now += 0.001

        assert reader.read(HERE, Writer(_SEAL, "a", wall).write(HERE, b"")[1]) is not None

    @pytest.mark.parametrize("seconds", [61, -61])
    def test_a_letter_from_beyond_the_window(self, wall: Wall, reader: Reader, seconds: float) -> None:
        """Who was just started remembers nothing, and is told nothing older."""
        _, letter = Writer(_SEAL, "a", wall).write(HERE, b"")
        wall.now += seconds

        assert reason(reader, letter) == "outdated"

    def test_a_letter_for_another_channel(self, wall: Wall, reader: Reader) -> None:
        """What was meant for one node is not said to another, or to all."""
        _, letter = Writer(_SEAL, "a", wall).write(b"to:c", b"")

        assert reason(reader, letter) == "misdirected"

    def test_a_letter_in_the_own_name(self, wall: Wall, reader: Reader) -> None:
        """Another process is this node, or plays it."""
        _, letter = Writer(_SEAL, "b", wall).write(HERE, b"")

        assert reason(reader, letter) == "own_name"

    def test_a_letter_of_another_cluster(self, wall: Wall, reader: Reader) -> None:
        """With the same secret."""
        _, letter = Writer(seal("other"), "a", wall).write(HERE, b"")

        assert reason(reader, letter) == "foreign"

    def test_a_letter_of_another_secret(self, wall: Wall, reader: Reader) -> None:
        """It is of no member."""
        _, letter = Writer(seal(secret=bytes(range(1, 33))), "a", wall).write(HERE, b"")

        assert reason(reader, letter) == "forged"

    def test_a_letter_whose_source_is_changed(self, wall: Wall, reader: Reader) -> None:
        """The claimed source is proved, or nothing is taken."""
        _, letter = Writer(_SEAL, "a", wall).write(HERE, b"body")

        assert reason(reader, letter.replace(b"\xa1a\xc4", b"\xa1c\xc4")) == "forged"

    def test_what_is_sealed_otherwise(self, wall: Wall) -> None:
        """Nobody falls back to no secret."""
        _, sealed = Writer(_SEAL, "a", wall).write(HERE, b"")
        _, plain = Writer(seal(secret=None), "a", wall).write(HERE, b"")

        assert reason(reader_of(wall), plain) == "unsealed"
        assert reason(reader_of(wall, seal(secret=None)), sealed) == "sealed"

    def test_sources_without_end(self, wall: Wall) -> None:
        """There is room again when nothing of the oldest would be taken."""
        reader = reader_of(wall, most=2)
        for name in "ac":
            reader.read(HERE, Writer(_SEAL, name, wall).write(HERE, b"")[1])

        assert reason(reader, Writer(_SEAL, "d", wall).write(HERE, b"")[1]) == "too_many"
        wall.now += 61
        assert reader.read(HERE, Writer(_SEAL, "d", wall).write(HERE, b"")[1]) is not None

    @settings(max_examples=300, deadline=None)
    @given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
    def test_a_letter_with_any_bit_changed(self, where: int, bit: int) -> None:
        """By one name or another, and never with another error."""
        wall = Wall()
        reader, letter = reader_of(wall), bytearray(Writer(_SEAL, "a", wall).write(HERE, b"body")[1])
        letter[where % len(letter)] ^= 1 << bit

        assert reason(reader, bytes(letter))

    @settings(max_examples=300, deadline=None)
    @given(data=st.binary(max_size=200))
    def test_garbage(self, data: bytes) -> None:
        """Without another error."""
        assert reason(reader_of(Wall()), data)
        assert reason(reader_of(Wall(), seal(secret=None)), data)

    def test_a_letter_that_was_cut(self, wall: Wall) -> None:
        """At any place."""
        _, letter = Writer(_SEAL, "a", wall).write(HERE, b"body")

        for end in range(len(letter)):
            assert reason(reader_of(wall), letter[:end]) in ("damaged", "forged")
