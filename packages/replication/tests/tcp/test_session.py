"""What becomes of a connection is decided by its bytes alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Keyring
from perdure.security import EncryptedKey
from perdure_replication.tcp import Certificates
from perdure_replication.tcp._framing import framed
from perdure_replication.tcp._greeting import MAGIC, Greeting, encode_greeting, preamble
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._security import Plaintext, Security, SharedSecret, Tls
from perdure_replication.tcp._session import Kind, Session

from .authorities import Authority

KEY = EncryptedKey(bytes(range(1, 33)))
MOST = 1000


def greeting(name: str = "a", **said: Any) -> Greeting:
    instance = said.pop("instance", name.encode().ljust(16, b"-")[:16])
    return Greeting(**{"cluster": "test", "name": name, "incarnation": 1, "instance": instance, "attempt": 1} | said)


class Ends:
    """Two sessions, and what each has heard of the other."""

    def __init__(
        self,
        calling: Security,
        answering: Security | None = None,
        *,
        caller: Greeting | None = None,
        answerer: Greeting | None = None,
        expected: str = "",
    ) -> None:
        self.caller = Session(caller or greeting("a"), calling, dials=True, max_frame_bytes=MOST, expected=expected)
        self.answerer = Session(answerer or greeting("b"), answering or calling, dials=False, max_frame_bytes=MOST)
        self.heard: dict[Session, list[tuple[Kind, bytes]]] = {self.caller: [], self.answerer: []}
        self.refused: dict[Session, Refused] = {}

    def other(self, session: Session) -> Session:
        return self.answerer if session is self.caller else self.caller

    def give(self, session: Session, data: bytes) -> None:
        """Let bytes come to one end."""
        if session in self.refused:
            return
        try:
            self.heard[session].extend(session.receive(data))
        except Refused as refused:
            self.refused[session] = refused

    def run(self, carry: Callable[[Session, bytes], bytes] = lambda _, data: data) -> Ends:
        """Carry what both say, until neither says anything."""
        while any(self._pass(session, carry) for session in (self.caller, self.answerer)):
            pass
        return self

    def _pass(self, session: Session, carry: Callable[[Session, bytes], bytes]) -> bool:
        data = session.outgoing()
        if data:
            self.give(self.other(session), carry(session, data))
        return bool(data)

    @property
    def reasons(self) -> set[str]:
        return {refused.reason for refused in self.refused.values()}

    @property
    def stands(self) -> bool:
        return self.caller.peer is not None and self.answerer.peer is not None


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["secret", "tls", "plain"])
def security(request: pytest.FixtureRequest, authority: Authority) -> Security:
    """Return each kind of security, which both ends have."""
    if request.param == "tls":
        return Tls(authority.certificates("a", "b"))
    return SharedSecret(KEY) if request.param == "secret" else Plaintext()


def test_two_ends_come_to_know_each_other(security: Security) -> None:
    """Each knows the other's greeting, and hears of it once."""
    ends = Ends(security).run()

    assert ends.refused == {}
    assert (ends.caller.peer, ends.answerer.peer) == (greeting("b"), greeting("a"))
    assert list(ends.heard.values()) == [[(Kind.CONFIRM, b"")]] * 2


def test_what_is_said_is_heard(security: Security) -> None:
    """In order, in both directions, of any kind and any content up to the limit."""
    ends = Ends(security).run()
    said = [(Kind.FRAME, b""), (Kind.WORD, b"word"), (Kind.FRAME, bytes(MOST)), (Kind.PING, b""), (Kind.BYE, b"x")]

    for session in (ends.caller, ends.answerer):
        for kind, data in said:
            session.say(kind, data)
    ends.run()

    assert list(ends.heard.values()) == [[(Kind.CONFIRM, b""), *said]] * 2


def test_bytes_may_come_one_by_one(security: Security) -> None:
    """How the network cuts a stream changes nothing."""
    ends = Ends(security)

    def trickle(session: Session, data: bytes) -> bytes:
        for byte in data[:-1]:
            ends.give(ends.other(session), bytes([byte]))
        return data[-1:]

    ends.run(trickle)
    ends.caller.say(Kind.FRAME, b"frame")
    ends.run(trickle)

    assert ends.heard[ends.answerer] == [(Kind.CONFIRM, b""), (Kind.FRAME, b"frame")]


def test_a_caller_that_only_repeats_what_it_heard_is_not_believed(security: Security) -> None:
    """A recording of a greeting makes no connection: the peer is not known, and nothing it says is heard."""
    recording: list[bytes] = []

    def record(session: Session, data: bytes) -> bytes:
        if session is ends.caller:
            recording.append(data)
        return data

    ends = Ends(security)
    ends.run(record)
    ends.caller.say(Kind.FRAME, b"frame")
    ends.run(record)

    replayed = Ends(security)
    for data in recording:
        replayed.give(replayed.answerer, data)

    if security.code:
        assert replayed.answerer.peer is None
        assert replayed.heard[replayed.answerer] == []
        assert replayed.reasons <= {"altered", "tls"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"cluster": "other"}, "cluster"),
        ({"schema": "2"}, "schema"),
        ({"name": "b", "instance": b"another process!"}, "own_name"),
        ({"name": "b"}, "itself"),
    ],
)
def test_who_does_not_belong_is_refused_by_both(security: Security, said: dict[str, Any], reason: str) -> None:
    """Both ends know why."""
    ends = Ends(security, caller=greeting(**said), answerer=greeting("b", schema="1")).run()

    assert not ends.stands
    assert [refused.reason for refused in ends.refused.values()] == [reason, reason]


