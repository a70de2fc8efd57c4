"""What a killed process leaves behind. The process is real, and so is the SIGKILL."""

from __future__ import annotations

from random import Random

from perdure.abc import Conflict, LastKey
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._material import EVENTS, STATES, append, entries_of, fed, keys_of
from perdure_testkit._contract._stores import Launch, Reopen

_WRITERS = 6
_WRITE = ("write", _WRITERS)


@needs("kills")
class KillRules:
    async def test_what_was_acknowledged_survives_a_kill(self, launch: Launch, reopen: Reopen) -> None:
        """After a kill in the middle of commits each log is 1, 2, 3, … to what was acknowledged at least (GAP-04)."""
        chance = Random(1)
        for _ in range(3):
            acknowledged = await write_until_killed(launch, chance.randrange(1, 200), *_WRITE)

            backend = await reopen()

            for prefix in _prefixes():
                keys = await keys_of(backend.collection(EVENTS, prefix))
                assert keys == list(range(1, len(keys) + 1)), prefix
                assert len(keys) >= acknowledged.get(prefix, 0), prefix
            await backend.close()

    async def test_a_kill_tears_no_group(self, launch: Launch, reopen: Reopen) -> None:
        """After a kill in the middle of commits each group is there whole or not at all (GAP-03, GAP-04, GAP-10)."""
        chance = Random(2)
        for _ in range(2):
            await write_until_killed(launch, chance.randrange(1, 200), *_WRITE)

            backend = await reopen()

            for prefix in _prefixes():
                events = await entries_of(backend.collection(EVENTS, prefix))
                assert events == [(key, b"%d " % key * 40) for key, _ in events], prefix
                assert await entries_of(backend.collection("snapshots", prefix)) == events, prefix
                version, value = await backend.read_state(STATES, prefix)
                assert (version, value) == ((len(events), events[-1].value) if events else (0, None)), prefix
            await backend.close()

    async def test_heads_survive_a_kill(self, launch: Launch, reopen: Reopen) -> None:
        """After a kill a stale writer is refused with the actual head, and the right one goes on (GAP-01, GAP-04)."""
        await write_until_killed(launch, 50, *_WRITE)

        backend = await reopen()

        for prefix in _prefixes():
            head = await backend.last(EVENTS, prefix)
            outcomes = await backend.commit([append(prefix, head + 1, b"stale"), append(prefix, head, b"next")])
            assert outcomes == [Conflict(LastKey(EVENTS, prefix, head + 1), head), None]

    @needs("feed")
    async def test_offsets_survive_a_kill(self, launch: Launch, reopen: Reopen) -> None:
        """An offset from before a kill leads to each record that was not read, once (GAP-08, GAP-09)."""
        await write_until_killed(launch, 50, *_WRITE)
        backend = await reopen()
        page = await backend.feed(EVENTS, None, 20)
        seen = [(record.prefix, record.key) for record in page.records]
        await backend.close()
        await write_until_killed(launch, 50, *_WRITE)

        backend = await reopen()

        seen += await fed(backend, page.offset)
        lengths = {prefix: await backend.last(EVENTS, prefix) for prefix in _prefixes()}
        assert sorted(seen) == [(prefix, key) for prefix in _prefixes() for key in range(1, lengths[prefix] + 1)]


def _prefixes() -> list[str]:
    return [f"{number}" for number in range(_WRITERS)]


async def write_until_killed(launch: Launch, acknowledgements: int, *part: object) -> dict[str, int]:
    """Kill a process that does this part after so many acknowledgements; return the last one of each log."""
    rival = await launch(*part)
    acknowledged: dict[str, int] = {}
    number = 0
    async for line in rival.lines():
        prefix, key = line.split()
        acknowledged[prefix] = int(key)
        number += 1
        if number == acknowledgements:
            rival.kill()  # what it said before is read on: that is acknowledged too
    assert number >= acknowledgements, "the other process ended before it was killed"
    return acknowledged
