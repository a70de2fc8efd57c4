"""What is called how in the broker."""

from __future__ import annotations

from urllib.parse import quote


class Keys:
    """The keys and channels of one cluster. All have its name in braces, so that one slot of a server has them all."""

    def __init__(self, cluster: str) -> None:
        self._prefix = f"perdure-replication:{{{_escaped(cluster)}}}"
        self.everyone = self._named("to-all")
        """The channel of what is meant for all."""
        self.beats = self._named("beats")
        """The channel on which nodes say that they are there."""
        self.claims = self._named("claims")
        """A hash: the greatest incarnation that each node was given."""
        self.keepers = self._named("keepers")
        """A set: the nodes of which snapshots are kept."""

    def inbox(self, node: str) -> bytes:
        """Return the channel of what is meant for one node."""
        return self._named("to", node)

    def beat(self, node: str) -> bytes:
        """Return the key of a node's last beat, which expires."""
        return self._named("beat", node)

    def kept(self, node: str) -> bytes:
        """Return the key of the hash with a node's last snapshots."""
        return self._named("kept", node)

    def _named(self, *parts: str) -> bytes:
        return ":".join((self._prefix, *map(_escaped, parts))).encode()


def _escaped(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")