def test_who_names_no_schema_belongs_to_any(security: Security) -> None:
    """A schema is compared where both have one."""
    assert Ends(security, answerer=greeting("b", schema="1")).run().stands


def test_who_answers_in_another_name_is_refused(security: Security) -> None:
    """Where a certain node was called."""
    ends = Ends(security, expected="c").run()

    assert ends.refused[ends.caller].reason == "identity"
    assert "'b' answers where 'c' was called" in str(ends.refused[ends.caller])
    assert ends.answerer.peer is None


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", bytes(100), b"perdurE"]
)
def test_other_protocols_are_refused_at_their_first_bytes(data: bytes) -> None:
    """And are not answered."""
    ends = Ends(Plaintext())

    ends.give(ends.answerer, data)

    assert ends.reasons == {"garbage"}
    assert ends.answerer.outgoing() == b""


def test_another_version_is_refused_by_both() -> None:
    """The one that is called says which version it speaks."""
    ends = Ends(Plaintext())

    ends.give(ends.answerer, MAGIC + bytes([9, 0]))
    ends.run()

    assert ends.refused[ends.answerer].reason == "version"
    assert "version 9 of the protocol, and this program 1" in str(ends.refused[ends.answerer])


@pytest.mark.parametrize("callers", [0, 1])
def test_security_of_another_kind_is_refused_by_both(callers: int) -> None:
    """Nobody is talked down to less."""
    kinds: list[Security] = [Plaintext(), SharedSecret(KEY)]

    ends = Ends(kinds[callers], kinds[1 - callers]).run()

    assert [refused.reason for refused in ends.refused.values()] == ["security", "security"]


def test_another_secret_is_refused() -> None:
    """Neither end learns anything of the other."""
    ends = Ends(SharedSecret(KEY), SharedSecret(EncryptedKey.generate())).run()

    assert ends.refused[ends.answerer].reason == "secret"
    assert not ends.stands
    assert ends.heard == {ends.caller: [], ends.answerer: []}


def test_a_wiped_secret_connects_nobody() -> None:
    """And is no other error than that of a wrong one."""
    wiped = EncryptedKey.generate()
    wiped.wipe()

    ends = Ends(SharedSecret(KEY), SharedSecret(wiped)).run()

    assert ends.refused[ends.answerer].reason == "secret"
    assert "it was wiped" in str(ends.refused[ends.answerer])
    with pytest.raises(Refused, match="it was wiped"):
        Ends(SharedSecret(wiped))


class TestKeyring:
    """The secret may be a ring, whose keys are replaced while nodes run."""

    def test_an_answerer_has_all_its_keys(self) -> None:
        """Whoever still calls with the old one is heard, and so is who calls with the new one already."""
        old, new = bytes([1]) * 32, bytes([2]) * 32
        before, during, after = Keyring({1: old}), Keyring({1: old, 2: new}, active=1), Keyring({1: old, 2: new})

        pairs = [(before, during), (during, after), (after, during), (during, before)]

        assert all(Ends(SharedSecret(one), SharedSecret(other)).run().stands for one, other in pairs)

    def test_a_removed_key_opens_nothing(self) -> None:
        """The reason says so."""
        ends = Ends(SharedSecret(Keyring({1: bytes([1]) * 32})), SharedSecret(Keyring({2: bytes([2]) * 32}))).run()

        assert str(ends.refused[ends.answerer]) == "it uses a secret that this node does not have"


