"""Who a node is, as it says on each of its connections."""

from __future__ import annotations

import secrets

from perdure_replication._member import Member
from perdure_replication._messages import MAX_NAME
from perdure_replication.errors import InvalidTransport
from perdure_replication.tcp._address import Address
from perdure_replication.tcp._greeting import Greeting


class Identity:
    """One process as others are to know it. It has a name from `begin` on."""

    def __init__(self, place: Address, cluster: str, schema: str) -> None:
        """Raise `InvalidTransport` for a cluster or a schema that cannot be one."""
        if not 1 <= len(cluster) <= MAX_NAME or len(schema) > MAX_NAME:
            raise InvalidTransport(
                str(place), f"the name of a cluster has 1 to {MAX_NAME} characters, a schema at most as many"
            )
        self.name = ""
        self.incarnation = 0
        self.address = ""
        self.cluster = cluster
        self._schema = schema
        self._instance = b""
        self._attempts = 0

    def begin(self, local: Member, address: str) -> None:
        """Be this member, at this address, in a process that is told from all others."""
        self.name, self.incarnation, self.address = local.name, local.incarnation, address
        self._instance = secrets.token_bytes(16)

    def greeting(self, *, dials: bool) -> Greeting:
        """Return what is said on a new connection."""
        self._attempts += dials
        attempt = self._attempts if dials else 0
        return Greeting(self.cluster, self.name, self.incarnation, self._instance, attempt, self.address, self._schema)
