"""Sealings that are broken, each in one way: `test_sealing_contract.py` runs this file by itself."""

# ruff: noqa: ARG005  what stands in the place of a method has its parameters

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest
import pytest_asyncio

from perdure.abc import Backend
from perdure.memory import MemoryBackend
from perdure.security import Seal
from perdure.security._ciphers import Ciphers
from perdure.security._names import Names
from perdure_testkit import Raw, SealingContract


class Broken(SealingContract):
    __test__ = False

    @pytest_asyncio.fixture
    async def backend(self) -> AsyncIterator[Backend]:
        backend = MemoryBackend()
        yield backend
        await backend.close()


def replacing(where: Any, name: str, make: Any) -> Any:
    """Return a fixture that has something else done in the place of a method."""

    @pytest.fixture(autouse=True)
    def broken(self: Any) -> Any:
        with patch.object(where, name, make(getattr(where, name))):
            yield

    return broken


class TestWhole(Broken):
    __test__ = True


class TestPlain(Broken):
    """Seals nothing, and accepts everything."""

    __test__ = True
    seals = replacing(Seal, "seal", lambda _: lambda self, number, record, previous=None: record)
    opens = replacing(Seal, "open", lambda _: lambda self, number, data: data)


class TestAcceptingPlaintext(Broken):
    """Seals, and reads what is not sealed."""

    __test__ = True

    @staticmethod
    def _opened(whole: Any) -> Any:
        return lambda self, number, data: whole(self, number, data) if data[1] & 2 else data

    opens = replacing(Seal, "open", _opened)


class TestPlaceless(Broken):
    """Binds no record to its place."""

    __test__ = True

    @staticmethod
    def _made(whole: Any) -> Any:
        def make(self: Seal, sealing: Any, collection: str, name: str, *rest: Any) -> None:
            whole(self, sealing, "somewhere", "somebody", *rest)
            self._name = name

        return make

    @staticmethod
    def _numberless(whole: Any) -> Any:
        return lambda self, number, *rest: whole(self, 1, *rest)

    places = replacing(Seal, "__init__", _made)
    seals = replacing(Seal, "seal", _numberless)
    opens = replacing(Seal, "open", _numberless)


def end_of(place: bytes) -> int:
    """Return where the place ends in the additional data, and the header begins."""
    identity = 1 + place[0]
    return identity + 2 + int.from_bytes(place[identity : identity + 2], "big") + 8


class TestUnheaded(Broken):
    """Believes what the header of a record says of its body."""

    __test__ = True

    @staticmethod
    def _made(whole: Any) -> Any:
        def make(*arguments: Any) -> Any:
            cipher = whole(*arguments)

            def of_place(method: Any) -> Any:
                return lambda nonce, data, place: method(nonce, data, place[: end_of(place)])

            return cipher._replace(encrypt=of_place(cipher.encrypt), decrypt=of_place(cipher.decrypt))

        return make

    ciphers = replacing(Ciphers, "make", _made)


class TestTellingNames(Broken):
    """Hides names behind a hash that everybody can compute."""

    __test__ = True

    @staticmethod
    def _stored(_: Any) -> Any:
        from hashlib import sha256

        return lambda self, name: sha256(name.encode()).hexdigest() if self.hidden else name

    names = replacing(Names, "stored", _stored)


class TestNotLooking(Broken):
    """Has a `raw` that returns nothing."""

    __test__ = True

    @pytest.fixture
    def raw(self) -> Raw:
        return list
