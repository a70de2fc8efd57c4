"""What is replicated of an actor type: the same words on the nodes that publish and those that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, get_type_hints, overload

from perdure import ActorSystem, PersistentActor
from perdure_replication._messages import MAX_NAME
from perdure_replication._node import Node
from perdure_replication.errors import InvalidState
from perdure_replication.replicas._forms import Form, Plain, Projected
from perdure_replication.replicas._log import log_of
from perdure_replication.replicas._published import Published
from perdure_replication.replicas._source import LogSource
from perdure_replication.replicas._views import Replicas
from perdure_replication.topics import Pace, exchange_of, interest

S = TypeVar("S")
V = TypeVar("V")
D = TypeVar("D")

STATES = 10_000


class Replicated(Generic[S, V]):
    """Views of type `V` of the actors of one type with states of type `S`. Make it by `replicate`."""

    def __init__(self, actor_type: type[PersistentActor[S, Any]], form: Form[V], name: str) -> None:
        self.actor_type = actor_type
        self.name = name or actor_type.type_name
        self._form = form
        if len(self.name) > MAX_NAME:
            raise InvalidState(actor_type.__name__, f"{self.name[:40]!r} is no name for what is replicated of it")

    async def publish(self, node: Node, system: ActorSystem, *, poll: float = 1.0, states: int = STATES) -> Published:
        """Offer the actors in a system's store to all nodes, until the system or the node is closed.

        Any number of nodes may offer one store: whoever follows goes from one to the other where it was. What other
        processes commit is found when they publish, too, or else each `poll` seconds. The states of `states` actors are
        kept in memory, for those who ask for them. Reads the store's feed to its end first: all of it where none has
        published before, and then from near the end.

        Raises `InvalidNode` when the node offers it already, `NodeClosed`, `RuntimeError` for a system that is not
        entered, `StoreError`.
        """
        exchange = exchange_of(node)
        exchange.check()
        log = await log_of(system.backend)
        ledger = system.ledger(self.actor_type, poll)
        source = LogSource(ledger, self._form, log, states, exchange.record_bytes, node.clock)
        await source.catch_up()
        return Published(exchange, self.name, log.name, source)

    def follow(
        self, node: Node, *, keys: Iterable[str] = (), prefixes: Iterable[str] = ("",), pace: Pace | None = None
    ) -> Replicas[V]:
        """Hold views of the actors with these keys, and of those whose keys begin so; of all unless this says less.

        Raises `InvalidNode` when the node follows them already, `ValueError`, `NodeClosed`.
        """
        wanted = interest(keys, prefixes)
        return Replicas(node, self.name, self.actor_type, self._form, wanted, pace or Pace())


@overload
def replicate(actor_type: type[PersistentActor[S, Any]], *, name: str = "") -> Replicated[S, S]: ...


@overload
def replicate(
    actor_type: type[PersistentActor[S, Any]],
    *,
    project: Callable[[S], V],
    view: type[V] | None = None,
    name: str = "",
    version: int = 1,
) -> Replicated[S, V]: ...


@overload
def replicate(
    actor_type: type[PersistentActor[S, Any]],
    *,
    project: Callable[[S], V],
    project_event: Callable[[Any], D | None],
    apply_view: Callable[[V, D], V],
    view: type[V] | None = None,
    delta: type[D] | None = None,
    name: str = "",
    version: int = 1,
) -> Replicated[S, V]: ...


def replicate(
    actor_type: type[PersistentActor[Any, Any]],
    *,
    project: Callable[[Any], Any] | None = None,
    project_event: Callable[[Any], Any] | None = None,
    apply_view: Callable[[Any, Any], Any] | None = None,
    view: Any = None,
    delta: Any = None,
    name: str = "",
    version: int = 1,
) -> Replicated[Any, Any]:
    """Say what other nodes see of the actors of a type.

    Without `project`, their states, which they fold from their events: this is what a stand-by holds. With it, what it
    makes of a state, and nothing else leaves the node; it must depend on the state alone. A projection is sent whole,
    the latest, unless `project_event` and `apply_view` move it by deltas. The law that they must hold for each event:
    `apply_view(project(before), project_event(event)) == project(after)`, where None says that nothing visible
    changed; `perdure_replication.testing.check_projection` looks into it.

    Views and deltas are of types that msgspec encodes, those of the annotations of `project` and of the second
    parameter of `apply_view`, or `view` and `delta`. `version` is that of these types: views of another are not read.
    `name` is that of the actor type; another one for a second projection of it. Raises `InvalidState`.
    """
    if (project_event is None) != (apply_view is None) or (project is None and project_event is not None):
        raise InvalidState(actor_type.__name__, "deltas need all of project, project_event and apply_view")
    if project is None:
        return Replicated(actor_type, Plain(actor_type), name)
    view = view or _hint(actor_type, project, "return", "view")
    if apply_view is not None:
        delta = delta or _hint(actor_type, apply_view, 1, "delta")
    form: Form[Any] = Projected(actor_type, view, project, project_event, apply_view, delta, version)
    return Replicated(actor_type, form, name)


def _hint(actor_type: type[Any], function: Callable[..., Any], place: str | int, name: str) -> Any:
    """Return the type with which a function is annotated at a place."""
    try:
        hints = get_type_hints(function)
        if isinstance(place, int):
            place = [parameter for parameter in function.__code__.co_varnames if parameter != "self"][place]
        return hints[place]
    except (NameError, KeyError, IndexError, AttributeError, TypeError) as error:
        text = f"the type of its {name}s is not known: annotate {function!r}, or give {name}=…"
        raise InvalidState(actor_type.__name__, text) from error
