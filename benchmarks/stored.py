"""Events that actors would have stored, stored without the actors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from benchmarks.account import Account, event_record
from perdure import open_backend
from perdure.abc import Put, WriteGroup

AT_ONCE = 1_000


def log_of(name: str) -> str:
    """Return the persistence id of an account."""
    return f"{Account.type_name}/{name}"


def events_of(
    names: Sequence[str], events: int, record: bytes | None = None, *, in_turn: bool = False
) -> Iterator[Put]:
    """Yield so many events of each account, one account after the other or all in turn; by default deposits of 1."""
    value = event_record(1) if record is None else record
    logs, numbers = [log_of(name) for name in names], range(1, events + 1)
    places = (
        ((log, number) for number in numbers for log in logs)
        if in_turn
        else ((log, number) for log in logs for number in numbers)
    )
    return (Put("events", log, number, value) for log, number in places)


async def store_all(store: str, puts: Iterable[Put], at_once: int = AT_ONCE) -> None:
    """Write all that comes, so much in a commit."""
    backend = await open_backend(store)
    left = iter(puts)
    while some := tuple(islice(left, at_once)):
        assert await backend.commit([WriteGroup(some)]) == [None]
    await backend.close()
