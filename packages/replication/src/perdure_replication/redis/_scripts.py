"""The scripts that the broker runs: each compares and writes at once."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

_TEXTS = {
    name: files("perdure_replication.redis").joinpath(f"{name}.lua").read_bytes()
    for name in ("beat", "claim", "forget", "keep", "leave")
}


def script(name: str, keys: Sequence[bytes], *arguments: bytes) -> tuple[bytes, ...]:
    """Return the command that runs a script. It carries the text: a broker that has restarted has none."""
    return (b"EVAL", _TEXTS[name], b"%d" % len(keys), *keys, *arguments)
