"""The port of those who watch a system: what it tells them, and when."""

from perdure.telemetry._observer import Committed, Ended, Following, Observed, Observer

__all__ = ["Committed", "Ended", "Following", "Observed", "Observer"]
