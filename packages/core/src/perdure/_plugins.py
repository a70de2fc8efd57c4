"""Finding and opening stores by URL, through entry points.

An entry point's name is a URL scheme, its value a module with an implementation of a hook: group `perdure.backends`
and `perdure_open` for backends, group `perdure.snapshots` and `perdure_open_snapshots` for what keeps snapshots alone.
A module is imported when its scheme is first asked for, so a broken plug-in harms nobody who does not name it. What is
built in enters by the same doors.

In the group `perdure.plugins` an entry point has any name, and its module any of the hooks of `PluginHooks`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure._fields import fields
from perdure.abc import Backend, Durability, MachineProfile, MachineSpec
from perdure.errors import BrokenPlugin, CreateStoreError, PerdureError, StoreMissing, UnknownBackend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import typer

    from perdure.actors import ActorSystem
    from perdure.telemetry import Observer

GROUP = "perdure.backends"
PLUGINS = "perdure.plugins"
_log = logging.getLogger("perdure.plugins")
_OURS = {"sqlite": "perdure-sqlite", "rocksdb": "perdure-rocksdb", "redis": "perdure-redis", "rediss": "perdure-redis"}


class BackendHooks:
    """What a plug-in module implements, marked with `pluggy.HookimplMarker("perdure")`."""

    def perdure_open(self, url: str, durability: Durability, machine: MachineSpec | None) -> Awaitable[Backend]:
        """Open the backend that `url` names; `machine` is None when the size of the machine should be detected.

        Raises `CreateStoreError` naming the place and the reason.
        """
        raise NotImplementedError

    def perdure_missing(self, url: str) -> Awaitable[str | None]:
        """Return the place, without secrets, at which to open `url` would make a store; None where there is one.

        Nothing is made. Raises `CreateStoreError` when it cannot be told. Who has no such hook is opened always.
        """
        raise NotImplementedError


class PluginHooks:
    """What a plug-in module of the group `perdure.plugins` may implement, marked as backends' hooks are."""

    def perdure_observe(self, system: ActorSystem) -> Observer | None:
        """Return what is to observe a system that is about to open, if anything.

        Called each time when one opens. What it raises is logged, and harms nobody.
        """
        raise NotImplementedError

    def perdure_commands(self, app: typer.Typer) -> None:
        """Add commands to the command `perdure`, with `@app.command()`; they may be `async`.

        Called when a command is wanted that perdure has not, or a list of all.
        """
        raise NotImplementedError


class Plugin(NamedTuple):
    """A plug-in that was imported."""

    distribution: str
    hook: Any
    """Has a function for each hook of `PluginHooks`, which returns a list of what the plug-in's returns, if any."""


class Door(NamedTuple):
    """A kind of store that plug-ins bring: its name, its group of entry points, the hook that opens one."""

    what: str
    group: str
    hooks: type[Any]
    hook: Callable[..., Any]

    def installed(self) -> dict[str, EntryPoint]:
        """Return the entry points by scheme, without importing any."""
        return {entry.name: entry for entry in _entry_points(self.group)}

    def open(self, entry: EntryPoint, **arguments: object) -> Awaitable[Any]:
        """Import a plug-in and begin to open a store. Raises `BrokenPlugin`, and what the plug-in raises."""
        hook = self.hook.__name__
        opening: list[Awaitable[Any]] = getattr(self.load(entry), hook)(**arguments)
        if not opening:
            reason = f"{entry.value} implements no {hook} hook"
            raise BrokenPlugin(entry.name, distribution(entry), reason, self.what)
        return opening[0]

    def find(self, scheme: str) -> EntryPoint | None:
        """Return the entry point that serves a scheme, or None. Raises `BrokenPlugin` where several claim it."""
        claims = {distribution(entry): entry for entry in _entry_points(self.group) if entry.name == scheme}
        if len(claims) > 1:
            both = " and ".join(sorted(claims))
            raise BrokenPlugin(scheme, both, "they claim the same scheme: remove one of them", self.what)
        return next(iter(claims.values()), None)

    def load(self, entry: EntryPoint) -> Any:
        """Import a plug-in and return its hooks. Raises `BrokenPlugin`."""
        return load(entry, self.hooks, self.what)


