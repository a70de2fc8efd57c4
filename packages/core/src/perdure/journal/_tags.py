"""What the metadata of a record says: its tags, by which events of many logs are found again, and whose it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MAX_TAGS = 64
"""So many tags an event may have."""

MAX_TAG = 255
"""So many characters a tag may have."""

_KEY = "tags"
_ID = "persistence_id"
_EPOCH = "epoch"
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, and halves of surrogate pairs


def metadata_of(tags: object, hidden_id: str | None = None, epoch: int = 0) -> dict[str, Any] | None:
    """Return the metadata of a record: its tags, in their order, each once, the id that a store hides, and the epoch.

    Returns None where there is none of them.

    Raises `ValueError` for what is no iterable of texts, for a tag that breaks a rule, and for too many of them.
    """
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise ValueError(f"tags returned an object of type {type(tags).__name__}: return a tuple of texts, () for none")
    distinct = list(dict.fromkeys(check_tag(tag) for tag in tags))
    if len(distinct) > MAX_TAGS:
        raise ValueError(f"{len(distinct)} tags are over the {MAX_TAGS} of an event: tag what you look events up by")
    metadata: dict[str, Any] = {_KEY: distinct} if distinct else {}
    if hidden_id is not None:
        metadata[_ID] = hidden_id
    if epoch:
        metadata[_EPOCH] = epoch
    return metadata or None


def tags_of(metadata: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the tags in a record's metadata. They are not checked: what is stored can be read."""
    return tuple(metadata.get(_KEY, ())) if metadata is not None else ()


def hidden_id_of(metadata: dict[str, Any] | None) -> str | None:
    """Return the persistence id in a record's metadata, which stands there where the store hides it."""
    return metadata.get(_ID) if metadata is not None else None


def epoch_of(metadata: dict[str, Any] | None) -> int:
    """Return the epoch by which a record's owner had claimed its log, 0 where it had not."""
    epoch = metadata.get(_EPOCH) if metadata is not None else None
    return epoch if isinstance(epoch, int) else 0


def check_tag(tag: object) -> str:
    """Return a tag that keeps the rules. Raises `ValueError`."""
    if not isinstance(tag, str):
        raise ValueError(f"a tag is no text, but of type {type(tag).__name__}")
    if not 1 <= len(tag) <= MAX_TAG:
        raise ValueError(f"a tag of {len(tag)} characters: they have 1 to {MAX_TAG}")
    if forbidden := _FORBIDDEN.search(tag):
        where = f"its character {forbidden.start() + 1} of {len(tag)}"
        raise ValueError(f"a tag has a control character or half of a surrogate pair: {where} is {forbidden[0]!a}")
    return tag
