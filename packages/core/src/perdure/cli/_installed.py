"""The plug-ins that are installed, of all groups, and which of them work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from perdure._plugins import BACKENDS, PLUGINS, Door, PluginHooks, load
from perdure.errors import BrokenPlugin
from perdure.snapshots import SNAPSHOT_STORES


class Installed(NamedTuple):
    """A plug-in: what for, the scheme or the name under which it is asked for, and what it can do."""

    kind: str
    name: str
    distribution: str
    version: str
    hooks: list[str]
    """The hooks that it implements."""
    problem: str | None
    """Why it cannot be used."""


def installed_plugins() -> Iterator[Installed]:
    """Import and yield what is installed: backends, snapshot stores, and what else the group `perdure.plugins` has."""
    for door in (BACKENDS, SNAPSHOT_STORES):
        for _, entry in sorted(door.installed().items()):
            yield _installed(door.what, entry, partial(_hooks_of_store, door))
    for entry in sorted(entry_points(group=PLUGINS)):
        yield _installed("plug-in", entry, _hooks_of_plugin)


def _hooks_of_plugin(entry: EntryPoint) -> list[str]:
    """Return the hooks of what observes. Raises `BrokenPlugin`."""
    return _implemented(load(entry, PluginHooks, "plug-in"), PluginHooks)


def _hooks_of_store(door: Door, entry: EntryPoint) -> list[str]:
    """Return the hooks of what opens stores. Raises `BrokenPlugin`."""
    door.find(entry.name)
    hooks = _implemented(door.load(entry), door.hooks)
    if door.hook.__name__ not in hooks:
        raise BrokenPlugin(entry.name, "", f"{entry.value} implements no {door.hook.__name__} hook", door.what)
    return hooks


def _implemented(hook: Any, hooks: type[Any]) -> list[str]:
    return [name for name in vars(hooks) if name.startswith("perdure_") and getattr(hook, name).get_hookimpls()]


def _installed(kind: str, entry: EntryPoint, hooks_of: Callable[[EntryPoint], list[str]]) -> Installed:
    name, version = ("(unknown)", "") if entry.dist is None else (entry.dist.name, entry.dist.version)
    try:
        return Installed(kind, entry.name, name, version, hooks_of(entry), None)
    except BrokenPlugin as error:
        return Installed(kind, entry.name, name, version, [], error.reason)
