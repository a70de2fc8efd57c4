"""The storage contract of `perdure.abc` as tests, one rule each."""

import pytest

from perdure_testkit._contract._collections import CollectionRules
from perdure_testkit._contract._commits import CommitRules
from perdure_testkit._contract._feeds import FeedRules
from perdure_testkit._contract._isolation import IsolationRules
from perdure_testkit._contract._lifetime import LifetimeRules, Reopen
from perdure_testkit._contract._reference import ReferenceRules
from perdure_testkit._contract._states import StateRules

__all__ = ["BackendContract", "Reopen"]


class BackendContract(
    CollectionRules, StateRules, CommitRules, IsolationRules, FeedRules, ReferenceRules, LifetimeRules
):
    """The rules that every backend keeps: subclass it in a test module, with two fixtures in the class.

    `backend`, async, yields an open and empty `Backend` and closes it. `reopen`, only where data outlive the object, is
    an async callable that closes the store and returns it opened again.
    """

    pytestmark = pytest.mark.asyncio
