"""Finding and opening backends by URL, through entry points.

Group `perdure.backends`, entry-point name = URL scheme, value = a module with a `perdure_open` hook implementation.
A module is imported when its scheme is first asked for, so a broken plug-in harms nobody who does not name it.
The memory backend enters by the same door.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

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


async def open_backend(
    url: str, *, durability: Durability = "full", machine: MachineSpec | MachineProfile | str | None = None
) -> Backend:
    """Open the backend that serves the URL's scheme.

    Raises `UnknownBackend` naming what is installed and what to install, `BrokenPlugin` naming the distribution
    that fails, `CreateStoreError` when the store itself cannot be opened.
    """
    if durability not in ("full", "relaxed"):
        raise ValueError(f"durability is 'full' or 'relaxed', not {durability!r}")
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise CreateStoreError("open", f"{url!r} is no URL; write for example sqlite:///bank.db")
    entry = _entry(scheme)
    manager = _load(entry)
    spec = None if machine is None else MachineSpec.of(machine)
    opening: list[Awaitable[Backend]] = manager.hook.perdure_open(url=url, durability=durability, machine=spec)
    if not opening:
        raise BrokenPlugin(scheme, _distribution(entry), f"{entry.value} implements no perdure_open hook")
    return await opening[0]


def installed_backends() -> dict[str, EntryPoint]:
    """Return the entry points of the installed backends by scheme, without importing any."""
    return {entry.name: entry for entry in _entry_points()}


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # takes 16 ms, and only who opens a store needs it

    return entry_points(group=GROUP)


def _entry(scheme: str) -> EntryPoint:
    claims = {_distribution(entry): entry for entry in _entry_points() if entry.name == scheme}
    if len(claims) > 1:
        raise BrokenPlugin(scheme, " and ".join(sorted(claims)), "they claim the same scheme: remove one of them")
    if not claims:
        package = _OURS.get(scheme.partition("+")[0])
        hint = f"Run: pip install {package}" if package else "Is the scheme spelled right, and its plug-in installed?"
        raise UnknownBackend(scheme, tuple(sorted(installed_backends())), hint)
    [entry] = claims.values()
    return entry


def _load(entry: EntryPoint) -> pluggy.PluginManager:
    import pluggy  # takes 17 ms, and only who opens a store needs it

    manager = pluggy.PluginManager("perdure")
    pluggy.HookspecMarker("perdure")(BackendHooks.perdure_open)
    manager.add_hookspecs(BackendHooks)
    try:
        manager.register(entry.load(), entry.name)
        manager.check_pending()
    except PerdureError:
        raise
    except Exception as error:
        raise BrokenPlugin(entry.name, _distribution(entry), f"{type(error).__name__}: {error}") from error
    return manager


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "(unknown)"
