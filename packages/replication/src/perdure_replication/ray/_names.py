"""Types and functions by the names under which every process can import them."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from perdure_replication.errors import CannotCross


def name_of(thing: Any) -> str:
    """Return `MODULE:NAME`, under which `thing` is found. Raises `CannotCross` where another process cannot find it."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not name:
        raise CannotCross(repr(thing), "it has no name to import it by: pass a class or a function of a module")
    if module == "__main__":
        raise CannotCross(name, "it is in the program itself, which others cannot import: move it to a module")
    try:
        found = _walk(sys.modules[module], name)
    except (AttributeError, KeyError):
        found = None
    if found is not thing:
        raise CannotCross(f"{module}:{name}", "it is not found under this name: have it at the top of a module")
    return f"{module}:{name}"


def named(name: str) -> Any:
    """Return what has a name. Raises `CannotCross` where it cannot be imported here."""
    module, _, inside = name.partition(":")
    try:
        return _walk(import_module(module), inside)
    except (ImportError, AttributeError) as error:
        reason = f"a host cannot import it ({error}): have its module on every node, or ship it by Ray's runtime_env"
        raise CannotCross(name, reason) from error


def _walk(found: Any, names: str) -> Any:
    for name in names.split("."):
        found = getattr(found, name)
    return found
