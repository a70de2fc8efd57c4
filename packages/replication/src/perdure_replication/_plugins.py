"""Plug-ins by name, through entry points. A module is imported when its name is first asked for."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from perdure.errors import BrokenPlugin, PerdureError, UnknownBackend


def load_plugin(group: str, name: str, what: str, called: str) -> object:
    """Return what an entry point names. Raises `UnknownBackend`, and `BrokenPlugin` for one that fails, and for two."""
    return _loaded(_found(group, name, what, called), what)


def _found(group: str, name: str, what: str, called: str) -> EntryPoint:
    claims = {_distribution(entry): entry for entry in entry_points(group=group, name=name)}
    if len(claims) > 1:
        both = " and ".join(sorted(claims))
        raise BrokenPlugin(name, both, f"they claim the same {called}: remove one of them", what)
    for entry in claims.values():
        return entry
    installed = tuple(sorted(entry.name for entry in entry_points(group=group)))
    raise UnknownBackend(name, installed, f"Is the {called} spelled right, and its plug-in installed?", what)


def _loaded(entry: EntryPoint, what: str) -> object:
    try:
        return entry.load()
    except PerdureError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise BrokenPlugin(entry.name, _distribution(entry), reason, what) from error


def _distribution(entry: EntryPoint) -> str:
    """Return the name and version of what an entry point was installed with."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "(unknown)"
