"""What a node holds of one state, of all nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from perdure_replication._entry import Entry


class Held:
    """An entry for each peer of which something was heard, and the views of all, the node's own among them."""

    __slots__ = ("_entries", "_shown", "views")

    def __init__(self, name: str, view: Any) -> None:
        """Begin with the node's own view."""
        self._entries: dict[str, Entry] = {}
        self._shown = {name: view}
        self.views: Mapping[str, Any] = MappingProxyType(self._shown)
        """By node, and as they are whenever it is looked at."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, node: str) -> Entry | None:
        return self._entries.get(node)

    def entry(self, node: str) -> Entry:
        """Return the entry of a peer, an empty one where there was none."""
        entry = self._entries.get(node)
        if entry is None:
            entry = self._entries[node] = Entry(node)
        return entry

    def show(self, node: str, view: Any) -> None:
        """Have a view among the `views`."""
        self._shown[node] = view

    def hide(self, node: str) -> None:
        """Have none of a peer."""
        self._shown.pop(node, None)

    def remove(self, node: str) -> None:
        """Forget that anything was heard of a peer."""
        self._entries.pop(node, None)
        self.hide(node)
