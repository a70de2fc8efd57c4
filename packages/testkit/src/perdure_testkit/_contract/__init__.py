"""The contracts of `perdure.abc` and of `perdure.snapshots`, and what stands on them, as tests, one rule each."""

import pytest

from perdure_testkit._contract._actor_lives import ActorLifeRules
from perdure_testkit._contract._actor_rivals import ActorKillRules, ActorRivalRules
from perdure_testkit._contract._actor_stores import ActorStores
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
from perdure_testkit._contract._replacements import ReplacementRules
from perdure_testkit._contract._sealed import Raw, SealedStores
from perdure_testkit._contract._secrecy import SecrecyRules
from perdure_testkit._contract._snapshot_concurrency import SnapshotConcurrencyRules
from perdure_testkit._contract._snapshot_isolation import SnapshotIsolationRules
from perdure_testkit._contract._snapshot_lifetime import SnapshotLifetimeRules
from perdure_testkit._contract._snapshot_saves import SnapshotSaveRules
from perdure_testkit._contract._snapshot_stores import ReopenSnapshots, SnapshotStores
from perdure_testkit._contract._states import StateRules
from perdure_testkit._contract._stores import Reopen, Stores
from perdure_testkit._contract._tampering import TamperingRules

__all__ = [
    "CLAIMS",
    "CONTRACTS",
    "ActorContract",
    "BackendContract",
    "Claim",
    "Raw",
    "Reopen",
    "ReopenSnapshots",
    "SealingContract",
    "SnapshotContract",
]


class BackendContract(
    CollectionRules,
    StateRules,
    CommitRules,
    ReplacementRules,
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


class ActorContract(ActorLifeRules, ActorRivalRules, ActorKillRules, ActorStores):
    """What actors promise on a backend: subclass it in a test module, with one fixture in the class.

    Either `url` or `backend`, and `lacks`, as of `BackendContract`. Logs of every strategy, and durable states, go
    through restarts, cancellation, rivals in the same process and in others, and `kill -9`.
    """

    pytestmark = pytest.mark.asyncio


class SnapshotContract(
    SnapshotSaveRules,
    SnapshotIsolationRules,
    SnapshotConcurrencyRules,
    SnapshotLifetimeRules,
    SnapshotStores,
):
    """The rules that every snapshot store keeps: subclass it in a test module, with one fixture in the class.

    `snapshots`, async, yields an open and empty `SnapshotStore` and closes it. `reopen`, where data outlive the object,
    is an async callable that closes the store and returns it opened again; without it, or with a reason in `lacks`,
    what needs it is not proved, and that is said at the end of the run.
    """

    pytestmark = pytest.mark.asyncio


class SealingContract(SecrecyRules, TamperingRules, SealedStores):
    """What sealing promises of a backend's stores: subclass it in a test module, with one fixture in the class.

    Either `url` or `backend`, as of `BackendContract`. What the actors store is then looked for in what the backend
    gives back. With a fixture `raw`, which returns a callable that returns all bytes that the store has put anywhere
    (the contents of its files, the keys and values of its server), it is looked for in these, too: so this shows what
    a thief of the disk sees.
    """

    pytestmark = pytest.mark.asyncio


CONTRACTS: dict[str, type[ActorContract | BackendContract | SealingContract | SnapshotContract]] = {
    contract.contract: contract for contract in (ActorContract, BackendContract, SealingContract, SnapshotContract)
}
"""The contracts by the name that their rules are noted under."""
