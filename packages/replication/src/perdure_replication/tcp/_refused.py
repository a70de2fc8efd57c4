"""Why a connection is not had any longer."""

from __future__ import annotations

from typing import Literal, TypeAlias

Reason: TypeAlias = Literal[
    "altered",
    "broken",
    "cluster",
    "crowded",
    "deadline",
    "garbage",
    "identity",
    "insecure",
    "itself",
    "own_name",
    "schema",
    "secret",
    "security",
    "silent",
    "taken",
    "tls",
    "too_large",
    "unreachable",
    "version",
]
"""What is counted.

`altered`: a frame was changed, repeated, moved or left out on its way. `broken`: the network cut it. `crowded`: too
many at once. `deadline`: it took too long. `garbage`: it does not speak this protocol. `identity`: it has no proof of
the name that it claims. `itself`: this node has called itself. `security`: it secures connections otherwise. `silent`:
nothing came for too long. `taken`: another living process has the name.
"""


class Refused(Exception):
    """A connection is to be closed, and this is why."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(reason, text)
        self.reason: Reason = reason
        self.text = text

    def __str__(self) -> str:
        return self.text
