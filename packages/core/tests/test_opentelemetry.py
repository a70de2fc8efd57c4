"""What OpenTelemetry's collector sees of a load, on a real store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import StatusCode

from perdure import ActorSystem, Event, Keyring, Message, PersistentActor, Sealing, every_n_events
from perdure.abc import Delete, WriteGroup
from perdure.actors import Actor, ActorRef, Context
from perdure.contrib.opentelemetry import OpenTelemetry
from perdure.errors import ConflictError, Rejected, StoreUnavailable
from perdure.persistence import Full
from perdure_testkit import FaultyBackend, VirtualClock

from .puppet import Do, Puppet, raising, returning, waiting
from .secrecy import ONE
from .tapes import Break, PureTape, Read, Write, append, stored_as
from .turning import soon, turns


class Collector:
    """The observer, and what the SDK has of it."""

    def __init__(self, sampler: Sampler = ALWAYS_ON, roots: float = math.inf) -> None:
        self._spans = InMemorySpanExporter()
        self.tracing = TracerProvider(sampler=sampler)
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self._metering = MeterProvider([self._reader])
        self.observer = OpenTelemetry(
            roots=roots, samples=1e9, tracer_provider=self.tracing, meter_provider=self._metering
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans that are over, in the order of their beginning."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def span(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span

    def figures(self) -> dict[str, Any]:
        """Return what is shown now: of each name and its attributes a value, or the number of what was recorded."""
        found: dict[str, Any] = {}
        data = self._reader.get_metrics_data()
        for metric in [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                labels = ",".join(map(str, (point.attributes or {}).values()))
                value = point.value if hasattr(point, "value") else point.count
                found[f"{metric.name}[{labels}]" if labels else metric.name] = value
        return found

    def close(self) -> None:
        self.tracing.shutdown()
        self._metering.shutdown()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tapes.db'}"


def parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def links(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


class Pass(Message[Any]):
    """Have a relay ask, or tell, somebody."""

    message: Message[Any]
    to: ActorRef
    tell: bool = False


class Relay(Actor):
    async def handle(self, message: Message[Any], context: Context) -> Any:
        match message:
            case Pass(inner, to, tell):
                return await (to.tell(inner) if tell else to.ask(inner))


class TestATrace:
    async def test_goes_from_the_ask_through_the_commit_to_the_reply(self, collector: Collector, url: str) -> None:
        async with ActorSystem(store=url, observers=[collector.observer]) as system:
            await system.ref(PureTape, "a").ask(Write((1,)))

        ask, recover, handle, persist, commit = collector.spans
        assert collector.names() == ["ask Tape/Write", "recover Tape", "handle Tape/Write", "persist", "commit"]
        assert [parent(span) for span in (ask, recover, handle, persist, commit)] == [
            None,
            id_of(ask),
            id_of(ask),
            id_of(handle),
            id_of(persist),
        ]
        assert (ask.end_time or 0) >= (handle.end_time or 0) >= (commit.end_time or 0)

    async def test_follows_an_ask_from_actor_to_actor(self, collector: Collector, url: str) -> None:
        async with ActorSystem(store=url, observers=[collector.observer]) as system:
            relay = await system.spawn(Relay, "relay")
            await relay.ask(Pass(Write((1,)), system.ref(PureTape, "a")))

        assert len({span.context.trace_id for span in collector.spans if span.context}) == 1
        assert parent(collector.span("ask Tape/Write")) == id_of(collector.span("handle Relay/Pass"))

    async def test_of_a_told_message_is_its_own_and_linked(self, collector: Collector, url: str) -> None:
        """Who tells does not wait, so what is told is no part of its time."""
        async with ActorSystem(store=url, observers=[collector.observer]) as system:
            relay, tape = await system.spawn(Relay, "relay"), system.ref(PureTape, "a")
            await relay.ask(Pass(Write((1,)), tape, tell=True))
            await tape.ask(Read())

        told, teller = collector.span("handle Tape/Write"), collector.span("handle Relay/Pass")
        assert parent(told) is None
        assert links(told) == {id_of(teller)}

    async def test_begins_in_the_span_of_the_asker(self, collector: Collector, url: str) -> None:
        async with ActorSystem(store=url, observers=[collector.observer]) as system:
            with collector.tracing.get_tracer("test").start_as_current_span("request") as request:
                await system.ref(PureTape, "a").ask(Read())

        assert parent(collector.span("ask Tape/Read")) == request.get_span_context().span_id

    async def test_has_the_spans_of_a_handler_inside_it(self, collector: Collector) -> None:
        tracer = collector.tracing.get_tracer("test")

        async def work(context: Context) -> None:
            with tracer.start_as_current_span("work"):
                pass

        async with ActorSystem(observers=[collector.observer]) as system:
            await (await system.spawn(Puppet, "a")).ask(Do(work))

        assert parent(collector.span("work")) == id_of(collector.span("handle Puppet/Do"))

    async def test_shares_a_commit_with_others(self, collector: Collector, store: FaultyBackend) -> None:
        """The commit is the child of one persist, and linked with all that it carries, both ways."""
        async with ActorSystem(store=store, observers=[collector.observer]) as system:
            tapes = [system.ref(PureTape, key) for key in "abc"]
            await asyncio.gather(*(tape.ask(Read()) for tape in tapes))
            await asyncio.gather(*(tape.ask(Write((1,))) for tape in tapes))

        persists = [span for span in collector.spans if span.name == "persist"]
        commit = collector.span("commit")
        assert parent(commit) == id_of(persists[0])
        assert links(commit) == {id_of(persist) for persist in persists}
        assert [links(persist) for persist in persists] == [{id_of(commit)}] * 3
        assert dict(commit.attributes or {})["perdure.commit.size"] == 3

    async def test_shows_which_part_failed(self, collector: Collector, store: FaultyBackend) -> None:
        store.reject("commit")
        async with ActorSystem(store=store, observers=[collector.observer]) as system:
            with pytest.raises(StoreUnavailable):
                await system.ref(PureTape, "a").ask(Write((1,)))

        failed = {span.name for span in collector.spans if span.status.status_code is StatusCode.ERROR}
        assert failed == {"ask Tape/Write", "handle Tape/Write", "persist", "commit"}
        assert {dict(span.attributes or {}).get("error.type") for span in collector.spans if span.name in failed} == {
            "StoreUnavailable"
        }

    async def test_shows_a_conflict_at_the_write_that_lost(self, collector: Collector, store: FaultyBackend) -> None:
        async with ActorSystem(store=store, observers=[collector.observer]) as system:
            await system.ref(PureTape, "a").ask(Read())
            await append(store, 7)
            with pytest.raises(ConflictError):
                await system.ref(PureTape, "a").ask(Write((1,)))

        persist, commit = collector.span("persist"), collector.span("commit")
        assert dict(persist.attributes or {})["error.type"] == "ConflictError"
        assert commit.status.status_code is StatusCode.UNSET

    async def test_takes_a_refusal_for_an_answer(self, collector: Collector) -> None:
        async with ActorSystem(observers=[collector.observer]) as system:
            with pytest.raises(Rejected):
                await (await system.spawn(Puppet, "a")).ask(Do(raising(Rejected("no"))))

        assert {span.status.status_code for span in collector.spans} == {StatusCode.UNSET}

    async def test_of_a_write_that_never_had_its_turn_ends_with_its_handler(
        self, collector: Collector, store: FaultyBackend
    ) -> None:
        """Whoever is cancelled while the queue is full writes nothing, and leaves nothing behind."""
        async with ActorSystem(store=store, observers=[collector.observer], stop_timeout=0.01) as system:
            assert system._stores is not None
            await asyncio.gather(*(system.ref(PureTape, key).ask(Read()) for key in "ab"))
            system._stores.journal._queue._pending_bytes = 1
            held = store.hold("commit")
            asked = [soon(system.ref(PureTape, key).ask(Write((1,)))) for key in "ab"]
            await turns()
            stopped = soon(system.ref(PureTape, "b").stop(timeout=0))
            await asyncio.wait([stopped])
            held.set()
            await asyncio.gather(*asked, return_exceptions=True)

        assert collector.names().count("persist") == 2
        assert collector.observer._spans._writes == {}


class TestSampling:
    async def test_follows_the_span_around_an_ask(self) -> None:
        """Inside a trace that is not recorded nothing is, whatever `roots` says."""
        collector = Collector(ParentBased(ALWAYS_OFF))
        async with ActorSystem(observers=[collector.observer]) as system:
            ref = await system.spawn(Puppet, "a")
            with collector.tracing.get_tracer("test").start_as_current_span("request"):
                await ref.ask(Do(returning(1)))

        assert collector.spans == []
        collector.close()

    async def test_takes_no_roots_when_told_so(self) -> None:
        collector = Collector(roots=0.0)
        async with ActorSystem(observers=[collector.observer]) as system:
            ref = await system.spawn(Puppet, "a")
            await ref.ask(Do(returning(1)))
            await ref.tell(Do(returning(1)))
            await ref.ask(Do(returning(1)))
            with collector.tracing.get_tracer("test").start_as_current_span("request"):
                await ref.ask(Do(returning(1)))

        assert collector.names() == ["request", "ask Puppet/Do", "handle Puppet/Do"]
        collector.close()

    async def test_asks_the_sampler_once_a_root(self) -> None:
        """What a dropped ask leads to is neither recorded nor offered again."""
        offered: list[str] = []

        class Refusing(Sampler):
            def should_sample(self, parent_context: Any, trace_id: int, name: str, *rest: Any, **named: Any) -> Any:
                offered.append(name)
                return ALWAYS_OFF.should_sample(parent_context, trace_id, name, *rest, **named)

            def get_description(self) -> str:
                return "refusing"

        collector = Collector(Refusing())
        async with ActorSystem(observers=[collector.observer]) as system:
            relay, puppet = await system.spawn(Relay, "relay"), await system.spawn(Puppet, "a")
            await relay.ask(Pass(Do(returning(1)), puppet))

        assert offered == ["ask Relay/Pass"]
        collector.close()

    async def test_of_a_told_message_decides_for_what_it_leads_to(self, store: FaultyBackend) -> None:
        """Where the sampler drops the handling of a told message, its writes are not put into the teller's trace."""

        class Choosy(Sampler):
            def should_sample(self, parent_context: Any, trace_id: int, name: str, *rest: Any, **named: Any) -> Any:
                sampler = ALWAYS_OFF if name == "handle Tape/Write" else ALWAYS_ON
                return sampler.should_sample(parent_context, trace_id, name, *rest, **named)

            def get_description(self) -> str:
                return "choosy"

        collector = Collector(Choosy())
        async with ActorSystem(store=store, observers=[collector.observer]) as system:
            tape = system.ref(PureTape, "a")

            async def tell_and_wait(context: Context) -> None:
                await tape.tell(Write((1,)))
                await tape.ask(Read())

            await (await system.spawn(Puppet, "teller")).ask(Do(tell_and_wait))

        assert "handle Puppet/Do" in collector.names()
        assert "persist" not in collector.names()
        collector.close()

    @pytest.mark.parametrize(("name", "value"), [("roots", -0.1), ("samples", 0.0)])
    def test_is_refused_where_it_makes_no_sense(self, name: str, value: float) -> None:
        with pytest.raises(ValueError, match=name):
            OpenTelemetry(**{name: value})


