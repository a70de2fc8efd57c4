"""Object stores by URL, opened with `obstore`: `s3`, `s3a`, `gs`, `az`, `abfs`, `abfss`, `file` and `memory`.

A plug-in like others, whose entry points are those of perdure itself.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlsplit
from urllib.request import url2pathname

import pluggy

from perdure.abc import Worker
from perdure.errors import CreateStoreError
from perdure.snapshots._bucket import ObjectStore
from perdure.snapshots._files import make_folder
from perdure.snapshots._objects import ObjectSnapshots
from perdure.snapshots._store import SnapshotStore

if TYPE_CHECKING:
    from obstore.store import MemoryStore

_hookimpl = pluggy.HookimplMarker("perdure")

_CLIENT = frozenset(
    [
        *("allow_http", "allow_invalid_certificates", "connect_timeout", "http1_only", "http2_only"),
        *("pool_idle_timeout", "pool_max_idle_per_host", "proxy_url", "read_timeout", "root_certificate", "timeout"),
        "user_agent",
    ]
)
"""The options that are the HTTP client's; all others are the store's."""

_memories: dict[str, MemoryStore] = {}


@_hookimpl
async def perdure_open_snapshots(url: str) -> SnapshotStore:
    """Open `s3://BUCKET/PREFIX?OPTION=VALUE&…`, `file:///FOLDER`, `memory://` or `memory://NAME`, and the like."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    try:
        import obstore  # noqa: F401
    except ImportError:
        raise CreateStoreError("open", f"{place} takes obstore: run: pip install 'perdure[objects]'") from None
    if parts.scheme in ("file", "memory") and parts.query:
        raise CreateStoreError("open", f"{place} has no options: remove what follows the ?")
    match parts.scheme:
        case "file":
            return await _folder(parts, place)
        case "memory":
            return ObjectSnapshots(_memory(parts.netloc), parts.path)
        case _:
            return ObjectSnapshots(_remote(parts, place), parts.path)


async def _folder(parts: SplitResult, place: str) -> SnapshotStore:
    from obstore.store import LocalStore

    if parts.netloc not in ("", "localhost"):
        raise CreateStoreError("open", f"{place} names a host: write file:/// and an absolute path")
    folder = Path(url2pathname(parts.path))
    worker = Worker("perdure-snapshots", lambda: None, lambda _: None)
    try:
        await worker.submit(lambda _: make_folder(folder))
        return ObjectSnapshots(LocalStore(folder))
    except OSError as error:
        raise CreateStoreError("open", f"{place}: {error}") from error
    finally:
        await worker.close()


def _memory(name: str) -> ObjectStore:
    from obstore.store import MemoryStore

    return _memories.setdefault(name, MemoryStore()) if name else MemoryStore()


def _remote(parts: SplitResult, place: str) -> ObjectStore:
    from obstore.store import from_url

    if parts.password is not None:
        raise CreateStoreError("open", f"{place} has a password: give it by the environment, or as an option")
    options = _options(parts.query, place)
    try:
        store: ObjectStore = from_url(parts._replace(path="", query="", fragment="").geturl(), **options)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CreateStoreError("open", f"{place}: {reason}") from None  # its details may show credentials
    return store


def _options(query: str, place: str) -> dict[str, Any]:
    """Return the options of the store, of its HTTP client and of retries. Raises `CreateStoreError`."""
    config: dict[str, Any] = {}
    client: dict[str, Any] = {"connect_timeout": "5s", "timeout": "30s"}
    retry: dict[str, Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
    for name, value in parse_qsl(query, keep_blank_values=True):
        try:
            if name == "max_retries":
                retry[name] = int(value)
            elif name == "retry_timeout":
                retry[name] = timedelta(seconds=float(value))
            elif name == "endpoint" and "@" in urlsplit(value).netloc:
                raise ValueError("credentials have options of their own, such as access_key_id")
            else:
                (client if name in _CLIENT else config)[name] = value
        except ValueError as error:
            raise CreateStoreError("open", f"{place}: the option {name}: {error}") from None
    return {"config": config, "client_options": client, "retry_config": retry}
