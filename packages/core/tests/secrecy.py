"""Keys for tests, and how to see whether anything shows them."""

from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from hypothesis import strategies as st

import perdure
from perdure.errors import KeyringError
from perdure.security import EncryptedKey, Keyring

ONE, TWO, THREE = (bytes([n]) * 31 + b"\xff" for n in (0xA1, 0xB2, 0xC3))
_OURS = str(Path(perdure.__file__).parent)

secrets = st.binary(min_size=32, max_size=32).filter(any)
rings = st.dictionaries(st.integers(1, 65535), secrets, min_size=1, max_size=5).filter(
    lambda keys: len(set(keys.values())) == len(keys)
)


def shapes(secret: bytes) -> list[str]:
    """Return how a secret could look in a text."""
    encoded = [base64.b64encode(secret), base64.urlsafe_b64encode(secret)]
    return [text.decode().rstrip("=") for text in encoded] + [
        secret.hex(),
        repr(secret)[2:-1],
        repr(list(secret))[1:-1],
        str(int.from_bytes(secret, "big")),
    ]


def shows(text: str, *secrets: bytes) -> bool:
    """Return whether a text has a secret in it, or half of one."""
    folded = text.casefold()
    return any(
        len(half) >= 12 and half.casefold() in folded  # less may be there by chance
        for secret in secrets
        for shape in shapes(secret)
        for half in (shape[: len(shape) // 2], shape[len(shape) // 2 :])
    )


def told(error: BaseException) -> str:
    """Return all that a thorough reporter writes of an error: the variables of our frames, and what led to it."""
    texts = [str(error), repr(error), repr(error.args), repr(vars(error)), repr(pickle.dumps(str(error)))]
    seen: list[BaseException | None] = [error, error.__cause__, error.__context__]
    for each in seen:
        texts += _frames(each.__traceback__) if each else []
    return "\n".join(texts)


def _frames(trace: TracebackType | None) -> Iterable[str]:
    for frame, line in traceback.walk_tb(trace):
        if frame.f_code.co_filename.startswith(_OURS):
            yield from traceback.StackSummary.extract([(frame, line)], capture_locals=True).format()


def refused(make: Callable[[], Any], *secrets: bytes) -> str:
    """Return why something is refused, when nothing of the error shows the secrets."""
    with pytest.raises(KeyringError) as caught:
        make()
    assert not shows(told(caught.value), *secrets)
    return str(caught.value)


def secret_of(key: EncryptedKey) -> bytes:
    with key.reveal() as secret:
        return bytes(secret)


def derived(ring: Keyring) -> dict[int, bytes]:
    return {version: ring.derive(version, b"use") for version in ring.versions}


def line(version: object, secret: bytes) -> str:
    return f"{version}: {base64.b64encode(secret).decode()}\n"
