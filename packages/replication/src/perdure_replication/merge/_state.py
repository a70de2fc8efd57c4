"""A replicated state that several nodes write: each node's part is all that it knows."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar, cast, get_args

from perdure_replication._immutable import is_immutable
from perdure_replication._state import DeltaDistributedState
from perdure_replication.errors import InvalidState
from perdure_replication.merge._clock import Stamp
from perdure_replication.merge._knowledge import Knowledge
from perdure_replication.merge._mergeable import fact_type, read, sign, stamp_of
from perdure_replication.merge._packed import Packed, pack, unpack
from perdure_replication.merge._place import Place, Still

T = TypeVar("T")


class MergedState(DeltaDistributedState[Knowledge[T], Knowledge[T], Knowledge[T], Knowledge[T]], Generic[T]):
    """Inherit it with a kind of merged value: `class Likes(MergedState[AddWinsSet[str]])`. Use it by `merged`.

    State, view, change and delta are knowledge, a delta a fragment of it. To apply one, or to compose two, is to merge.
    """

    relay_after: ClassVar[float] = 30.0
    """Seconds after which a node passes on, at the latest, what it has from others: they may not reach everyone."""
    max_drift: ClassVar[float] = 60.0
    """By how many seconds a stamp may be ahead of the wall clock to be taken over."""

    kind: Any
    """The kind of the value with its arguments."""
    is_plain: bool
    """Whether its facts cannot be changed in place, all the way down."""

    def _take_types(self) -> None:
        super()._take_types()
        [self.kind] = get_args(self.state_type)
        try:
            fact: Any = fact_type(self.kind)
            self.is_plain = is_immutable(fact)
        except TypeError as error:
            raise InvalidState(type(self).__name__, str(error)) from error
        self._sign = sign(self.kind)
        self.state_type = self.view_type = self.delta_type = Packed[fact]

        if self.strategy.push != "active" and self.strategy.periodic is None:
            raise InvalidState(type(self).__name__, "its strategy pushes nothing, so that nobody would ever join it")

    def initial(self) -> Knowledge[T]:
        return Knowledge()

    def own(self, state: Knowledge[T]) -> Knowledge[T]:
        return state

    def project(self, state: Knowledge[T]) -> Knowledge[T]:
        return state

    def project_change(self, change: Knowledge[T]) -> Knowledge[T]:
        return change

    def apply(self, view: Knowledge[T], delta: Knowledge[T]) -> Knowledge[T]:
        return view.merge(delta)

    def compose(self, first: Knowledge[T], second: Knowledge[T]) -> Knowledge[T]:
        return first.merge(second)

    # What is sent and stored is packed

    def encode_view(self, view: Any, version: int) -> bytes:
        return super().encode_view(cast("Knowledge[T]", pack(view, self._sign)), version)

    def decode_view(self, data: bytes, version: int) -> Knowledge[T]:
        return unpack(cast("Packed[T]", super().decode_view(data, version)), self._sign)

    def encode_delta(self, delta: Any, version: int) -> bytes:
        return super().encode_delta(cast("Knowledge[T]", pack(delta, self._sign)), version)

    def decode_delta(self, data: bytes, version: int) -> Knowledge[T]:
        return unpack(cast("Packed[T]", super().decode_delta(data, version)), self._sign)

    def encode_state(self, state: Any) -> bytes:
        return super().encode_state(cast("Knowledge[T]", pack(state, self._sign)))

    def decode_state(self, data: bytes, version: int) -> Knowledge[T]:
        return unpack(cast("Packed[T]", super().decode_state(data, version)), self._sign)

    # What a program sees

    def read(self, known: Knowledge[T]) -> T:
        """Return the value that knowledge amounts to. It is only read."""
        return self.at(Still(known.flat()))

    def at(self, place: Place) -> T:
        """Return the value that the facts at a place amount to."""
        return cast("T", read(self.kind, place))

    def latest(self, known: Knowledge[T]) -> Stamp | None:
        """Return the greatest stamp that is in some knowledge, if there is one."""
        stamps = (stamp_of(self.kind, fact) for fact in known.flat().values())
        return max((stamp for stamp in stamps if stamp is not None), default=None)
