"""How events and states that were stored once are read today: versions, upcasters, renames."""

from perdure.evolution._document import Document
from perdure.evolution._evolution import Evolution
from perdure.evolution._lineage import Lineage

__all__ = ["Document", "Evolution", "Lineage"]
