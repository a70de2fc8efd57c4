"""Keys as text: what is in a key file, or in a variable of the environment.

    # who has this reads what is sealed
    1: 3kR8…=        32 bytes in base64, of either alphabet
    2: 9f86d0…       or in 64 hexadecimal digits
    active: 1        optional: without it the greatest version is active

An error names the line and never shows it: what is on a wrong line may be a key all the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from perdure.errors import KeyringError
from perdure.security._key import EncryptedKey, problem_with

VERSION = re.compile(r"[1-9][0-9]{0,4}")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_BASE64 = re.compile(r"([0-9A-Za-z+/]{43}|[0-9A-Za-z_-]{43})=?")
FORM = "write VERSION: KEY, the key in base64 or hexadecimal"


class Found(NamedTuple):
    """The keys that a source has, unchecked but for their form; `active` is None where it does not say."""

    keys: Mapping[int, bytes | EncryptedKey]
    active: int | None = None


def problem_with_version(version: object) -> str | None:
    """Return why `version` is no version of a key, without showing what may be a secret; None if it is one."""
    if isinstance(version, bool) or not isinstance(version, int):
        return f"a version is a whole number, 1 to 65535, not a {type(version).__name__}"
    if 1 <= version <= 65535:
        return None
    shown = version if abs(version) < 2**31 else "so large a number"
    return f"a version is 1 to 65535, not {shown}"


def text_of(version: int, key: EncryptedKey) -> str:
    """Return the line of a key."""
    with key.reveal() as secret:
        return f"{version}: {base64.b64encode(secret).decode()}\n"


def keys_in(text: str, place: str, owner: str = "") -> Found | KeyringError:
    """Return the keys in a text, or what is wrong with it.

    `place` is where it is from; `owner` is the version, or `active`, that a line without a colon belongs to.
    """
    keys: dict[int, EncryptedKey] = {}
    active = None
    for line, name, value in _entries(text, owner):
        entry = _active(value) if name == "active" else _key(name, value)
        match entry:
            case str(wrong):
                return KeyringError(f"{place}, line {line}", wrong)
            case int() if active is not None:
                return KeyringError(f"{place}, line {line}", "a second `active`: remove one")
            case int():
                active = entry
            case EncryptedKey() if int(name) in keys:
                return KeyringError(f"{place}, line {line}", f"a second key {int(name)}: give each its own version")
            case EncryptedKey():
                keys[int(name)] = entry
    return Found(keys, active)


def _entries(text: str, owner: str) -> Iterator[tuple[int, str, str]]:
    for line, content in enumerate(text.splitlines(), 1):
        if entry := content.partition("#")[0].strip():
            name, colon, value = entry.partition(":")
            yield (line, name.strip(), value.strip()) if colon else (line, owner, name)


def _active(value: str) -> int | str:
    return int(value) if VERSION.fullmatch(value) else "no version after `active`: write active: VERSION"


def _key(name: str, value: str) -> EncryptedKey | str:
    """Return a key, or what is wrong with it."""
    if not VERSION.fullmatch(name):
        return f"no version, 1 to 65535, and colon at its start: {FORM}"
    secret = _decoded(value)
    if secret is None:
        return (
            f"{len(value)} characters after the colon that are no key of 32 bytes, "
            f"which are 44 of base64 or 64 hexadecimal digits"
        )
    return problem_with(secret) or EncryptedKey(secret)


def _decoded(value: str) -> bytes | None:
    if _HEX.fullmatch(value):
        return bytes.fromhex(value)
    return base64.urlsafe_b64decode(value.rstrip("=") + "=") if _BASE64.fullmatch(value) else None
