"""Keyed states: many keys a node, each with its own value and generation, followed by key or prefix."""

from perdure_replication.keyed._keyed import Keyed, Keys
from perdure_replication.keyed._part import Held
from perdure_replication.keyed._state import KeyedState
from perdure_replication.keyed._stored import StoredKeyed
from perdure_replication.keyed._views import KeyedChange

__all__ = ["Held", "Keyed", "KeyedChange", "KeyedState", "Keys", "StoredKeyed"]
