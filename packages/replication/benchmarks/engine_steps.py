"""How many events a second of processor time one engine handles: `python engine_steps.py`. Nothing is asserted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import process_time

from perdure_replication import (
    Delta,
    Digest,
    Engine,
    Event,
    Frame,
    Generation,
    Hello,
    Joined,
    Limits,
    Member,
    Message,
    Mutate,
    Received,
    Snapshot,
    Standing,
    Start,
    encode_frame,
    restore,
)
from perdure_replication.testing import TestDeltaState, TestState, Tuned, Value

EVENTS = 50_000
PEERS = 10
SIMPLE, DELTA = TestState(), TestDeltaState()


def engine() -> Engine:
    """Return an engine that has met its peers."""
    made = Engine("self", 1, [restore(each, None, 1, 0, LIMITS, stored=False).shard for each in (SIMPLE, DELTA)])
    made.receive(Start(), 0.0)
    for number in range(PEERS):
        made.receive(Joined(Member(f"peer-{number}", 1)), 0.0)
        standings = {each.name: Standing(Generation(1, 0), 0) for each in (SIMPLE, DELTA)}
        reads = {each.name: each.reads for each in (SIMPLE, DELTA)}
        made.receive(framed(number, Hello(standings, reads, {}, False)), 0.0)
        view = DELTA.encode_view(DELTA.project(DELTA.initial()), 1)
        made.receive(framed(number, Snapshot(DELTA.name, Generation(1, 0), 1, 0, 0, view)), 0.0)
    return made


def framed(number: int, message: Message) -> Received:
    name = f"peer-{number}"
    return Received(name, encode_frame(Frame("perdure", name, 1, 1, message)))


def snapshots() -> Iterable[Event]:
    for age in range(1, EVENTS + 1):
        view = SIMPLE.encode_view(Value(age, "label"), 1)
        yield framed(age % PEERS, Snapshot(SIMPLE.name, Generation(1, age), 1, 0, 0, view))


def deltas() -> Iterable[Event]:
    payload = DELTA.encode_delta(Tuned(1), 1)
    for number in range(EVENTS):
        age = number // PEERS
        yield framed(number % PEERS, Delta(DELTA.name, age, Generation(1, age + 1), 1, 0, (payload,)))


def digests() -> Iterable[Event]:
    standings = {SIMPLE.name: Standing(Generation(1, 0), 0), DELTA.name: Standing(Generation(1, 0), 0)}
    for number in range(EVENTS):
        yield framed(number % PEERS, Digest(standings))


def simple_mutations() -> Iterable[Event]:
    for token in range(EVENTS):
        yield Mutate(token, SIMPLE.name, lambda value: Value(value.counter + 1, "label"), 0)


def delta_mutations() -> Iterable[Event]:
    adjusted = TestDeltaState.adjust(1)
    for token in range(EVENTS):
        yield Mutate(token, DELTA.name, adjusted, 0)


def rate(events: Callable[[], Iterable[Event]]) -> float:
    """Return how many events a second an engine handles, all made before it begins."""
    made, told = engine(), list(events())
    began = process_time()
    for event in told:
        made.receive(event, 1.0)
    return EVENTS / (process_time() - began)


def main() -> None:
    print(f"one engine, {PEERS} peers, {EVENTS:,} events of a kind, best of 3")
    for name, events in KINDS.items():
        print(f"{name:38} {max(rate(events) for _ in range(3)):12,.0f} a second")


LIMITS = Limits()
KINDS = {
    "snapshot received and taken over": snapshots,
    "delta received and applied": deltas,
    "digest of two states received": digests,
    "simple mutation, pushed to all": simple_mutations,
    "delta mutation, pushed to all": delta_mutations,
}

if __name__ == "__main__":
    main()
