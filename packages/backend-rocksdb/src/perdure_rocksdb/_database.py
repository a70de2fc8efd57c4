"""The folder, opened: what is looked at before, and what has to be let go of after.

RocksDB makes a store in whatever folder it is given, so what is there is looked at first. rocksdict keeps a store open,
and its folder locked, for as long as any iterator, snapshot or handle of it lives: so these never leave this package,
and `Database.close` is called when the iterators and snapshots are gone.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from struct import Struct
from traceback import clear_frames

import msgspec
from rocksdict import AccessType, Checkpoint, ColumnFamily, Options, Rdict, RdictIter

from perdure.errors import CreateStoreError
from perdure_rocksdb._errors import is_drivers, is_locked, reason
from perdure_rocksdb._settings import Settings
from perdure_rocksdb._tuning import ENTRIES, FAMILIES, FEED, META, STATES, options

SCHEMA = 1
"""The version of what is in the column families."""

PROGRESS_KEY = b"progress"
_SCHEMA_KEY = b"schema"
_PROGRESS = Struct(">QQ")

# What an opening that was killed may leave before there is a store.
_BEGUN = re.compile(
    r"LOCK|LOG|LOG\.old\.\d+|IDENTITY|rocksdict-config\.json|MANIFEST-\d+|OPTIONS-\d+(\.dbtmp)?|\d+\.(log|dbtmp)"
)


class Progress(msgspec.Struct, frozen=True):
    """The last place that was given in a feed, and the number of the last commit."""

    position: int = 0
    commits: int = 0

    def packed(self) -> bytes:
        return _PROGRESS.pack(self.position, self.commits)


class View(msgspec.Struct, frozen=True):
    """Iterators over one moment of the store.

    rocksdict's snapshots are none: in 0.3.29 their iterators see what was written later.
    """

    entries: RdictIter
    feed: RdictIter
    states: RdictIter


class Database:
    """RocksDB and its column families, opened to write, or with an access that cannot.

    `second` is a folder for the own files of one that follows a writer.
    """

    def __init__(self, settings: Settings, access: AccessType | None = None, second: Path | None = None) -> None:
        whole, families = options(settings)
        self.is_writable = access is None
        self._second = second
        self._main = Rdict(str(settings.path), whole, families, access or AccessType.read_write())
        self.entries = self._main.get_column_family(ENTRIES)
        self.feed = self._main.get_column_family(FEED)
        self.states = self._main.get_column_family(STATES)

    @property
    def main(self) -> Rdict:
        return self._main

    def handle(self, family: str) -> ColumnFamily:
        """Return what names a column family in a batch; it has to be gone before `close`."""
        return self._main.get_column_family_handle(family)

    def view(self) -> View:
        """Return the store as it is now, synced or not; while it is kept, so are the files that it is in."""
        return View(self.entries.iter(), self.feed.iter(), self.states.iter())

    def progress(self) -> Progress:
        stored: bytes | None = self._main.get(PROGRESS_KEY)
        return Progress() if stored is None else Progress(*_PROGRESS.unpack(stored))

    def checkpoint(self, folder: Path) -> None:
        """Make a store of its own in a new folder, of hard links where it can."""
        Checkpoint(self._main).create_checkpoint(str(folder))

    def close(self) -> None:
        """Bring everything into sorted files and release the folder. What cannot be brought there is in the log."""
        for family in (self.entries, self.feed, self.states, self._main):
            try:
                family.close()
            except Exception as error:
                if not is_drivers(error):
                    raise
        if self._second is not None:
            rmtree(self._second, ignore_errors=True)


def open_to_write(settings: Settings) -> Database:
    """Open the folder, or make a store in it. Raises `CreateStoreError` naming the folder and what is wrong."""
    path = settings.path
    with _named(path):
        path.mkdir(parents=True, exist_ok=True)
        is_new = not _holds_rocksdb(path)
        if not is_new:
            _check_families(path)
        database = Database(settings)
        try:
            _check_schema(path, database.main, is_new)
        except BaseException:
            database.close()
            raise
        return database


def open_to_read(settings: Settings) -> Database:
    """Open the folder beside a process that writes to it. Raises `CreateStoreError`, also where there is no store."""
    path = settings.path
    with _named(path):
        if not path.exists() or not _holds_rocksdb(path):
            raise CreateStoreError("open", f"{path} holds no store, and mode=ro makes none")
        _check_families(path)
        second = Path(tempfile.mkdtemp(prefix="perdure-rocksdb-"))
        try:
            database = Database(settings, AccessType.secondary(str(second)), second)
        except BaseException:
            rmtree(second, ignore_errors=True)
            raise
        try:
            _check_schema(path, database.main, is_new=False)
        except BaseException:
            database.close()
            raise
        return database


def open_as_it_stands(settings: Settings) -> Database:
    """Open the folder without writing anything: what can be done while its disk is full."""
    return Database(settings, AccessType.read_only(False))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give what goes wrong the name of the folder, in one line."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise CreateStoreError("open", f"{path} is a file or in one: name a folder") from error
        raise CreateStoreError("open", f"{path} cannot be used: {error.strerror or error}") from error
    except Exception as error:
        if not is_drivers(error):
            raise
        clear_frames(error.__traceback__)
        if is_locked(error):
            text = "is open already, in this process or another: close it there, or read it with ?mode=ro"
            raise CreateStoreError("open", f"{path} {text}") from error
        raise CreateStoreError("open", f"{path} cannot be used: {reason(error)}") from error


def _holds_rocksdb(path: Path) -> bool:
    """Return whether a folder holds a store of RocksDB. Raises `CreateStoreError` when it holds something else."""
    names = {child.name for child in path.iterdir()}
    if "CURRENT" in names:
        return True
    if others := sorted(name for name in names if _BEGUN.fullmatch(name) is None):
        text = f"{path} is no store and not empty ({others[0]!r} is in it): give perdure a folder of its own"
        raise CreateStoreError("open", text)
    return False


def _check_families(path: Path) -> None:
    """Look at the names of the column families before anything is changed in what may be another program's."""
    found = set(Rdict.list_cf(str(path), Options(raw_mode=True)))
    if not found <= set(FAMILIES):
        raise CreateStoreError("open", f"{path} is a store of another program: give perdure a folder of its own")
    if found == {META}:  # another program's, or the making of ours was interrupted
        alone = Rdict(str(path), Options(raw_mode=True), {META: Options(raw_mode=True)}, AccessType.read_only(False))
        try:
            _refuse_others(path, alone)
        finally:
            alone.close()


def _check_schema(path: Path, main: Rdict, is_new: bool) -> None:
    stored: bytes | None = main.get(_SCHEMA_KEY)
    if stored is None:
        _refuse_others(path, main)
        main.put(_SCHEMA_KEY, b"%d" % SCHEMA)
        main.flush_wal(True)
    elif int(stored) > SCHEMA:
        text = f"{path} has schema version {int(stored)}, and this perdure-rocksdb knows {SCHEMA}: upgrade it"
        raise CreateStoreError("open", text)


def _refuse_others(path: Path, main: Rdict) -> None:
    """Raise where something is stored that is not ours."""
    if main.get(_SCHEMA_KEY) is None and next(iter(main.keys()), None) is not None:
        raise CreateStoreError("open", f"{path} is a store of another program: give perdure a folder of its own")
