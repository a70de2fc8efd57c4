"""Actor types that are named on a command line."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from perdure.cli._use import WrongUse
from perdure.persistence import DurableStateActor, PersistentActor

_EXAMPLE = "write for example bank:Account"


def actor_type(name: str) -> type[Any]:
    """Return the actor class that `MODULE:CLASS` names; modules in the working folder are found, as by `python -m`.

    Raises `WrongUse` saying what is wrong.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise WrongUse(f"{name!r} names no actor type: {_EXAMPLE}")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise WrongUse(f"cannot import {module_name}: {type(error).__name__}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise WrongUse(f"{module_name} has no {path}: {_EXAMPLE}")
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, PersistentActor | DurableStateActor)):
        raise WrongUse(f"{name} is {found!r}, and no PersistentActor or DurableStateActor class")
    return found


def persistent_actor_type(name: str) -> type[PersistentActor[Any, Any]]:
    """Return the class of an actor with events that `MODULE:CLASS` names. Raises as `actor_type` does."""
    found = actor_type(name)
    if not issubclass(found, PersistentActor):
        raise WrongUse(f"{name} has no events: it is a DurableStateActor class")
    return found
