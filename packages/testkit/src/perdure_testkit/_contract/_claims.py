"""What a backend may leave unclaimed, and which rules then do not apply to it.

A backend is held to everything until its test class says otherwise: who forgets a claim sees a failure, never a rule
that was silently not run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Claim: TypeAlias = Literal["feed", "prefixes_together", "reopening", "loops", "openers", "processes", "kills"]
"""One of the keys of `CLAIMS`."""

CLAIMS: dict[Claim, str] = {
    "feed": "it has a feed",
    "prefixes_together": "one group may write to several prefixes, and the feed has one order over all of them",
    "reopening": "what it holds outlives the object",
    "loops": "it opens in one event loop after another",
    "openers": "several objects of one process may have a store open at once",
    "processes": "several processes may have a store open at once",
    "kills": "what was acknowledged outlives a killed process",
}
"""What each claim says."""

FIXTURES: dict[Claim, tuple[str, ...]] = {
    "reopening": ("url", "reopen"),
    "loops": ("url",),
    "openers": ("url", "another"),
    "processes": ("url",),
    "kills": ("url",),
}
"""Of these fixtures the class must have one, or the claim cannot be proved."""


def needs(*claims: Claim) -> Callable[[T], T]:
    """Mark a rule, or all rules of a class, as one that holds only where these claims are made."""

    def mark(rules: T) -> T:
        tests: list[Any] = [test for _, test in rules_of(rules)] if inspect.isclass(rules) else [rules]
        for test in tests:
            test.perdure_needs = (*claims, *claims_of(test))
        return rules

    return mark


def claims_of(rule: object) -> tuple[Claim, ...]:
    """Return the claims that a rule needs."""
    claims: tuple[Claim, ...] = getattr(rule, "perdure_needs", ())
    return claims


def rules_of(contract: type) -> Iterator[tuple[str, Any]]:
    """Yield the name and the function of each rule."""
    for name in dir(contract):
        if name.startswith("test_") and callable(rule := getattr(contract, name)):
            yield name, rule
