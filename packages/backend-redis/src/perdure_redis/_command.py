"""Commands as the bytes that a server reads, and the scripts among them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from importlib.resources import files

import msgspec


class Script(msgspec.Struct, frozen=True):
    """A Lua script, and the name under which a server has it once it was loaded."""

    text: bytes
    sha: bytes

    @classmethod
    def named(cls, *names: str) -> Script:
        """Return the script that stands in these files of the package, one after the other."""
        folder = files("perdure_redis")
        text = b"\n".join(folder.joinpath(f"{name}.lua").read_bytes() for name in names)
        return cls(text, sha1(text, usedforsecurity=False).hexdigest().encode())

    def call(self, keys: Iterable[bytes], *arguments: bytes) -> bytes:
        """Return the command that runs it."""
        names = list(keys)
        return packed(b"EVALSHA", self.sha, b"%d" % len(names), *names, *arguments)


def packed(*arguments: bytes) -> bytes:
    """Return a command in the Redis serialization protocol: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return b"".join(parts)


OPEN = Script.named("open")
COMMIT = Script.named("log", "commit")
PAGE = Script.named("log", "page")
FEED = Script.named("log", "feed")
LOAD = b"".join(packed(b"SCRIPT", b"LOAD", script.text) for script in (OPEN, COMMIT, PAGE, FEED))
LOADED = 4
"""Replies to `LOAD`."""
