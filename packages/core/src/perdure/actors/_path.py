"""Paths: where actors stand in the tree of their system."""

from __future__ import annotations


class ActorPath(str):
    """A path such as `/user/parent/child`; a string, with the operations of a place in a tree.

    Made from text: empty segments are dropped, so `""`, `"/"` and `"//"` are the top, and `/user/` is `/user`.
    """

    __slots__ = ()

    def __new__(cls, text: str = "/") -> ActorPath:
        if isinstance(text, ActorPath):
            return text
        return cls._of(_segments(text))

    @classmethod
    def _of(cls, segments: list[str]) -> ActorPath:
        return str.__new__(cls, "/" + "/".join(segments))

    def __truediv__(self, below: str) -> ActorPath:
        """Return the path of what is below; `below` may have several segments."""
        return ActorPath(f"{self}/{below}")

    @property
    def segments(self) -> list[str]:
        """The names from the top to here."""
        return _segments(self)

    @property
    def is_empty(self) -> bool:
        """True for the top, `/`."""
        return self == "/"

    @property
    def key(self) -> str:
        """The last segment, with the slashes and percent signs that were escaped in it; empty for the top."""
        return unescaped(self.rpartition("/")[2])

    @property
    def level(self) -> int:
        """How many segments there are; 0 for the top."""
        return len(self.segments)

    @property
    def parent(self) -> ActorPath:
        """The path above; the top is its own parent."""
        return self._of(self.segments[:-1])

    @property
    def root(self) -> ActorPath:
        """The first segment alone."""
        return self._of(self.segments[:1])

    def at_level(self, level: int) -> ActorPath:
        """Return the first so many segments; all of them when `level` is below 1 or beyond the end."""
        return self._of(self.segments[:level]) if level >= 1 else self

    @property
    def is_top_level(self) -> bool:
        """True for a path of one segment."""
        return self.level == 1

    def is_ancestor_of(self, other: str) -> bool:
        """Tell whether `other` is below this path, at any depth. No path is its own ancestor."""
        mine, theirs = self.segments, _segments(other)
        return len(mine) < len(theirs) and theirs[: len(mine)] == mine

    def is_descendant_of(self, other: str) -> bool:
        """Tell whether this path is below `other`, at any depth."""
        return ActorPath(other).is_ancestor_of(self)

    def is_parent_of(self, other: str) -> bool:
        """Tell whether `other` is directly below this path."""
        return self.is_ancestor_of(other) and len(_segments(other)) == self.level + 1

    def is_child_of(self, other: str) -> bool:
        """Tell whether this path is directly below `other`."""
        return ActorPath(other).is_parent_of(self)


def path_of(parent: str, key: str) -> ActorPath:
    """Return the path of a key directly below a path, with the slashes and percent signs in the key escaped."""
    key = key.replace("%", "%25").replace("/", "%2F")
    return str.__new__(ActorPath, f"{parent}/{key}")


def unescaped(text: str) -> str:
    """Return a segment, or several, as they were before they became part of a path."""
    return text.replace("%2F", "/").replace("%25", "%")


def _segments(text: str) -> list[str]:
    return [segment for segment in text.split("/") if segment]