class TestFigures:
    async def test_of_a_load_with_failures(self, collector: Collector, url: str) -> None:
        async with ActorSystem(store=url, observers=[collector.observer]) as system:
            tapes = [system.ref(PureTape, str(number)) for number in range(5)]
            for _ in range(3):
                await asyncio.gather(*(tape.ask(Write((1, 2))) for tape in tapes))
            with pytest.raises(ValueError, match="broken"):
                await tapes[0].ask(Break((3,)))
            await tapes[0].ask(Read())
            puppet = await system.spawn(Puppet, "puppet")
            gate = asyncio.Event()
            last = [soon(puppet.ask(Do(waiting(gate)))) for _ in range(3)]
            await turns()
            during = collector.figures()
            stopping = soon(puppet.stop())
            await turns()
            gate.set()
            await asyncio.gather(*last, stopping, return_exceptions=True)
            figures = collector.figures()

        assert during["perdure.actor.live[Tape]"] == 5
        assert during["perdure.mailbox.depth[Puppet]"] == 2
        assert figures["perdure.actor.activations[Tape]"] == 5
        assert figures["perdure.actor.failures[Tape,ValueError]"] == 1
        assert figures["perdure.actor.restarts[Tape,ValueError]"] == 1
        assert figures["perdure.message.handled[Tape]"] == 17
        assert figures["perdure.message.duration[Tape]"] + figures["perdure.message.duration[Tape,ValueError]"] == 17
        assert figures["perdure.message.dead[Do]"] == 2
        assert figures["perdure.event.written"] == 31
        assert figures["perdure.commit.io"] > 31 * 10
        assert figures["perdure.commit.count"] == figures["perdure.commit.duration"] >= 4
        assert figures["perdure.recovery.count[Tape]"] == 6
        assert (figures["perdure.recovery.active"], figures["perdure.recovery.waiting"]) == (0, 0)
        assert figures["perdure.commit.lag"] == 0.0

    async def test_of_commits_that_fail_and_writes_that_lose(self, collector: Collector, store: FaultyBackend) -> None:
        async with ActorSystem(store=store, observers=[collector.observer]) as system:
            await system.ref(PureTape, "a").ask(Read())
            await append(store, 7)
            with pytest.raises(ConflictError):
                await system.ref(PureTape, "a").ask(Write((1,)))
            store.reject("commit")
            with pytest.raises(StoreUnavailable):
                await system.ref(PureTape, "b").ask(Write((1,)))

        figures = collector.figures()
        assert figures["perdure.commit.conflicts"] == 1
        assert figures["perdure.commit.failures[StoreUnavailable]"] == 1
        assert figures["perdure.event.written"] == 0

    async def test_of_snapshots_and_recoveries(self, collector: Collector, store: FaultyBackend) -> None:
        tape = stored_as(PureTape, Full(snapshot=every_n_events(2)))
        async with ActorSystem(store=store) as system:
            await system.ref(tape, "a").ask(Write((1, 2)))
        await store.commit([WriteGroup((Delete("snapshots", "Tape/a", 2),))])
        store.reject("page")

        async with ActorSystem(store=store, observers=[collector.observer]) as system:
            with pytest.raises(StoreUnavailable):
                await system.ref(tape, "a").ask(Read())
            await system.ref(tape, "a").ask(Write((3, 4)))

        figures = collector.figures()
        assert figures["perdure.recovery.failures[Tape,StoreUnavailable]"] == 1
        assert figures["perdure.recovery.count[Tape]"] == 1
        assert figures["perdure.snapshot.count"] == figures["perdure.snapshot.size"] == 1

    async def test_of_passivation(self, collector: Collector, clock: VirtualClock) -> None:
        async with ActorSystem(observers=[collector.observer], clock=clock, passivate_after=60) as system:
            await system.ref(PureTape, "a").ask(Write((1,)))
            await clock.advance(61)
            await turns()

            figures = collector.figures()

        assert figures["perdure.actor.passivations[Tape]"] == 1
        assert figures["perdure.actor.live[Tape]"] == 0

    async def test_of_durations_are_those_of_samples(self) -> None:
        reader = InMemoryMetricReader()
        metering = MeterProvider([reader])
        observer = OpenTelemetry(roots=0.0, samples=1e-9, meter_provider=metering)
        async with ActorSystem(observers=[observer]) as system:
            ref = await system.spawn(Puppet, "a")
            for _ in range(5):
                await ref.ask(Do(returning(1)))

        data = reader.get_metrics_data()
        assert data is not None
        points = {metric.name: metric.data.data_points for metric in data.resource_metrics[0].scope_metrics[0].metrics}
        assert points["perdure.message.handled"][0].value == 5  # type: ignore[union-attr]
        assert points["perdure.message.duration"][0].count == 1  # type: ignore[union-attr]
        metering.shutdown()

    async def test_of_others_are_shown_as_gauges(self, collector: Collector) -> None:
        """As those of replication: `expose("perdure.replication", lambda: …)`."""
        lags = {"lag": 3}
        collector.observer.expose("perdure.replication", lambda: lags)
        lags["lag"] = 5

        assert collector.figures()["perdure.replication.lag"] == 5


class TestASealedSystem:
    async def test_shows_no_contents_and_no_hidden_names(self, collector: Collector) -> None:
        class Told(Event):
            secret: str

        class Confess(Message[int]):
            secret: str

        class Confessor(PersistentActor[tuple[str, ...], Told]):
            initial_state = ()

            async def handle(self, message: Any, context: Context) -> int:
                await self.persist(Told(message.secret))
                if "broken" in message.secret:
                    raise ValueError(f"cannot hear {message.secret}")
                return len(self.state)

            def apply(self, state: tuple[str, ...], event: Told) -> tuple[str, ...]:
                return (*state, event.secret)

        sealing = Sealing(Keyring({1: ONE}), hide_names=True)
        async with ActorSystem(store="memory://", sealing=sealing, observers=[collector.observer]) as system:
            alice = system.ref(Confessor, "alice")
            await alice.ask(Confess("gold"))
            await alice.tell(Confess("broken gold"))
            await alice.ask(Confess("more gold"))

        shown = "\n".join([*(span.to_json() for span in collector.spans), *map(str, collector.figures())])
        assert collector.names().count("persist") == 3
        assert "alice" not in shown
        assert "gold" not in shown