BACKENDS = Door("backend", GROUP, BackendHooks, BackendHooks.perdure_open)


async def open_backend(
    url: str,
    *,
    durability: Durability = "full",
    machine: MachineSpec | MachineProfile | str | None = None,
    create: bool = True,
) -> Backend:
    """Open the backend that serves the URL's scheme, and make a store where there is none, unless `create` is False.

    Raises `UnknownBackend` naming what is installed and what to install, `BrokenPlugin` naming the distribution
    that fails, `CreateStoreError` when the store itself cannot be opened, `StoreMissing` when there is none.
    """
    if durability not in ("full", "relaxed"):
        raise ValueError(f"durability is 'full' or 'relaxed', not {durability!r}")
    scheme = scheme_of(url, "sqlite:///bank.db")
    entry = BACKENDS.find(scheme)
    if entry is None:
        raise UnknownBackend(scheme, tuple(sorted(installed_backends())), hint_for(scheme))
    spec = None if machine is None else MachineSpec.of(machine)
    if not create:
        await _check_exists(entry, url)
    backend: Backend = await BACKENDS.open(entry, url=url, durability=durability, machine=spec)
    return backend


async def _check_exists(entry: EntryPoint, url: str) -> None:
    """Raise `StoreMissing` where a plug-in says that there is no store."""
    for missing in BACKENDS.load(entry).perdure_missing(url=url):
        if (place := await missing) is not None:
            raise StoreMissing(place)


def load_plugins() -> tuple[dict[str, Plugin], list[BrokenPlugin]]:
    """Import the plug-ins of the group `perdure.plugins`. Return them by name, and those that cannot be used."""
    found: dict[str, Plugin] = {}
    broken: list[BrokenPlugin] = []
    for entry in sorted(_entry_points(PLUGINS)):
        try:
            found[entry.name] = Plugin(distribution(entry), load(entry, PluginHooks, "plug-in"))
        except BrokenPlugin as error:
            broken.append(error)
    return found, broken


def installed_observers(system: ActorSystem) -> list[Observer]:
    """Return the observers that plug-ins have for a system. Plug-ins that cannot be used are logged, and left out."""
    observers: list[Observer] = []
    for name, plugin in _plugins_once().items():
        try:
            observers += plugin.hook.perdure_observe(system=system)
        except Exception as error:
            what = f"the plug-in {name} of {plugin.distribution}"
            _log.error("%s does not observe", what, exc_info=error, extra=fields(hook="perdure_observe", error=error))
    return observers


@cache
def _plugins_once() -> dict[str, Plugin]:
    """Return the plug-ins of this process, looked for once, and log those that cannot be used."""
    found, broken = load_plugins()
    for error in broken:
        _log.error("%s", error, extra=fields(error=error))
    return found


def load(entry: EntryPoint, hooks: type[Any], what: str) -> Any:
    """Import a plug-in and return its hooks, which are those that a class has. Raises `BrokenPlugin`."""
    import pluggy  # takes 17 ms, and only who opens a store needs it

    manager = pluggy.PluginManager("perdure")
    for name, hook in vars(hooks).items():
        if name.startswith("perdure_"):
            pluggy.HookspecMarker("perdure")(hook)
    manager.add_hookspecs(hooks)
    try:
        manager.register(entry.load(), entry.name)
        manager.check_pending()
    except PerdureError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BrokenPlugin(entry.name, distribution(entry), reason, what) from error
    return manager.hook


def installed_backends() -> dict[str, EntryPoint]:
    """Return the entry points of the installed backends by scheme, without importing any."""
    return BACKENDS.installed()


def scheme_of(url: str, example: str) -> str:
    """Return the scheme of a URL. Raises `CreateStoreError` with an example for what is none."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise CreateStoreError("open", f"{url!r} is no URL; write for example {example}")
    return scheme


def hint_for(scheme: str) -> str:
    """Return what to do about a scheme that nothing serves."""
    package = _OURS.get(scheme.partition("+")[0])
    return f"Run: pip install {package}" if package else "Is the scheme spelled right, and its plug-in installed?"


def distribution(entry: EntryPoint) -> str:
    """Return the name and version of what an entry point was installed with."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "(unknown)"


def _entry_points(group: str) -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # takes 16 ms, and only who opens a store needs it

    return entry_points(group=group)
