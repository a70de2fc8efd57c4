"""Which events are meant, by their tags.

Most events of a scan are not. So before a record is decoded, its bytes are searched for the tags: they stand in it as
they are in MessagePack, and nearly so in JSON. A hit may be an accident, so the tags of what is left are compared. A
miss may be damage: what is passed over for it has a right checksum, and is not sealed.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from perdure.journal._record import is_intact
from perdure.journal._tags import check_tag


class Tags(msgspec.Struct, frozen=True, kw_only=True):
    """Events that have all of some tags, any of others, and none of a third kind.

    What is left out is no constraint, except that `any_of=()`, one tag out of none, is never fulfilled. Raises
    `ValueError` for what cannot be a tag.
    """

    all_of: Collection[str] = ()
    any_of: Collection[str] | None = None
    none_of: Collection[str] = ()

    def __post_init__(self) -> None:
        for tags in (self.all_of, self.any_of or (), self.none_of):
            if isinstance(tags, str):
                raise TypeError(f"give a tuple of tags, ({tags!r},), not the text {tags!r}")
            for tag in tags:
                check_tag(tag)

    def match(self, tags: Collection[str]) -> bool:
        """Tell whether an event with these tags is meant."""
        for tag in self.all_of:
            if tag not in tags:
                return False
        for tag in self.none_of:
            if tag in tags:
                return False
        return self.any_of is None or any(tag in tags for tag in self.any_of)


class Sieve:
    """Tells of a record's bytes whether its event may be one of those meant."""

    def __init__(self, tags: Tags) -> None:
        self._needed = [_forms(tag) for tag in tags.all_of]
        """Of each of these, one must be in the bytes."""
        if tags.any_of is not None:
            self._needed.append([form for tag in tags.any_of for form in _forms(tag)])

    def may_match(self, record: bytes) -> bool:
        """Return False only for a sound record that lacks a tag which it would need."""
        for forms in self._needed:
            for form in forms:
                if form in record:
                    break
            else:
                return not is_intact(record)
        return True


def _forms(tag: str) -> list[bytes]:
    """Return the bytes of a tag in MessagePack and in JSON, which differ by quotes and backslashes alone."""
    return list({tag.encode(), msgspec.json.encode(tag)[1:-1]})
