"""Random bytes for nonces, asked of the kernel for each record.

Bytes that were drawn ahead would be faster still, and would come twice where a machine is restored twice from one
picture of its memory: two records under one nonce can be read. The kernel knows when that happens, a program does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def _source() -> Callable[[int], bytes]:
    """Return the call that keeps the interpreter lock, where there is one that works.

    `os.urandom` lets go of the lock for half a microsecond, and a loop that does so at each event has to win it back
    from the threads of its store.
    """
    try:
        os.getrandom(1)
    except (AttributeError, OSError):  # another system than Linux, or a sandbox that refuses it
        return os.urandom
    return os.getrandom


random_bytes = _source()
"""Returns so many random bytes, at most 256: so few always come at once."""
