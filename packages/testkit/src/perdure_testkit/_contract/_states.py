"""What a state promises."""

from __future__ import annotations

import pytest

from perdure.abc import Backend, DeleteState, PutState, StateVersion, Write, WriteGroup
from perdure.errors import EntryNotFound
from perdure_testkit._contract._material import SIZES, STATES, VALUES, random_bytes


class StateRules:
    async def test_a_state_is_read_back(self, backend: Backend) -> None:
        """A state's value is read back, with version 1 after the first put (ORL-01, TCK-D02)."""
        state = backend.state(STATES, "a")

        await state.put(b"value")

        assert await state.get() == (1, b"value")

    async def test_each_put_raises_the_version(self, backend: Backend) -> None:
        """Each put replaces the value and raises the version by one, though the value be the same.

        (ORL-10, ORL-20, TCK-D03)
        """
        state = backend.state(STATES, "a")

        for _ in range(3):
            await state.put(b"same")

        assert await state.get() == (3, b"same")

    async def test_several_puts_in_one_commit_all_count(self, backend: Backend) -> None:
        """Several puts of one state in one commit each raise its version, and the last value stays."""
        writes = tuple(PutState(STATES, "a", value) for value in (b"1", b"2", b"3"))

        await backend.commit([WriteGroup(writes[:2]), WriteGroup(writes[2:])])

        assert await backend.state(STATES, "a").get() == (3, b"3")

    async def test_an_empty_state_is_named(self, backend: Backend) -> None:
        """Getting a state that was never put raises EntryNotFound with its real key; its version is 0.

        (ORL-05, ORL-16, TCK-D01)
        """
        state = backend.state(STATES, "a.b")

        with pytest.raises(EntryNotFound) as caught:
            await state.get()

        assert (caught.value.key, await state.version()) == ("states/a.b", 0)

    async def test_a_deleted_state_is_gone(self, backend: Backend) -> None:
        """A deleted state raises EntryNotFound (ORL-07, ORL-12, ORL-14, TCK-D10)."""
        state = backend.state(STATES, "a")
        await state.put(b"value")

        await state.delete()

        with pytest.raises(EntryNotFound):
            await state.get()

    async def test_deleting_an_empty_state_is_an_error(self, backend: Backend) -> None:
        """Deleting a state that has no value raises EntryNotFound, the first time and the second (ORL-11)."""
        state = backend.state(STATES, "a")

        with pytest.raises(EntryNotFound):
            await state.delete()

        await state.put(b"")
        await state.delete()
        with pytest.raises(EntryNotFound):
            await state.delete()

    async def test_a_delete_raises_the_version(self, backend: Backend) -> None:
        """A delete raises the version by one, so who saw the value is stale (ORL-13, TCK-D04)."""
        state = backend.state(STATES, "a")
        await state.put(b"value")

        await state.delete()

        assert await state.version() == 2

    async def test_a_delete_of_nothing_leaves_the_version(self, backend: Backend) -> None:
        """A committed delete of a state without a value is silent and leaves its version (ORL-11, ORL-15)."""
        delete = WriteGroup((DeleteState(STATES, "a"),))
        await backend.commit([delete])
        before = await backend.state(STATES, "a").version()
        await backend.state(STATES, "a").put(b"")

        await backend.commit([delete, delete])

        assert (before, await backend.state(STATES, "a").version()) == (0, 2)

    async def test_the_version_goes_on_after_a_delete(self, backend: Backend) -> None:
        """A put after a delete goes on counting where the delete left off (ORL-06, ORL-19, TCK-D06)."""
        state = backend.state(STATES, "a")
        await state.put(b"old")
        await state.delete()

        await state.put(b"new")

        assert await state.get() == (3, b"new")

    async def test_a_purge_forgets_the_version(self, backend: Backend) -> None:
        """A purge forgets value and version: the next put is the first."""
        state = backend.state(STATES, "a")
        await state.put(b"old")
        await state.put(b"old")

        await state.purge()

        assert await state.version() == 0
        await state.put(b"new")
        assert await state.get() == (1, b"new")

    async def test_purging_an_empty_state_is_silent(self, backend: Backend) -> None:
        """Purging a state that was never put does nothing."""
        await backend.state(STATES, "a").purge()
        await backend.state("never_written", "a").purge()

        assert await backend.state(STATES, "a").version() == 0

    async def test_states_of_any_size_are_kept(self, backend: Backend) -> None:
        """A state of any size, of no bytes and of several MiB, comes back as it was (GAP-20)."""
        for size in SIZES:
            await backend.state(STATES, f"{size}").put(random_bytes(size))

        for size in SIZES:
            assert await backend.state(STATES, f"{size}").get() == (1, random_bytes(size)), size

    async def test_states_are_bytes_and_nothing_else(self, backend: Backend) -> None:
        """A state is never taken for text, a number or the end of a string (GAP-21)."""
        state = backend.state(STATES, "a")

        for version, value in enumerate(VALUES, 1):
            await state.put(value)

            assert await state.get() == (version, value)

    @pytest.mark.parametrize("max_bytes", [1 << 30, 10])
    async def test_many_states_are_those_of_each(self, backend: Backend, max_bytes: int) -> None:
        """States that are read together are what they are one by one, with a limit for all of their values."""
        names = [f"{number}" for number in range(40)]
        values = [bytes(number % 7) for number in range(40)]
        puts = [PutState(STATES, name, value) for name, value in zip(names, values, strict=True)]
        await backend.commit([WriteGroup((put,)) for put in puts[::2]])
        await backend.commit([WriteGroup((DeleteState(STATES, name),)) for name in names[::10]])
        found: list[tuple[int, bytes | None]] = []

        while len(found) < len(names):
            states = await backend.read_states(STATES, names[len(found) :], max_bytes=max_bytes)
            assert states
            assert sum(len(value or b"") for _, value in states) <= max_bytes
            found += states

        assert found == [await backend.read_state(STATES, name) for name in names]

    async def test_many_states_that_were_never_put_have_no_value(self, backend: Backend) -> None:
        """Nor does anything come of no prefixes."""
        assert await backend.read_states("never_written", ["a", "b"], max_bytes=10) == [(0, None)] * 2
        assert await backend.read_states(STATES, [], max_bytes=10) == []

    async def test_a_version_that_is_met_lets_the_write_pass(self, backend: Backend) -> None:
        """A write that expects the present version is applied, from 0 on and after a delete."""
        put = PutState(STATES, "a", b"")
        changes: tuple[Write, ...] = (put, put, DeleteState(STATES, "a"), put)

        groups = [WriteGroup((write,), (StateVersion(STATES, "a", seen),)) for seen, write in enumerate(changes)]

        assert await backend.commit(groups) == [None] * 4
        assert await backend.state(STATES, "a").version() == 4

    @pytest.mark.parametrize("seen", [0, 1, 3])
    async def test_a_version_that_is_not_met_is_a_conflict(self, backend: Backend, seen: int) -> None:
        """A write that expects another version is refused, with the actual one (ORL-02, ORL-03, TCK-D08)."""
        state = backend.state(STATES, "a")
        await state.put(b"first")
        await state.put(b"second")
        expectation = StateVersion(STATES, "a", seen)

        outcomes = await backend.commit([WriteGroup((PutState(STATES, "a", b"stale"),), (expectation,))])

        assert outcomes == [(expectation, 2)]
        assert await state.get() == (2, b"second")

    @pytest.mark.parametrize("seen", [1, 3])
    async def test_a_stale_delete_is_refused(self, backend: Backend, seen: int) -> None:
        """A delete that expects another version is refused and leaves the value (ORL-18, TCK-D07)."""
        state = backend.state(STATES, "a")
        await state.put(b"first")
        await state.put(b"second")
        expectation = StateVersion(STATES, "a", seen)

        outcomes = await backend.commit([WriteGroup((DeleteState(STATES, "a"),), (expectation,))])

        assert outcomes == [(expectation, 2)]
        assert await state.get() == (2, b"second")
