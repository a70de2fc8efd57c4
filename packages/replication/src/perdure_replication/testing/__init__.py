"""What helps to test replicated state: states, a clock, stores, a network that fails, whole clusters of engines."""

from perdure_replication.testing._clerk import start_clerk
from perdure_replication.testing._clock import TestClock
from perdure_replication.testing._membership_contract import MembershipContract
from perdure_replication.testing._network import Network
from perdure_replication.testing._party import Guest, NewPorts, NewTransport
from perdure_replication.testing._persistence import FailingPersistence, InMemoryPersistence
from perdure_replication.testing._projection import check_projection
from perdure_replication.testing._runtime import TestRuntime
from perdure_replication.testing._runtime_contract import ActorRuntimeContract
from perdure_replication.testing._simulation import SimulatedNode, Simulation
from perdure_replication.testing._states import Adjusted, Secretive, Shown, TestDeltaState, TestState, Tuned, Value
from perdure_replication.testing._transport_contract import TransportContract

__all__ = [
    "ActorRuntimeContract",
    "Adjusted",
    "FailingPersistence",
    "Guest",
    "InMemoryPersistence",
    "MembershipContract",
    "Network",
    "NewPorts",
    "NewTransport",
    "Secretive",
    "Shown",
    "SimulatedNode",
    "Simulation",
    "TestClock",
    "TestDeltaState",
    "TestRuntime",
    "TestState",
    "TransportContract",
    "Tuned",
    "Value",
    "check_projection",
    "start_clerk",
]
