"""What observers are told, and that they harm nobody."""

from __future__ import annotations

import contextvars
import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from perdure import ActorSystem, _plugins
from perdure.abc import Conflict, WriteGroup
from perdure.actors import Failed, Restarted
from perdure.errors import StoreUnavailable
from perdure.telemetry import Committed, Ended, Following, Observed, Observer
from perdure_testkit import FaultyBackend

from .puppet import Do, Puppet, raising, returning
from .tapes import Break, PureTape, Read, Write
from .turning import turns


class Diary(Observer):
    """Writes down all that it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def opened(self, system: Any) -> None:
        self.lines.append("opened")

    def closed(self, system: Any) -> None:
        self.lines.append("closed")

    def asking(self, actor: Observed, message: str, context: contextvars.Context) -> Ended:
        return self._begun(f"asking {actor.shown} {message}")

    def handling(self, actor: Observed, message: str, asked: bool) -> Following:
        return Following(self._begun(f"handling {actor.type_name} {message} {'asked' if asked else 'told'}"))

    def recovering(self, actor: Observed) -> Ended:
        return self._begun(f"recovering {actor.shown}")

    def writing(self, group: WriteGroup) -> None:
        self.lines.append(f"writing {len(group.writes)}")

    def committing(self, groups: Sequence[WriteGroup], size: int) -> Committed:
        self.lines.append(f"committing {len(groups)}")

        def committed(outcomes: Sequence[Conflict | BaseException | None]) -> None:
            self.lines.append(f"committed {[outcome and type(outcome).__name__ for outcome in outcomes]}")

        return committed

    def happened(self, event: Any) -> None:
        self.lines.append(type(event).__name__)

    def _begun(self, what: str) -> Ended:
        self.lines.append(what)
        return lambda error: self.lines.append(
            f"end of {what.split()[0]}{f': {type(error).__name__}' if error else ''}"
        )


async def test_an_observer_hears_of_an_ask_from_its_beginning_through_the_commit_to_the_reply(
    store: FaultyBackend,
) -> None:
    diary = Diary()

    async with ActorSystem(store=store, observers=[diary]) as system:
        await system.ref(PureTape, "t").ask(Write((1, 2)))

    assert diary.lines == [
        "opened",
        "asking /Tape/t Write",
        "recovering /Tape/t",
        "end of recovering",
        "Started",
        "handling Tape Write asked",
        "writing 2",
        "committing 1",
        "committed [None]",
        "end of handling",
        "end of asking",
        "Stopped",
        "closed",
    ]


async def test_an_end_says_what_error_it_was(store: FaultyBackend) -> None:
    diary = Diary()
    store.reject("commit")

    async with ActorSystem(store=store, observers=[diary]) as system:
        with pytest.raises(StoreUnavailable):
            await system.ref(PureTape, "t").ask(Write((1,)))

    assert "committed ['StoreUnavailable']" in diary.lines
    assert "end of handling: StoreUnavailable" in diary.lines
    assert "end of asking: StoreUnavailable" in diary.lines


async def test_an_observer_hears_what_happens_to_actors() -> None:
    diary = Diary()

    async with ActorSystem(observers=[diary]) as system:
        ref = await system.spawn(Puppet, "a")
        await ref.tell(Do(raising(ValueError("broken"))))
        await turns()
        await ref.stop()

    assert [line for line in diary.lines if line in ("Started", "Failed", "Restarted", "Stopped")] == [
        "Started",
        "Failed",
        "Restarted",
        "Stopped",
    ]


async def test_what_is_set_in_the_context_of_an_ask_is_seen_by_its_handler_alone() -> None:
    """So a trace follows a message, and does not stay with whoever asked."""
    place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")

    class Setting(Observer):
        def asking(self, actor: Observed, message: str, context: contextvars.Context) -> None:
            context.run(place.set, "in the handler")

    async def look(context: object) -> str:
        return place.get()

    async with ActorSystem(observers=[Setting()]) as system:
        ref = await system.spawn(Puppet, "a")

        assert await ref.ask(Do(look)) == "in the handler"
        assert place.get() == "nowhere"


async def test_writes_are_told_of_only_while_a_handling_is_followed(store: FaultyBackend) -> None:
    class Timing(Diary):
        def handling(self, actor: Observed, message: str, asked: bool) -> Any:
            ended = self._begun("handling")
            return Following(ended) if message == "Write" else ended

    diary = Timing()
    async with ActorSystem(store=store, observers=[diary]) as system:
        with pytest.raises(ValueError, match="broken"):
            await system.ref(PureTape, "t").ask(Break((1,)))
        await system.ref(PureTape, "t").ask(Write((2,)))

        assert system.observed.writing is None
    assert diary.lines.count("committed [None]") == 2
    assert diary.lines.count("writing 1") == 1


async def test_several_observers_hear_the_same(store: FaultyBackend) -> None:
    one, other = Diary(), Diary()

    async with ActorSystem(store=store, observers=[one, other]) as system:
        await system.ref(PureTape, "t").ask(Write((1,)))

    assert one.lines == other.lines != []


class TestABrokenObserver:
    async def test_harms_nobody_and_is_logged_once_a_hook(
        self, store: FaultyBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(Diary):
            def _begun(self, what: str) -> Ended:
                raise RuntimeError("broken")

        async with ActorSystem(store=store, observers=[Broken()]) as system:
            for value in range(3):
                await system.ref(PureTape, "t").ask(Write((value,)))

            assert await system.ref(PureTape, "t").ask(Read()) == [0, 1, 2]
        assert [record.getMessage() for record in caplog.records] == [
            f"the observer's Broken.{hook} failed; this is said once" for hook in ("asking", "recovering", "handling")
        ]

    async def test_harms_nobody_at_an_end(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(Observer):
            def handling(self, actor: Observed, message: str, asked: bool) -> Ended:
                return lambda _: 1 / 0

        async with ActorSystem(observers=[Broken()]) as system:
            ref = await system.spawn(Puppet, "a")
            assert [await ref.ask(Do(returning(value))) for value in "abc"] == ["a", "b", "c"]

        [record] = caplog.records
        assert vars(record)["perdure.hook"] == "Broken.handling"

    async def test_does_not_keep_the_others_from_hearing(self) -> None:
        class Broken(Observer):
            def asking(self, actor: Observed, message: str, context: contextvars.Context) -> None:
                raise RuntimeError("broken")

        diary = Diary()
        async with ActorSystem(observers=[Broken(), diary]) as system:
            await (await system.spawn(Puppet, "a")).ask(Do(returning(1)))

        assert "asking /user/a Do" in diary.lines

    def test_is_no_observer_if_it_is_none(self) -> None:
        with pytest.raises(TypeError, match=r"an observer is a perdure.telemetry.Observer, not <object"):
            ActorSystem(observers=[object()])  # type: ignore[list-item]


class TestWithoutObservers:
    async def test_nothing_is_called(self, store: FaultyBackend) -> None:
        """Each point of observation reads one attribute, which is None."""
        async with ActorSystem(store=store) as system:
            hooks = [getattr(system.observed, name) for name in vars(Observer) if not name.startswith("_")]

        assert hooks == [None] * 8

    async def test_what_an_observer_has_not_written_is_not_called(self) -> None:
        class Ending(Observer):
            def closed(self, system: Any) -> None: ...

        async with ActorSystem(observers=[Ending()]) as system:
            assert system.observed.closed is not None
            assert system.observed.handling is None

    async def test_no_event_is_made(self, store: FaultyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[object] = []
        for kind in (Failed, Restarted):
            monkeypatch.setattr(f"perdure.actors._cell.{kind.__name__}", made.append)

        async with ActorSystem(store=store) as system:
            with pytest.raises(ValueError, match="broken"):
                await system.ref(PureTape, "t").ask(Break())
            await turns()

        assert made == []


@pytest.fixture
def plug_in(distribute: Callable[[str, str, str, str], None]) -> Iterator[Callable[[str], None]]:
    """Install a plug-in `watch` with the given source, for this test."""

    def install(source: str) -> None:
        distribute("perdure-watch", "perdure.plugins", "watch", source)
        _plugins._plugins_once.cache_clear()

    yield install
    _plugins._plugins_once.cache_clear()


WATCHING = """
import pluggy
from perdure.telemetry import Observer

seen = []

class Watching(Observer):
    def opened(self, system):
        seen.append(system)

@pluggy.HookimplMarker("perdure")
def perdure_observe(system):
    return Watching()
"""


async def test_an_installed_plug_in_observes_every_system(plug_in: Any) -> None:
    plug_in(WATCHING)

    async with ActorSystem() as one, ActorSystem() as two:
        pass

    assert importlib.import_module("watch_plugin").seen == [one, two]


@pytest.mark.parametrize("source", ["import no_such_module", WATCHING.replace("return Watching()", "return 1 / 0")])
async def test_a_plug_in_that_fails_is_logged_and_left_out(
    plug_in: Any, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    plug_in(source)

    async with ActorSystem():
        pass

    [record] = caplog.records
    assert (record.name, record.levelno) == ("perdure.plugins", logging.ERROR)
    assert "perdure-watch 1.2.3" in record.getMessage()