class TestCertificates:
    """A peer has the names that its certificate has."""

    def ends(self, calling: Certificates, answering: Certificates, name: str = "a") -> Ends:
        return Ends(Tls(calling), Tls(answering), caller=greeting(name)).run()

    def test_a_name_that_the_certificate_has_not_is_refused(self, authority: Authority) -> None:
        """By both, and in words that say which names it has."""
        ends = self.ends(authority.certificates("a"), authority.certificates("b"), "mallory")

        assert [refused.reason for refused in ends.refused.values()] == ["identity", "identity"]
        assert str(ends.refused[ends.answerer]) == "it says that it is 'mallory', and its certificate is for a"

    def test_the_one_that_is_called_is_proved_too(self, authority: Authority) -> None:
        """Its certificate must have its name."""
        ends = self.ends(authority.certificates("a"), authority.certificates("c"))

        assert ends.refused[ends.caller].reason == "identity"
        assert not ends.stands

    def test_a_common_name_counts_where_there_are_no_others(self, authority: Authority) -> None:
        """As certificates used to be."""
        assert self.ends(authority.certificates(common="a"), authority.certificates("b")).stands
        assert not self.ends(authority.certificates("c", common="a"), authority.certificates("b")).stands

    def test_a_wildcard_is_no_name(self, authority: Authority) -> None:
        """Not even of the node that is named so."""
        ends = self.ends(authority.certificates("*.a", file="star"), authority.certificates("b"), "*.a")

        assert str(ends.refused[ends.answerer]) == "it says that it is '*.a', and its certificate is for nobody"

    def test_another_authority_is_not_believed(self, authority: Authority, tmp_path: Path) -> None:
        """Whatever name it gives."""
        foreign = Authority(tmp_path).issue("a")

        ends = self.ends(Certificates(*foreign, authority.file), authority.certificates("b"))

        assert ends.refused[ends.answerer].reason == "tls"
        assert not ends.stands

    def test_an_expired_certificate_is_not_believed(self, authority: Authority) -> None:
        """The reason says so."""
        ends = self.ends(authority.certificates("a", days=-1, file="old"), authority.certificates("b"))

        assert "expired" in str(ends.refused[ends.answerer])

    def test_whoever_speaks_no_tls_is_refused(self, authority: Authority) -> None:
        """Also in this protocol."""
        ends = Ends(Plaintext(), Tls(authority.certificates("b"))).run()

        assert ends.refused[ends.answerer].reason == "tls"

    def test_a_renewed_certificate_is_used(self, authority: Authority, tmp_path: Path) -> None:
        """By the next connection; what is half renewed is passed over."""
        own = Authority(tmp_path)
        certificates = own.certificates("old", file="node")
        (tmp_path / "node.pem").write_text("half")

        before = self.ends(certificates, own.certificates("b"), "old")
        own.issue("new", file="node")
        after = self.ends(certificates, own.certificates("b"), "new")

        assert before.stands
        assert after.stands


TOO_LARGE = (8 * 1024 + 1).to_bytes(4, "big")
GREETED = preamble(0) + framed(encode_greeting(greeting()))


@pytest.mark.parametrize(
    "data",
    [
        preamble(0) + TOO_LARGE,
        GREETED + TOO_LARGE,
        GREETED + framed(bytes([Kind.CONFIRM])) + (MOST + 2).to_bytes(4, "big"),
    ],
    ids=["before the greeting", "before the confirmation", "later"],
)
def test_a_frame_over_the_limit_is_refused_by_its_length_alone(data: bytes) -> None:
    """Nothing of it is waited for; who is not proved has a smaller limit."""
    ends = Ends(Plaintext())

    ends.give(ends.answerer, data)

    assert ends.reasons == {"too_large"}


def test_nothing_counts_before_the_connection_is_confirmed() -> None:
    """A frame in place of the confirmation is garbage."""
    ends = Ends(Plaintext())

    ends.give(ends.answerer, GREETED + framed(bytes([Kind.FRAME]) + b"frame"))

    assert ends.heard[ends.answerer] == []
    assert ends.reasons == {"garbage"}


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_no_bytes_break_an_end(data: bytes, dials: bool, well_begun: bool) -> None:
    """Whatever comes is waited for or refused."""
    session = Session(greeting("b"), Plaintext(), dials=dials, max_frame_bytes=MOST)

    try:
        heard = list(session.receive((preamble(0) if well_begun else b"") + data))
    except Refused:
        return

    assert heard == [] or session.peer is not None


@settings(max_examples=300)
@given(st.data())
def test_a_frame_that_is_changed_on_its_way_is_never_heard(data: st.DataObject) -> None:
    """With a secret: what is heard is what was said, up to where somebody changed, cut, doubled or moved something."""
    ends = Ends(SharedSecret(KEY)).run()
    said = [b"%d" % number * 20 for number in range(4)]
    wire = []
    for frame in said:
        ends.caller.say(Kind.FRAME, frame)
        wire.append(ends.caller.outgoing())
    what = data.draw(st.sampled_from(["flip", "cut", "double", "swap", "drop", "insert"]))
    at = data.draw(st.integers(0, 2))
    place = data.draw(st.integers(0, len(wire[at]) - 1))
    match what:
        case "flip":
            changed = bytearray(wire[at])
            changed[place] ^= data.draw(st.integers(1, 255))
            wire[at] = bytes(changed)
        case "cut":
            wire[at] = wire[at][:place]
        case "double":
            wire.insert(at, wire[at])
        case "swap":
            wire[at], wire[at + 1] = wire[at + 1], wire[at]
        case "drop":
            del wire[at]
        case "insert":
            wire.insert(at, data.draw(st.binary(min_size=1, max_size=50)))

    ends.give(ends.answerer, b"".join(wire))

    heard = [content for kind, content in ends.heard[ends.answerer] if kind is Kind.FRAME]
    assert heard == said[: len(heard)]
    assert len(heard) <= at + (what == "double")
