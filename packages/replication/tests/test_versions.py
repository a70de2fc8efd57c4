"""Nodes of several versions in one cluster."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perdure_replication import DistributedState, Pull, Settings, SyncUrgency, Withheld
from perdure_replication.testing import Simulation, TestDeltaState, TestState, Value

from .nodes import QUIET

SETTINGS = Settings(digest_interval=2)


class Load(msgspec.Struct, frozen=True):
    percent: int


class Old(DistributedState[Load]):
    """Version 1: percent."""

    name = "load"

    def initial(self) -> Load:
        return Load(0)


class Share(msgspec.Struct, frozen=True):
    thousandths: int


class New(DistributedState[Share]):
    """Version 2: thousandths."""

    name = "load"
    version = 2

    def initial(self) -> Share:
        return Share(0)

    def upcast_view(self, document: Any, version: int) -> Any:
        return {"thousandths": document["percent"] * 10}

    def downcast_view(self, document: Any, version: int) -> Any:
        return {"percent": document["thousandths"] // 10}


class PhaseOne(New):
    """Reads both, sends the old one."""

    wire_version = 1
    readable = (1, 2)


class PhaseTwo(New):
    """Reads both, sends the new one."""

    readable = (1, 2)


def mutate(node: Any, percent: int) -> None:
    value: Any = Load(percent) if Old in node.states else Share(percent * 10)
    node.mutate("load", lambda _: value)


def percent(node: Any, source: str) -> int | None:
    """Return what a node holds of another's load, whatever its version."""
    value = node.value("load", source)
    return value if value is None else value.percent if isinstance(value, Load) else value.thousandths // 10


def check(simulation: Simulation, base: int) -> None:
    """Let every node mutate, and all others see it, without a failure."""
    for number, node in enumerate(simulation.live()):
        mutate(node, base + number)
    simulation.run(1)
    for reader in simulation.live():
        assert [percent(reader, name) for name in simulation.nodes] == [
            base + number for number in range(len(simulation.nodes))
        ]
        assert reader.engine.metrics.sync_failures == 0


def fleet(*states: Any, settings: Settings = SETTINGS) -> Simulation:
    simulation = Simulation(settings=settings)
    for name, state in zip("abcde", states, strict=False):
        simulation.add(name, state)
    simulation.run(1)
    return simulation


def upgrade(simulation: Simulation, name: str, state: Any) -> None:
    simulation[name].states = [state]
    simulation.restart(name)
    simulation.run(1)


def test_nodes_of_one_version_sync() -> None:
    """Whichever it is (VER-06)."""
    check(fleet(Old, Old), 10)
    check(fleet(New, New), 10)


def test_a_fleet_is_upgraded_node_by_node_and_phase_by_phase() -> None:
    """No failure at any step, under mutations of all (VER-12, VER-13, UPGRADE-01, UPGRADE-02, UPGRADE-04)."""
    simulation = fleet(*[Old] * 5)
    base = 0

    for phase in (PhaseOne, PhaseTwo, New):
        for name in "abcde":
            upgrade(simulation, name, phase)
            check(simulation, base := base + 10)


def test_a_node_may_go_back_a_phase() -> None:
    """From the second to the first (VER-14, UPGRADE-03)."""
    simulation = fleet(*[PhaseTwo] * 3)

    upgrade(simulation, "b", PhaseOne)

    check(simulation, 10)


@pytest.mark.parametrize("writes", [Old, PhaseOne])
def test_a_reader_of_the_new_version_alone_refuses_the_old(writes: Any) -> None:
    """With a warning that names it (VER-15, VER-08, FAULT-08)."""
    simulation = fleet(writes, New)
    a, b = simulation["a"], simulation["b"]

    mutate(a, 5)
    simulation.run(1)

    assert (percent(b, "a"), b.engine.freshness("load", 60, b.clock()).incompatible) == (None, ("a",))
    assert any(note.level == "warning" and "of version 1; read here: 2" in note.text for note in b.notes)


class Keeping(New):
    on_unreadable = "keep_stale"


class Dropping(New):
    on_unreadable = "drop_and_wait"


class Requesting(New):
    on_unreadable = "request_reserialization"


