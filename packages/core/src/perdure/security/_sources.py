"""Where the keys of a ring come from, so that it can look there again.

A source returns what it found, or what is wrong with it, and raises nothing: its variables are secrets, and a traceback
would hold them.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable, iscoroutine
from typing import cast

from perdure.errors import KeyringError
from perdure.security._files import keys_at
from perdure.security._format import FORM, Found, keys_in
from perdure.security._key import EncryptedKey

Keys = Mapping[int, bytes | EncryptedKey]
Source = Callable[[], Found | KeyringError]
AsyncSource = Callable[[], Awaitable[Found | KeyringError]]


def file_source(path: str | os.PathLike[str]) -> Source:
    """Return a source that reads a file, or a folder, where it is now: a later change of directory does not matter."""
    place = os.path.abspath(os.fsdecode(path))
    return lambda: _some(keys_at(place), place)


def environment_source(name: str, forget: bool) -> Source:
    """Return a source that reads a variable, and removes it from `os.environ` when `forget` is true."""

    def load() -> Found | KeyringError:
        text = os.environ.pop(name, None) if forget else os.environ.get(name)
        if text is None:
            return KeyringError(name, f"the environment has no such variable: {FORM}, with commas between")
        return _some(keys_in(text.replace(",", "\n"), name), name)

    return load


def callable_source(load: Callable[[], Keys]) -> Source:
    """Return a source that calls `load`. What `load` raises passes."""

    def call() -> Found | KeyringError:
        keys: object = load()
        if iscoroutine(keys):
            keys.close()
        if isawaitable(keys):
            return KeyringError("the keyring", "its keys must be awaited: write `await Keyring.fetched(load)`")
        return Found(cast(Keys, keys))

    return call


def async_source(load: Callable[[], Awaitable[Keys]]) -> AsyncSource:
    """Return a source that awaits `load()`, if there is something to await. What `load` raises passes."""

    async def call() -> Found | KeyringError:
        keys: object = load()
        return Found(cast(Keys, await keys if isawaitable(keys) else keys))

    return call


def _some(found: Found | KeyringError, place: str) -> Found | KeyringError:
    if isinstance(found, KeyringError) or found.keys:
        return found
    return KeyringError(place, f"no key is in it: {FORM}")
