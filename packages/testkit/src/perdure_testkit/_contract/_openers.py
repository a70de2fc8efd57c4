"""What several openers of one store promise, in one process and in several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from perdure.abc import Backend, Conflict, LastKey, Put, PutState, StateVersion, WriteGroup
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import EVENTS, STATES, append, entries_of, fed, keys_of
from perdure_testkit._contract._rival import Rival
from perdure_testkit._contract._stores import Launch, Reopen

_EPOCHS = "epochs"


@needs("openers")
class OpenerRules:
    patience: ClassVar[float]

    async def test_an_opener_reads_what_another_was_told(self, backend: Backend, another: Reopen) -> None:
        """What one opener has committed is seen by every read that another begins afterwards (GAP-31)."""
        other = await another()

        for after in range(20):
            await backend.commit([append("a", after, b"%d" % after), WriteGroup((PutState(STATES, "a", b""),))])

            assert await other.last(EVENTS, "a") == after + 1
            assert await other.collection(EVENTS, "a").get(after + 1) == b"%d" % after
            assert await other.state(STATES, "a").version() == after + 1

    async def test_openers_that_race_leave_one_winner(self, backend: Backend, another: Reopen) -> None:
        """Of openers that race for one sequence number one wins, and the others learn the new head (GAP-02, ORL-02)."""
        openers = [backend, *[await another() for _ in range(3)]]

        for after in range(15):
            race = [each.commit([append("a", after, b"%d" % number)]) for number, each in enumerate(openers)]
            outcomes = [conflict for [conflict] in await asyncio.gather(*race)]

            assert outcomes.count(None) == 1
            assert outcomes.count(Conflict(LastKey(EVENTS, "a", after), after + 1)) == 3
            assert await backend.collection(EVENTS, "a").get(after + 1) == b"%d" % outcomes.index(None)

    async def test_a_stale_opener_is_refused_after_a_take_over(self, backend: Backend, another: Reopen) -> None:
        """Who wrote last before another took the log over is refused by head and by epoch (GAP-01, ORL-03, TCK-D08)."""
        await backend.commit([append("a", 0, b"owner"), WriteGroup((PutState(_EPOCHS, "a", b""),))])
        other = await another()
        await other.commit([append("a", 1, b"new owner"), WriteGroup((PutState(_EPOCHS, "a", b""),))])
        by_epoch = StateVersion(_EPOCHS, "a", 1)

        outcomes = await backend.commit(
            [append("a", 1, b"stale"), WriteGroup((Put(EVENTS, "a", 9, b"stale"),), (by_epoch,))]
        )

        assert outcomes == [Conflict(LastKey(EVENTS, "a", 1), 2), Conflict(by_epoch, 2)]
        assert await keys_of(other.collection(EVENTS, "a")) == [1, 2]

    async def test_an_opener_goes_on_where_another_purged(self, backend: Backend, another: Reopen) -> None:
        """A log that one opener purged is empty for the other, whatever it remembers of it (ORL-18)."""
        other = await another()
        await backend.commit([append("a", 0, b"", b"", b"")])
        await backend.commit([append("a", 3, b"")])

        await other.collection(EVENTS, "a").purge()

        assert await backend.commit([append("a", 4, b"stale")]) == [Conflict(LastKey(EVENTS, "a", 4), 0)]
        assert await backend.commit([append("a", 0, b"new")]) == [None]
        assert await entries_of(other.collection(EVENTS, "a")) == [(1, b"new")]

    @needs("feed")
    async def test_the_feed_skips_nothing_of_other_openers(self, backend: Backend, another: Reopen) -> None:
        """Who follows the feed sees each record of several openers that write at once, once (GAP-08)."""
        openers, length = [await another() for _ in range(3)], 25

        async def write(opener: Backend, prefix: str) -> None:
            for after in range(length):
                assert await opener.commit([append(prefix, after, b"")]) == [None]

        writing = asyncio.gather(*(write(opener, f"{number}") for number, opener in enumerate(openers)))
        try:
            seen = await _follow(backend, len(openers) * length, self.patience)
        finally:
            await writing

        assert sorted(seen) == [(f"{number}", key) for number in range(len(openers)) for key in range(1, length + 1)]
        assert sorted(seen) == sorted(await fed(backend))

    async def test_closing_one_opener_leaves_the_others(self, backend: Backend, another: Reopen) -> None:
        """Closing one opener ends nothing that another has begun or begins (GAP-29)."""
        other = await another()
        begun = [asyncio.ensure_future(backend.commit([append(f"{number}", 0, b"")])) for number in range(10)]

        await other.close()

        assert await asyncio.gather(*begun) == [[None]] * 10
        assert await backend.commit([append("a", 0, b"")]) == [None]


@needs("processes")
class ProcessRules:
    patience: ClassVar[float]

    async def test_processes_that_race_never_fork_a_log(self, launch: Launch, backend: Backend) -> None:
        """Of processes that race for one log each entry has one winner, and it is what the log holds (GAP-02)."""
        length = 40
        rivals = {name: await launch("race", "a", length, name) for name in ("one", "two")}

        said = await all_that_they_say(rivals)

        winners = {int(line[1]): name for name, lines in said.items() for line in lines if line[0] == "won"}
        wins = [line for lines in said.values() for line in lines if line[0] == "won"]
        assert len(wins) == len(winners) == length
        assert await entries_of(backend.collection(EVENTS, "a")) == [
            (key, winners[key].encode()) for key in range(1, length + 1)
        ]

    async def test_the_loser_in_another_process_learns_the_head(self, launch: Launch, backend: Backend) -> None:
        """Whoever loses a race between processes is told a head that is ahead of what was expected (GAP-02, ORL-04)."""
        rivals = {name: await launch("race", "a", 40, name) for name in ("one", "two")}

        said = await all_that_they_say(rivals)

        lost = [(int(line[1]), int(line[2])) for lines in said.values() for line in lines if line[0] == "lost"]
        assert all(expected < actual <= 40 for expected, actual in lost)
        assert await backend.last(EVENTS, "a") == 40

    async def test_processes_that_race_for_a_state_count_each_once(self, launch: Launch, backend: Backend) -> None:
        """Of processes that saw the same version of a state one wins: no update is lost (GAP-02, ORL-03, TCK-D08)."""
        rivals = {name: await launch("count", "a", 20) for name in ("one", "two")}

        said = await all_that_they_say(rivals)

        versions = sorted(int(line[1]) for lines in said.values() for line in lines)
        assert versions == list(range(1, 41))
        assert await backend.state(STATES, "a").version() == 40

    async def test_a_process_that_was_replaced_is_refused(self, launch: Launch, backend: Backend) -> None:
        """A process that owned a log is refused, by head and by epoch, after another took it over (GAP-01)."""
        owner = await launch("own", "a")
        await backend.commit([append("a", 1, b"new owner"), WriteGroup((PutState(_EPOCHS, "a", b""),))])

        owner.go()

        assert await owner.line() == "2 2"
        assert [value for _, value in await entries_of(backend.collection(EVENTS, "a"))] == [b"owner", b"new owner"]

    async def test_a_process_reads_what_another_was_told(self, launch: Launch, backend: Backend) -> None:
        """What another process says it has written is seen by every read that begins then (GAP-31)."""
        rival = await launch("fill", "a", 30)
        rival.go()

        async for line in rival.lines():
            key = int(line.split()[1])

            assert await backend.last(EVENTS, "a") >= key
            assert await backend.collection(EVENTS, "a").get(key) == b""

        await rival.end()
        assert await backend.last(EVENTS, "a") == 30

    @needs("feed")
    async def test_the_feed_skips_nothing_of_other_processes(self, launch: Launch, backend: Backend) -> None:
        """Who follows the feed sees each record of processes that write at once, once (GAP-08)."""
        rivals = [await launch("fill", f"{number}", 40) for number in range(2)]
        for rival in rivals:
            rival.go()

        seen, _ = await asyncio.gather(_follow(backend, 80, self.patience), _outlast(rivals))

        assert sorted(seen) == [(f"{number}", key) for number in range(2) for key in range(1, 41)]


async def _follow(backend: Backend, length: int, patience: float) -> list[tuple[str, int]]:
    """Read the feed page by page until so many records have come."""
    seen: list[tuple[str, int]] = []
    offset: str | None = None
    async with asyncio.timeout(patience):
        while len(seen) < length:
            page = await backend.feed(EVENTS, offset, 7)
            seen += [(record.prefix, record.key) for record in page.records]
            offset = page.offset
            await asyncio.sleep(0)
    return seen


async def all_that_they_say(rivals: dict[str, Rival]) -> dict[str, list[list[str]]]:
    """Let them begin, and return the words of each line."""
    for rival in rivals.values():
        rival.go()
    said = await asyncio.gather(*(_words(rival.lines()) for rival in rivals.values()))
    for rival in rivals.values():
        await rival.end()
    return dict(zip(rivals, said, strict=True))


async def _words(lines: AsyncIterator[str]) -> list[list[str]]:
    return [line.split() async for line in lines]


async def _outlast(rivals: list[Rival]) -> None:
    for rival in rivals:
        async for _ in rival.lines():
            pass
        await rival.end()
