"""What sealing costs a record, beside the library's own call, and a system, beside the same without."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.account import Account, Deposited
from benchmarks.asked import Asked
from benchmarks.report import Cell, Table
from benchmarks.rounds import Measure, in_turns, in_waves
from benchmarks.run import Run
from perdure import ActorSystem, Keyring, Sealing, open_backend, replay
from perdure.abc import Put, WriteGroup
from perdure.journal import EVENTS, EventCodec
from perdure.security import ORIGIN, Seal, SuiteName

_BYTES = 120
_RECORDS = 1_000
_SUITES: tuple[SuiteName, ...] = ("aes-256-gcm", "xchacha20-poly1305")
_ACTORS = (1, 100, 1_000, 10_000)

_RECORD_NOTE = f"""Microseconds of a record of {_BYTES} bytes, medians. library: encrypt or decrypt alone;
beyond: what is on top of that: a random nonce, the header, the additional data."""

_SYSTEM_NOTE = """Durable events a second on SQLite, asked and answered, medians.
/ plain: in proportion to those without sealing. Of 10,000 actors 8,192 have their ciphers at hand."""

_RECOVERY_NOTE = """Events a second of one actor's recovery, medians. / plain: in proportion to that without."""


async def tables(run: Run) -> AsyncIterator[Table]:
    yield await _records(run)
    yield await _systems(run)
    yield await _recoveries(run)


def sealings() -> dict[str, Sealing | None]:
    """Return what is compared."""
    keyring = Keyring({1: os.urandom(32)})
    return {
        "plain": None,
        "sealed": Sealing(keyring),
        "sealed, chained": Sealing(keyring, chain=True),
        "xchacha20": Sealing(keyring, suite="xchacha20-poly1305"),
    }


async def _records(run: Run) -> Table:
    contenders: dict[str, Measure] = {}
    for suite in _SUITES:
        for what, call in _calls(Sealing(Keyring({1: os.urandom(32)}), suite=suite)).items():
            contenders[f"{suite}: {what}"] = _repeats(call)
    rates = await in_turns(contenders, run.pick(51, 3), run.pick(0.02, 0.01))
    micros = {name: 1_000_000 / rate.median for name, rate in rates.items()}
    rows: list[tuple[Cell, ...]] = []
    for suite in _SUITES:
        for what, library in (("seal", "encrypt"), ("seal and chain", "encrypt"), ("open", "decrypt")):
            own, bare = micros[f"{suite}: {what}"], micros[f"{suite}: {library}"]
            rows.append((f"{suite}: {what}", own, bare, own - bare))
    return Table("Sealing of a record", ("what", "us", "library us", "beyond us"), rows, _RECORD_NOTE)


def _calls(sealing: Sealing) -> dict[str, Callable[[], Any]]:
    seal = Seal(sealing, EVENTS, "Account/alice")
    record = b"\1\0\0\0\0\0" + os.urandom(_BYTES - 6)
    sealed = seal.seal(1, record)
    cipher = sealing.suite.cipher(os.urandom(32))
    nonce, data, place = os.urandom(sealing.suite.nonce_bytes), record[6:], os.urandom(48)
    encrypted = cipher.encrypt(nonce, data, place)
    return {
        "seal": lambda: seal.seal(1, record),
        "seal and chain": lambda: seal.seal_chain(0, (record,), ORIGIN),
        "open": lambda: seal.open(1, sealed),
        "encrypt": lambda: cipher.encrypt(nonce, data, place),
        "decrypt": lambda: cipher.decrypt(nonce, encrypted, place),
    }


def _repeats(call: Callable[[], Any]) -> Measure:
    async def wave() -> int:
        for _ in range(_RECORDS):
            call()
        return _RECORDS

    return in_waves(wave)


async def _systems(run: Run) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for actors in run.pick(_ACTORS, _ACTORS[:2]):
        async with AsyncExitStack() as stack:
            contenders: dict[str, Measure] = {}
            for name, sealing in sealings().items():
                url = run.url(f"{name.replace(' ', '').replace(',', '-')}-{actors}")
                system = await stack.enter_async_context(ActorSystem(store=url, sealing=sealing))
                contenders[name] = await Asked.among(system, actors)
            rates = await in_turns(contenders, run.pick(9, 1), run.pick(0.6, 0.1))
        plain, *others = (rate.median for rate in rates.values())
        rows.append((actors, plain, *others, *(other / plain for other in others)))
    names = tuple(sealings())
    columns = ("actors", *names, *(f"{name} / plain" for name in names[1:]))
    return Table("Systems with and without sealing", columns, rows, _SYSTEM_NOTE)


async def _recoveries(run: Run) -> Table:
    events = run.pick(100_000, 2_000)
    contenders: dict[str, Measure] = {}
    async with AsyncExitStack() as stack:
        for name, sealing in sealings().items():
            contenders[name] = await _recovery(stack, run, name, sealing, events)
        rates = await in_turns(contenders, run.pick(5, 1), run.pick(0.6, 0.1))
    plain = rates["plain"].median
    rows: list[tuple[Cell, ...]] = [(name, rate.median, rate.median / plain) for name, rate in rates.items()]
    return Table("Recovery with and without sealing", ("what", "events/s", "/ plain"), rows, _RECOVERY_NOTE)


async def _recovery(stack: AsyncExitStack, run: Run, name: str, sealing: Sealing | None, events: int) -> Measure:
    """Return the measure of reading a log that was stored with a sealing."""
    backend = await open_backend(run.url(f"recovery-{name.replace(' ', '').replace(',', '-')}"))
    stack.push_async_callback(backend.close)
    records = _sealed([EventCodec("Account", [Deposited]).encode(Deposited(1), 0)] * events, sealing)
    for first in range(0, events, 1000):
        puts = tuple(
            Put(EVENTS, "Account/a", number, record)
            for number, record in enumerate(records[first : first + 1000], first + 1)
        )
        await backend.commit([WriteGroup(puts)])

    async def wave() -> int:
        return (await replay(backend, Account, "a", sealing=sealing)).sequence_number

    return in_waves(wave)


def _sealed(records: list[bytes], sealing: Sealing | None) -> list[bytes]:
    if sealing is None:
        return records
    seal = Seal(sealing, EVENTS, "Account/a")
    if sealing.chain:
        return seal.seal_chain(0, records, ORIGIN)[0]
    return [seal.seal(number, record) for number, record in enumerate(records, 1)]
