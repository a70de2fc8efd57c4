"""What is done to a store as a whole: verify, anchor, compact, seal anew, forget a subject, count, measure."""

from perdure.upkeep._anchoring import take_anchor
from perdure.upkeep._compact import Compacted, Compaction, compact
from perdure.upkeep._forget import forget
from perdure.upkeep._measure import Measurement, measure
from perdure.upkeep._reseal import Resealing, reseal
from perdure.upkeep._stats import Amount, LogSize, Stats, stats
from perdure.upkeep._verify import Verification, verify

__all__ = [
    "Amount",
    "Compacted",
    "Compaction",
    "LogSize",
    "Measurement",
    "Resealing",
    "Stats",
    "Verification",
    "compact",
    "forget",
    "measure",
    "reseal",
    "stats",
    "take_anchor",
    "verify",
]
