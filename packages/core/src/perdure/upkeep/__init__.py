"""What is done to a store as a whole: verify it, anchor its heads, seal it with a new key, forget a subject."""

from perdure.upkeep._anchoring import take_anchor
from perdure.upkeep._forget import forget
from perdure.upkeep._measure import Measurement, measure
from perdure.upkeep._reseal import Resealing, reseal
from perdure.upkeep._verify import Verification, verify

__all__ = ["Measurement", "Resealing", "Verification", "forget", "measure", "reseal", "take_anchor", "verify"]
