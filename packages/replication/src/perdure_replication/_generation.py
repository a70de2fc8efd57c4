"""How old a shard is: which life of its owner, and how many mutations."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

MAX_NUMBER = 2**53 - 1
"""The greatest incarnation and the greatest age: every language's floats hold them."""

Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]


class Generation(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """The incarnation of the owner and the age of its shard in it. Any age of a later incarnation is newer."""

    incarnation: Number
    age: Number

    def __str__(self) -> str:
        return f"v{self.incarnation}:{self.age}"
