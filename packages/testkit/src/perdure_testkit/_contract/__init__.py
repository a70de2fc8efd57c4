"""The storage contract of `perdure.abc` as tests, one rule each."""

import pytest

from perdure_testkit._contract._cancellations import CancellationRules
from perdure_testkit._contract._claims import CLAIMS, Claim
from perdure_testkit._contract._collections import CollectionRules
from perdure_testkit._contract._commits import CommitRules
from perdure_testkit._contract._feeds import FeedRules
from perdure_testkit._contract._isolation import IsolationRules
from perdure_testkit._contract._kills import KillRules
from perdure_testkit._contract._leaks import LeakRules
from perdure_testkit._contract._lifetime import LifetimeRules
from perdure_testkit._contract._limits import LimitRules
from perdure_testkit._contract._model import ModelRules
from perdure_testkit._contract._openers import OpenerRules, ProcessRules
from perdure_testkit._contract._reference import ReferenceRules
from perdure_testkit._contract._states import StateRules
from perdure_testkit._contract._stores import Reopen, Stores

__all__ = ["CLAIMS", "BackendContract", "Claim", "Reopen"]


class BackendContract(
    CollectionRules,
    StateRules,
    CommitRules,
    IsolationRules,
    FeedRules,
    ReferenceRules,
    ModelRules,
    LifetimeRules,
    LimitRules,
    CancellationRules,
    LeakRules,
    OpenerRules,
    ProcessRules,
    KillRules,
    Stores,
):
    """The rules that every backend keeps: subclass it in a test module, with one fixture in the class.

    Either `url` returns the URL of a new and empty store, whose plug-in is installed; this proves all. Or `backend`,
    async, yields an open and empty `Backend` and closes it; `reopen`, only where data outlive the object, is then an
    async callable that closes the store and returns it opened again. `another` is one that opens it beside the first.

    A backend is held to every claim of `CLAIMS`, save those in `lacks`, with the reason why each is not made. What
    was not proved is said at the end of the run.
    """

    pytestmark = pytest.mark.asyncio