class Writer(PhaseTwo):
    """Sends the new version, and the old one to those who read no better."""

    writable = (1, 2)


class Unwilling(New):
    """Sends a version that nobody else reads."""

    version = 3
    wire_version = 3


@pytest.mark.parametrize(("policy", "held"), [(Keeping, 1), (Dropping, None), (Requesting, 1)])
def test_the_policy_says_what_becomes_of_the_last_view(policy: Any, held: int | None) -> None:
    """Kept or dropped (VER-08, VER-09, VER-11, FLOW-04, FAULT-08, FAULT-09)."""
    simulation = fleet(New, policy)
    mutate(simulation["a"], 1)
    simulation.run(1)

    simulation["a"].states = [Unwilling]
    simulation.restart("a", noticed=False)
    simulation.run(1)

    reader = simulation["b"]
    assert percent(reader, "a") == held
    assert reader.engine.freshness("load", 60, reader.clock()).incompatible == ("a",)
    assert reader.engine.health("load", 60, reader.clock()).status == "unhealthy"


@pytest.mark.parametrize("policy", [Keeping, Dropping, Requesting])
def test_a_peer_is_read_again_once_versions_match(policy: Any) -> None:
    """Nobody needs to mutate (FAULT-20, weak point 12)."""
    simulation = fleet(Unwilling, policy)
    mutate(simulation["a"], 1)
    simulation.run(1)

    upgrade(simulation, "a", New)
    simulation.run(5)

    reader = simulation["b"]
    assert percent(reader, "a") == 0
    assert reader.engine.freshness("load", 60, reader.clock()).is_fresh


@pytest.mark.parametrize("reader", [Old, New])
def test_an_owner_writes_the_version_that_a_peer_reads(reader: Any) -> None:
    """From the first snapshot on, without being asked (weak point 12)."""
    simulation = fleet(Writer, reader, PhaseTwo)

    mutate(simulation["a"], 10)
    simulation.run(1)

    rows = {row.node: row.consecutive_failures for row in simulation["b"].engine.status("load")}
    assert (percent(simulation["b"], "a"), rows["a"]) == (10, 0)


def test_a_reader_asks_for_a_version_that_it_reads() -> None:
    """At once, where the policy says so, also when the owner forgot what it reads (VER-11)."""

    class Asking(Old):
        on_unreadable = "request_reserialization"

    simulation = fleet(Writer, Asking, settings=QUIET)
    a, b = simulation["a"], simulation["b"]
    peer = a.engine._peers.find("b")
    assert peer is not None
    peer.reads = {"load": (2,)}
    a.engine._audiences.clear()

    mutate(a, 7)
    simulation.run(1)

    assert (percent(b, "a"), [pull.reads for pull in b.messages(Pull)]) == (7, [(1,)])


def test_an_owner_that_writes_no_version_that_is_read_says_so() -> None:
    """In a word, not in a view that cannot be used."""
    simulation = fleet(Unwilling, Old)
    simulation.run(5)

    assert [answer.reason for answer in simulation["a"].messages(Withheld)]
    assert {answer.reason for answer in simulation["a"].messages(Withheld)} == {"version"}


def test_deltas_go_through_the_same_gate() -> None:
    """A reader of both versions applies what either sends (VER-07)."""

    class Both(TestDeltaState):
        version = 2
        readable = (1, 2)

    simulation = fleet(TestDeltaState, Both)
    for name in "ab":
        simulation[name].mutate("test_delta_state", TestDeltaState.adjust(1), SyncUrgency.immediate())
    simulation.run(1)

    assert simulation["b"].value("test_delta_state", "a").counter == 1
    assert simulation["b"].engine.metrics.deltas_received == 1


def test_malformed_bytes_are_not_a_matter_of_versions() -> None:
    """The view stays, nobody is called incompatible, and it is asked for again (VER-10)."""

    class Lying(TestState):
        def encode_view(self, view: Value, version: int) -> bytes:
            return b"\xc1"

    simulation = fleet(Lying, TestState)

    reader = simulation["b"]
    assert reader.engine.freshness("test_state", 60, reader.clock()).missing == ("a",)
    assert reader.messages(Pull)
