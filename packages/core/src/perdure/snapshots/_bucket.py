"""Objects by name in a store of `obstore`, each written whole or not at all.

A put creates an object or, when there is another one, replaces that very one, by its e-tag; whoever came between sends
it round again. Stores that cannot replace on a condition replace without: all put the same kind of fact there.

The blocking calls of `obstore` are made in threads of ours. Its asynchronous ones end in threads of its own, which
touch Python objects a little after the call is over: an interpreter that ends in that moment aborts.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

from perdure.errors import PerdureError, StoreError, StoreUnavailable

_UNAVAILABLE = re.compile(r"HTTP error|error sending request|timed out|status code: (?:5\d\d|429|408)")
_SECRET = re.compile(r"(?<=//)[^/@\s]*@|\?[^\s'\"]+")


InThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a job in a thread and returns its result."""


class ObjectStore(Protocol):
    """What is used of a store of `obstore`."""

    def put(self, path: str, file: bytes, *, mode: Any = None, use_multipart: bool | None = None) -> Any:
        """Write an object."""

    def get(self, path: str) -> Any:
        """Begin to read an object."""

    def list(self, prefix: str | None = None, *, chunk_size: int = 50) -> Any:
        """List objects in chunks."""

    def delete(self, paths: Any) -> None:
        """Remove objects."""


class Found(NamedTuple):
    """The bytes of an object, and the condition on which it is replaced."""

    body: bytes
    unchanged: dict[str, str]


class Bucket:
    """The objects under a prefix. Raises `StoreUnavailable` and `StoreError`, naming the object, and no driver's error.

    Large objects are put in one request, for requests in parts know no conditions.
    """

    _ATTEMPTS: ClassVar[int] = 16

    def __init__(self, store: ObjectStore, prefix: str, in_thread: InThread) -> None:
        self._store = store
        self._in_thread = in_thread
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")

    def path(self, name: str) -> str:
        """Return what the store calls an object or a folder."""
        return self._prefix + name

    async def put(self, name: str, body: bytes) -> None:
        """Write an object durably, in place of what has its name."""
        for _ in range(self._ATTEMPTS):
            with translated("save", self.path(name)):
                if await self._try_put(name, body):
                    return
        reason = f"{self.path(name)} was written by others {self._ATTEMPTS} times meanwhile"
        raise StoreUnavailable("save", reason)

    async def get(self, name: str) -> Found | None:
        """Return an object, or None if there is none."""
        with translated("read", self.path(name)):
            try:
                found: Found = await self._in_thread(lambda: _read(self._store, self.path(name)))
            except FileNotFoundError:
                return None
            return found

    async def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder, without it, in no order."""
        path = self.path(folder)
        with translated("list", path):
            names: list[str] = await self._in_thread(lambda: list(_names(self._store, path)))
            return names

    async def remove(self, folder: str, names: Sequence[str]) -> None:
        """Remove objects of a folder durably; silent about those that are not there."""
        paths = [self.path(f"{folder}/{name}") for name in names]
        with translated("delete", self.path(folder)):
            try:
                await self._in_thread(lambda: self._store.delete(paths))
            except (FileNotFoundError, NotImplementedError):  # some stop at the first that is not there
                for path in paths:
                    await self._remove_one(path)

    async def _remove_one(self, path: str) -> None:
        try:
            await self._in_thread(lambda: self._store.delete(path))
        except FileNotFoundError:
            pass

    async def _try_put(self, name: str, body: bytes) -> bool:
        """Create an object or replace the one that is there; return False when somebody else came between."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        path = self.path(name)
        try:
            await self._put(path, body, "create")
            return True
        except AlreadyExistsError:
            found = await self.get(name)
        except NotImplementedError:
            return await self._overwrite(path, body)
        if found is None:
            return False
        if found.body == body:
            return True
        if not found.unchanged:
            return await self._overwrite(path, body)
        try:
            await self._put(path, body, found.unchanged)
            return True
        except (PreconditionError, AlreadyExistsError, FileNotFoundError):
            return False
        except NotImplementedError:
            return await self._overwrite(path, body)

    async def _overwrite(self, path: str, body: bytes) -> bool:
        await self._put(path, body, "overwrite")
        return True

    async def _put(self, path: str, body: bytes, mode: str | dict[str, str]) -> None:
        await self._in_thread(lambda: self._store.put(path, body, mode=mode, use_multipart=False))


def _read(store: ObjectStore, path: str) -> Found:
    reading = store.get(path)
    body = bytes(reading.bytes())
    return Found(body, {key: reading.meta[key] for key in ("e_tag", "version") if reading.meta[key] is not None})


def _names(store: ObjectStore, path: str) -> Iterator[str]:
    for chunk in store.list(path, chunk_size=1000):
        for meta in chunk:
            folder, _, name = meta["path"].rpartition("/")
            if folder == path:
                yield name


@contextmanager
def translated(operation: str, name: str) -> Iterator[None]:
    """Turn whatever a driver raises into a `StoreError` that names the object, without what may be a credential."""
    try:
        yield
    except PerdureError:
        raise
    except Exception as error:
        reason, clean = _told(error)
        unavailable = isinstance(error, TimeoutError | ConnectionError) or _UNAVAILABLE.search(reason)
        kind = StoreUnavailable if unavailable else StoreError
        raise kind(operation, f"{name}: {reason}") from (error if clean else None)


def _told(error: Exception) -> tuple[str, bool]:
    """Return what an error says, without credentials, and whether it held none."""
    text = str(error)
    said = " ".join(_SECRET.sub("…", text.partition("\n\nDebug source")[0]).split())
    return f"{type(error).__name__}: {said[:400]}", _SECRET.search(text) is None
