"""What a past costs events of the current version, and what it costs older ones, beside msgspec on the same records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from benchmarks.recovery import HEADER
from benchmarks.report import Cell, Table
from benchmarks.rounds import Measure, in_turns, in_waves
from benchmarks.run import Run
from perdure import Event, Evolution
from perdure.journal import EventCodec

_RECORDS = 1_000
_OWNER = "Account"
_NO_PAST = "current version, no upcasters"

_NOTE = """Events a second, medians; microseconds of one. raw: msgspec decoding the same records, without checksum; for
older versions to dicts, which the same functions change and msgspec.convert makes events of.
/ no upcasters: the rate in proportion to that of the same type when it has no past."""


class First(Event, manifest="deposited", version=1):
    amount: int


class Second(Event, manifest="deposited", version=2):
    amount: int
    currency: str


class Deposited(Event, manifest="deposited", version=3):
    amount: int
    currency: str
    by: str


_TODAY = Deposited(1, "EUR", "unknown")


def with_currency(document: dict[str, Any]) -> dict[str, Any]:
    document["currency"] = "EUR"
    return document


def with_payer(document: dict[str, Any]) -> dict[str, Any]:
    document["by"] = "unknown"
    return document


_decode = msgspec.msgpack.Decoder(tuple[str, int, int, Deposited, None]).decode
_decode_plain = msgspec.msgpack.Decoder(tuple[str, int, int, dict[str, Any], None]).decode


async def tables(run: Run) -> AsyncIterator[Table]:
    contenders: dict[str, Measure] = {}
    cases = _cases()
    for what, (evolution, event, raw) in cases.items():
        record = EventCodec(_OWNER, [type(event)]).encode(event, 0)
        contenders[what] = _decodes(EventCodec(_OWNER, [Deposited], evolution=evolution).decode, record)
        contenders[_raw(what)] = _decodes(raw, record)
    rates = await in_turns(contenders, run.pick(101, 5), run.pick(0.02, 0.01))
    medians = {name: rate.median for name, rate in rates.items()}
    rows = [_row(what, medians, rates[what].best) for what in cases]
    columns = ("records", "perdure", "best", "raw", "/ raw", "us each", "/ no upcasters")
    yield Table("Decoding of events with a past", columns, rows, _NOTE)


def _cases() -> dict[str, tuple[Evolution, Event, Callable[[bytes], Deposited]]]:
    """Return what was stored, how it is read today, and how msgspec alone does it."""
    none, functions, defaults = Evolution(), Evolution(), Evolution()
    for evolution in (functions, defaults):
        evolution.upcast("deposited", 1)(with_currency)
    functions.upcast("deposited", 2)(with_payer)
    defaults.defaults("deposited", 2, by="unknown")
    return {
        _NO_PAST: (none, _TODAY, _typed),
        "current version, two upcasters": (functions, _TODAY, _typed),
        "one step": (functions, Second(1, "EUR"), in_steps(with_payer)),
        "one step, by defaults": (defaults, Second(1, "EUR"), in_steps(with_payer)),
        "two steps": (functions, First(1), in_steps(with_currency, with_payer)),
    }


def _row(what: str, medians: Mapping[str, float], best: float) -> tuple[Cell, ...]:
    own, raw = medians[what], medians[_raw(what)]
    return what, own, best, raw, own / raw, 1_000_000 / own, own / medians[_NO_PAST]


def _raw(what: str) -> str:
    return f"raw: {what}"


def _decodes(decode: Callable[[bytes], Any], record: bytes) -> Measure:
    """Return the measure of decoding a record again and again."""
    assert decode(record) == _TODAY

    async def wave() -> int:
        for _ in range(_RECORDS):
            decode(record)
        return _RECORDS

    return in_waves(wave)


def _typed(record: bytes) -> Deposited:
    return _decode(memoryview(record)[HEADER:])[3]


def in_steps(*steps: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[bytes], Deposited]:
    """Return the decoding that takes these steps."""

    def decode(record: bytes) -> Deposited:
        document = _decode_plain(memoryview(record)[HEADER:])[3]
        for step in steps:
            document = step(document)
        return msgspec.convert(document, Deposited)

    return decode
