"""How much is done in one turn of the event loop, before it looks after others."""

from __future__ import annotations

from typing import Final

STRETCH: Final = 32
"""Turns of actors that begin, and writers that are told of their commit, in a row.

There are as many of the one as of the other, so that what is under way neither grows nor shrinks much between two looks
of the loop. Where more turns begin, as with 64, their objects come and go by enough to have the collector run again and
again: at 10,000 actors that took a third of the time.
"""
