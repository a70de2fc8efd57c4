"""What actors promise where somebody else has the store too, or had it and was killed."""

from __future__ import annotations

from random import Random

import pytest

from perdure.abc import Backend
from perdure.errors import ConflictError, Superseded
from perdure.journal import EVENTS
from perdure_testkit._contract._actor_lives import by_strategy
from perdure_testkit._contract._actors import KEYS, TAPES, Board, Look, Read, Tape, Write, system_of
from perdure_testkit._contract._claims import needs
from perdure_testkit._contract._kills import write_until_killed
from perdure_testkit._contract._material import keys_of
from perdure_testkit._contract._openers import all_that_they_say
from perdure_testkit._contract._stores import Launch, Reopen


class ActorRivalRules:
    @by_strategy
    async def test_two_systems_never_fork_a_log(self, tape: type[Tape], backend: Backend, second: Reopen) -> None:
        """Of two writers one is refused, once, and then goes on from what the other wrote (W-22)."""
        async with system_of(backend) as one, system_of(await second()) as other:
            ref, rival = one.ref(tape, "a"), other.ref(tape, "a")
            await ref.ask(Write((1,)))
            await rival.ask(Write((2,)))

            with pytest.raises(ConflictError, match="expected the log to end at sequence number 1, but it ends at 2"):
                await ref.ask(Write((3,)))

            assert (await ref.ask(Write((3,))), await ref.ask(Read())) == (3, [1, 2, 3])

    @by_strategy
    async def test_who_was_superseded_is_refused_before_it_writes(
        self, tape: type[Tape], backend: Backend, second: Reopen
    ) -> None:
        """A claim of another system is enough, while all sequence numbers still agree (ATS-48)."""
        async with system_of(backend, owner="one") as one, system_of(await second(), owner="other") as other:
            ref, rival = one.ref(tape, "a"), other.ref(tape, "a")
            await ref.ask(Write((1,)))
            await rival.ask(Read())

            with pytest.raises(Superseded, match="by 'other', by epoch 2"):
                await ref.ask(Write((2,)))

            assert (await rival.ask(Write((3,))), await rival.ask(Read())) == (2, [1, 3])

    async def test_two_systems_never_lose_a_durable_state(self, backend: Backend, second: Reopen) -> None:
        """Of two that save one is refused, once, and then goes on from what the other saved (ATS-86)."""
        async with system_of(backend) as one, system_of(await second()) as other:
            board, rival = one.ref(Board, "a"), other.ref(Board, "a")
            await board.ask(Write((1,)))
            await rival.ask(Write((2,)))

            with pytest.raises(ConflictError, match="expected the log to end at revision 1, but it ends at 2"):
                await board.ask(Write((3,)))

            assert (await board.ask(Write((3,))), await board.ask(Read())) == (3, [1, 2, 3])

    @needs("processes")
    async def test_processes_that_race_for_one_actor_write_one_log(self, launch: Launch, backend: Backend) -> None:
        """What each was told is there, in its order, once, without a gap (W-22)."""
        rivals = {first: await launch("race", first, 50) for first in ("0", "1000")}

        said = await all_that_they_say(rivals)

        told = [[int(value) for _, value in lines] for lines in said.values()]
        async with system_of(backend) as system:
            log = await system.ref(Tape, "a").ask(Read())
        assert told == [[value for value in log if value < 1000], [value for value in log if value >= 1000]]
        assert await keys_of(backend.collection(EVENTS, "Tape/a")) == list(range(1, len(log) + 1))


@needs("kills")
class ActorKillRules:
    async def test_after_a_kill_every_acknowledged_event_is_there_once(self, launch: Launch, reopen: Reopen) -> None:
        """Killed again and again, each tape is 1, 2, 3, … at least to what was acknowledged (AVE-09, AVE-41)."""
        chance = Random(3)
        for _ in range(3):
            acknowledged = await write_until_killed(launch, chance.randrange(1, 200), "write")
            backend = await reopen()

            async with system_of(backend) as system:
                for tape, key in [(tape, key) for tape in TAPES for key in KEYS]:
                    identity = f"{tape.type_name}/{key}"
                    state = await system.ref(tape, key).ask(Read())
                    numbers = await keys_of(backend.collection(EVENTS, identity))

                    assert state == list(range(1, len(state) + 1)), identity
                    assert len(state) >= acknowledged.get(identity, 0), identity
                    assert numbers == list(range(len(state) + 1 - len(numbers), len(state) + 1)), identity
            await backend.close()

    async def test_after_a_kill_every_durable_state_is_an_acknowledged_one_or_the_next(
        self, launch: Launch, reopen: Reopen
    ) -> None:
        """Killed again and again, each board has one revision, whole, and at least the acknowledged one."""
        chance = Random(4)
        for _ in range(2):
            acknowledged = await write_until_killed(launch, chance.randrange(1, 200), "revise")
            backend = await reopen()

            async with system_of(backend) as system:
                for key in KEYS:
                    revision, exists = await system.ref(Board, key).ask(Look())
                    state = await system.ref(Board, key).ask(Read())
                    last = acknowledged.get(f"Board/{key}", revision)

                    assert last <= revision <= last + 1, key
                    assert (state, exists) == (list(range(revision - revision % 5 + 1, revision + 1)), revision % 5 > 0)
                    assert await keys_of(backend.collection("durable", f"Board/{key}")) == [revision][: revision > 0]
            await backend.close()
