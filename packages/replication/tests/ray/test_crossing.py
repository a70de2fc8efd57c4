"""What crosses between a ref and a host. Ray is not needed for it."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from perdure import Message
from perdure.errors import AskedItself, ConflictError, KeyMissing, SubjectForgotten
from perdure_replication.errors import CannotCross, HostLost, InvalidHosts, RayMissing, RemoteFailure, ReplyLost
from perdure_replication.ray import RayHosts
from perdure_replication.ray._contract import contract
from perdure_replication.ray._library import library
from perdure_replication.ray._names import name_of, named
from perdure_replication.ray._wire import Done, encode, error_of, failed, reply_of

from .bank import Account, Deposit, State, Statement, TooLittle, Unmakeable, sealed_system


class Tree(msgspec.Struct):
    children: list[Tree]
    size: Decimal | None = None


class Grow(Message[Tree]):
    pass


class Prune(Grow):
    pass


class Whatever(Message[Any]):
    pass


class Opaque:
    pass


class Hidden(Message[dict[str, list[Opaque]]]):
    pass


class Careless(Message[None]):
    content: Any = None


class TestAName:
    @pytest.mark.parametrize("thing", [Account, sealed_system, ValueError, ConflictError])
    def test_finds_what_it_is_of(self, thing: object) -> None:
        """In any process that has the module."""
        assert named(name_of(thing)) is thing

    @pytest.mark.parametrize("thing", [lambda: None, type("Lost", (), {}), 7])
    def test_is_not_for_what_others_cannot_import(self, thing: object) -> None:
        """Such as a closure, which might hold a key."""
        with pytest.raises(CannotCross):
            name_of(thing)

    def test_is_not_for_what_is_in_the_program_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker runs another program."""
        monkeypatch.setattr(Opaque, "__module__", "__main__")

        with pytest.raises(CannotCross, match="move it to a module"):
            name_of(Opaque)

    @pytest.mark.parametrize("name", ["no_such_module:Thing", "perdure:Thing"])
    def test_of_what_is_not_here_says_how_to_bring_it(self, name: str) -> None:
        """By Ray, for example."""
        with pytest.raises(CannotCross, match="runtime_env"):
            named(name)


class TestAMessageType:
    def test_reads_replies_of_its_own(self) -> None:
        """Those that a base of it has said, and those that hold themselves."""
        tree = Tree([Tree([], Decimal("1.5"))])

        assert contract(Prune).reply.decode(encode(tree)) == tree
        assert contract(State).reply.decode(encode(Statement(5, 7))) == Statement(5, 7)

    @pytest.mark.parametrize(("kind", "reason"), [(Whatever, "write for example"), (Hidden, "has a Opaque")])
    def test_whose_reply_is_none_that_msgspec_knows_is_refused(self, kind: type[Message[Any]], reason: str) -> None:
        """Before anything is sent."""
        with pytest.raises(CannotCross, match=reason):
            contract(kind)


class TestARef:
    def test_refuses_what_it_cannot_send(self) -> None:
        """A field that msgspec does not know, and an actor type that others cannot import."""
        hosts = RayHosts.of("perdure", "perdure", 2)

        with pytest.raises(CannotCross, match="Careless"):
            hosts.ref(Account, "alice").ask_remote(Careless(Opaque()))
        with pytest.raises(CannotCross):
            hosts.ref(type("Local", (Account,), {}), "alice")

    def test_is_of_one_host_wherever_it_is_made(self) -> None:
        """The keys of a type are spread evenly, by what does not change."""
        hosts = RayHosts.of("bank", "perdure", 4)
        at = [hosts.ref(Account, str(key)).host for key in range(400)]

        assert hosts.ref(Account, "alice").host == "bank-2"
        assert all(70 < at.count(f"bank-{number}") < 130 for number in range(4))


class TestAnError:
    @pytest.mark.parametrize(
        "error",
        [
            TooLittle(7),
            ConflictError("Account/alice", 1, 2),
            KeyMissing("Account/alice", 1, 2, (3, 4)),
            AskedItself("/a", ("/b", "/c")),
            SubjectForgotten("Account/alice"),
            HostLost("Account/alice", "bank-1", "it was killed"),
            KeyError("alice"),
            OSError(2, "no such file"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_crosses_as_itself(self, error: Exception) -> None:
        """With its fields."""
        found = error_of("Account/alice", msgspec.msgpack.decode(encode(failed(error)), type=type(failed(error))))

        assert type(found) is type(error)
        assert found.args == error.args
        assert str(found) == str(error)

    @pytest.mark.parametrize(
        "error",
        [Unmakeable(reason="a test"), type("Local", (Exception,), {})("of a function"), ValueError(Opaque())],
        ids=["keywords", "local", "argument"],
    )
    def test_that_cannot_be_made_again_is_told(self, error: Exception) -> None:
        """With its type and its text."""
        found = error_of("Account/alice", failed(error))

        assert isinstance(found, RemoteFailure)
        assert found.error.endswith(type(error).__qualname__)
        assert found.text == str(error)

    def test_of_a_reply_says_that_the_message_was_handled(self) -> None:
        """It is not of its type."""
        with pytest.raises(ReplyLost):
            reply_of("Account/alice", encode(Done(msgspec.Raw(encode("five")))), contract(Deposit).reply)


class TestHosts:
    @pytest.mark.parametrize("store", ["memory://", "sqlite:///bank.db", "rocksdb:///bank"])
    def test_refuse_a_store_of_one_machine(self, store: str) -> None:
        """An actor that moved would find nothing there."""
        with pytest.raises(InvalidHosts, match="redis://"):
            RayHosts(store)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [({"count": 0}, "1 or more"), ({"options": {"max_task_retries": 3}}, "max_task_retries: the hosts set it")],
    )
    def test_refuse_what_cannot_be_right(self, arguments: dict[str, Any], reason: str) -> None:
        """Such as having Ray repeat commands."""
        with pytest.raises(InvalidHosts, match=reason):
            RayHosts("redis://localhost", **arguments)

    def test_need_ray(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It says what to install."""
        library.cache_clear()
        monkeypatch.setitem(sys.modules, "ray", None)

        with pytest.raises(RayMissing, match=r"perdure-replication\[ray\]"):
            RayHosts.of("bank", "perdure", 1).ref(Account, "alice").ask_remote(Deposit(5))
