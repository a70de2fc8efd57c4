"""Actors that survive: their events are in a log, their state is the fold of it; or their state is stored whole."""

from perdure.persistence._actor import PersistentActor
from perdure.persistence._changes import Changed
from perdure.persistence._claims import Owner
from perdure.persistence._durable_state_actor import DurableStateActor
from perdure.persistence._following import Numbered
from perdure.persistence._health import Health, Load, StuckActor
from perdure.persistence._notices import RecoveryFellBack, SnapshotFailed, SnapshotSaved
from perdure.persistence._recovery import Recovery
from perdure.persistence._replay import Replayed, replay
from perdure.persistence._strategy import Full, Light, Strategy
from perdure.persistence._system import ActorSystem
from perdure.persistence._warm import WarmStates

__all__ = [
    "ActorSystem",
    "Changed",
    "DurableStateActor",
    "Full",
    "Health",
    "Light",
    "Load",
    "Numbered",
    "Owner",
    "PersistentActor",
    "Recovery",
    "RecoveryFellBack",
    "Replayed",
    "SnapshotFailed",
    "SnapshotSaved",
    "Strategy",
    "StuckActor",
    "WarmStates",
    "replay",
]
