"""What a run has proved of a backend, and what it has not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap

from perdure_testkit._contract import CLAIMS, CONTRACTS
from perdure_testkit._contract._claims import rules_of

_SHOWN = 20


class Proof:
    """The rules that one test class has run; nothing is proved that has not passed in all of its cases."""

    def __init__(self, contract: str, place: str) -> None:
        self.place = place
        self.rules = {name for name, _ in rules_of(CONTRACTS[contract])}
        self.passed: set[str] = set()
        self.failed: set[str] = set()
        self.missed: set[str] = set()
        self.unclaimed: dict[tuple[str, str], set[str]] = {}

    def add(self, rule: str, outcome: str, when: str | None, claim: str = "", reason: str = "") -> None:
        """Take the report of a phase of one case of a rule."""
        if outcome == "failed":
            self.failed.add(rule)
        elif claim:
            self.unclaimed.setdefault((claim, reason), set()).add(rule)
        elif outcome == "skipped":
            self.missed.add(rule)
        elif when == "call":
            self.passed.add(rule)

    def left_out(self, rule: str) -> None:
        """Take that a case of a rule was deselected."""
        self.missed.add(rule)

    @property
    def proved(self) -> set[str]:
        return (self.passed & self.rules) - self.failed - self.missed - self._not_claimed

    @property
    def not_run(self) -> set[str]:
        return self.rules - self.proved - self.failed - self._not_claimed

    @property
    def _not_claimed(self) -> set[str]:
        return {rule for rules in self.unclaimed.values() for rule in rules}

    def lines(self) -> Iterator[str]:
        """Yield what there is to say; `complete` is said of nothing but all rules."""
        verdict = "FAILED" if self.failed else "complete" if self.proved == self.rules else "partial"
        yield f"{self.place}: {verdict}: {len(self.proved)} of {len(self.rules)} rules proved"
        for (claim, reason), rules in sorted(self.unclaimed.items()):
            says = CLAIMS.get(claim, claim)  # type: ignore[call-overload]
            yield f"  not claimed: {claim} (that {says}), because {reason}; not run for it:"
            yield from _listed(rules)
        if self.not_run:
            yield "  not run (skipped, deselected or removed):"
            yield from _listed(self.not_run)
        if self.failed:
            yield "  failed:"
            yield from _listed(self.failed, len(self.failed))


def _listed(rules: Iterable[str], shown: int = _SHOWN) -> list[str]:
    names = sorted(rules)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return wrap(", ".join(names[:shown]) + more, 118, initial_indent="    ", subsequent_indent="    ")
