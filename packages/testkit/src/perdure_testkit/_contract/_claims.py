"""What a backend may leave unclaimed, and which rules then do not apply to it.

A backend is held to everything until its test class says otherwise: who forgets a claim sees a failure, never a rule
that was silently not run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import pytest

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


class Claiming:
    """A class of rules that are held, each, to what its test class claims."""

    lacks: ClassVar[Mapping[Claim, str]] = {}
    """The claims that are not made, and why."""

    contract: ClassVar[str]
    """What the rules are those of: a key of `CONTRACTS`."""

    _given: ClassVar[type]
    """The class with the fixtures that a test class overrides."""

    @pytest.fixture(autouse=True)
    def _only_what_is_claimed(self, request: pytest.FixtureRequest) -> None:
        """Note for the summary which rule this is; skip it where a claim that it needs is not made."""
        note = request.node.user_properties.append
        place = f"{type(self).__module__}.{type(self).__qualname__}"
        note(("perdure_rule", f"{self.contract}|{place}|{request.node.originalname}"))
        for claim in claims_of(request.function):
            if (reason := self._unclaimed(claim)) is not None:
                note(("perdure_lacks", f"{claim}|{reason}"))
                pytest.skip(f"not claimed: {claim}: {reason}")

    def _unclaimed(self, claim: Claim) -> str | None:
        """Return why a claim is not made or cannot be proved; None where it is to be."""
        if claim in self.lacks:
            return self.lacks[claim]
        fixtures = [fixture for fixture in FIXTURES.get(claim, ()) if hasattr(self._given, fixture)]
        if not fixtures or any(self._has(fixture) for fixture in fixtures):
            return None
        return f"the class has no fixture {' or '.join(f'`{fixture}`' for fixture in fixtures)}"

    def _has(self, fixture: str) -> bool:
        return inspect.getattr_static(type(self), fixture) is not inspect.getattr_static(self._given, fixture)
