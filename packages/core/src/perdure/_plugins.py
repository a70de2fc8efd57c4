"""Finding and opening stores by URL, through entry points.

An entry point's name is a URL scheme, its value a module with an implementation of a hook: group `perdure.backends`
and `perdure_open` for backends, group `perdure.snapshots` and `perdure_open_snapshots` for what keeps snapshots alone.
A module is imported when its scheme is first asked for, so a broken plug-in harms nobody who does not name it. What is
built in enters by the same doors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.abc import Backend, Durability, MachineProfile, MachineSpec
from perdure.errors import BrokenPlugin, CreateStoreError, PerdureError, UnknownBackend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pluggy

GROUP = "perdure.backends"
_OURS = {"sqlite": "perdure-sqlite", "rocksdb": "perdure-rocksdb", "redis": "perdure-redis", "rediss": "perdure-redis"}


class BackendHooks:
    """What a plug-in module implements, marked with `pluggy.HookimplMarker("perdure")`."""

    def perdure_open(self, url: str, durability: Durability, machine: MachineSpec | None) -> Awaitable[Backend]:
        """Open the backend that `url` names; `machine` is None when the size of the machine should be detected.

        Raises `CreateStoreError` naming the place and the reason.
        """
        raise NotImplementedError


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
        opening: list[Awaitable[Any]] = getattr(self._load(entry).hook, hook)(**arguments)
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

    def _load(self, entry: EntryPoint) -> pluggy.PluginManager:
        import pluggy  # takes 17 ms, and only who opens a store needs it

        manager = pluggy.PluginManager("perdure")
        pluggy.HookspecMarker("perdure")(self.hook)
        manager.add_hookspecs(self.hooks)
        try:
            manager.register(entry.load(), entry.name)
            manager.check_pending()
        except PerdureError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPlugin(entry.name, distribution(entry), reason, self.what) from error
        return manager


BACKENDS = Door("backend", GROUP, BackendHooks, BackendHooks.perdure_open)


async def open_backend(
    url: str, *, durability: Durability = "full", machine: MachineSpec | MachineProfile | str | None = None
) -> Backend:
    """Open the backend that serves the URL's scheme.

    Raises `UnknownBackend` naming what is installed and what to install, `BrokenPlugin` naming the distribution
    that fails, `CreateStoreError` when the store itself cannot be opened.
    """
    if durability not in ("full", "relaxed"):
        raise ValueError(f"durability is 'full' or 'relaxed', not {durability!r}")
    scheme = scheme_of(url, "sqlite:///bank.db")
    entry = BACKENDS.find(scheme)
    if entry is None:
        raise UnknownBackend(scheme, tuple(sorted(installed_backends())), hint_for(scheme))
    spec = None if machine is None else MachineSpec.of(machine)
    backend: Backend = await BACKENDS.open(entry, url=url, durability=durability, machine=spec)
    return backend


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
