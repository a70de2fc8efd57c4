"""How to make an actor's instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from perdure.actors._actor import Actor
from perdure.actors._supervision import Supervision


class Props:
    """An actor type with the arguments of its constructor, and how its actors are known and supervised.

    A `virtual` actor is reached by `ref`: messages bring it to life, idleness puts it away. `identity`, if any, is a
    name of its own that the floor above gives it.
    """

    __slots__ = ("actor_type", "arguments", "identity", "keywords", "supervision", "virtual")

    _NONE: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        actor_type: type[Actor],
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] = _NONE,
        *,
        supervision: Supervision | None = None,
        virtual: bool = False,
        identity: str | None = None,
    ) -> None:
        self.actor_type = actor_type
        self.arguments = arguments
        self.keywords = keywords
        self.supervision = supervision or actor_type.supervision
        self.virtual = virtual
        self.identity = identity

    def create(self) -> Actor:
        return self.actor_type(*self.arguments, **self.keywords)
