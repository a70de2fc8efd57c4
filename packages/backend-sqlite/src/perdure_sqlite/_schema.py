"""The tables, so that a person with the `sqlite3` shell can follow an actor's log.

`catalog` names the collections and states that exist; `prefixes` gives each prefix of a collection a small number. A
collection `events` is the table `collection_events`, in commit order by `position`, with the view `log_events` for
people; a state `states` is the table `state_states`. `writer` holds the token of the connection that wrote last.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from perdure.errors import CreateStoreError
from perdure_sqlite._settings import Settings

APPLICATION_ID = 0x70726472  # "prdr"
_OLDEST_SQLITE = (3, 35, 0)

_TABLES = f"""
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE catalog (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE prefixes (id INTEGER PRIMARY KEY, collection TEXT NOT NULL, prefix TEXT NOT NULL);
CREATE UNIQUE INDEX prefixes_by_name ON prefixes (collection, prefix);
CREATE TABLE writer (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL);
INSERT INTO writer VALUES (1, '');
"""

_COLLECTION = """
CREATE TABLE collection_{name} (
    position INTEGER PRIMARY KEY AUTOINCREMENT, prefix INTEGER NOT NULL, key INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE UNIQUE INDEX keys_{name} ON collection_{name} (prefix, key);
CREATE VIEW log_{name} AS
    SELECT c.position, p.prefix, c.key, length(c.value) AS bytes, CAST(c.value AS TEXT) AS text
    FROM collection_{name} AS c JOIN prefixes AS p ON p.id = c.prefix;
"""

_STATE = """
CREATE TABLE state_{name} (prefix TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB) WITHOUT ROWID;
"""

MIGRATIONS: list[str] = [_TABLES]
"""What takes a file from each schema version to the next; an empty file has version 0."""


def connect(settings: Settings) -> sqlite3.Connection:
    """Open the file, make or migrate its tables, and return a connection that can write.

    Raises `CreateStoreError` naming the file and what is wrong with it.
    """
    path = settings.path
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise CreateStoreError("open", f"SQLite {sqlite3.sqlite_version} is older than 3.35")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CreateStoreError("open", f"{path}: its folder cannot be made: {error.strerror}") from error
    if path.is_dir():
        raise CreateStoreError("open", f"{path} is a folder: name a file in it")
    try:
        connection = _connection(settings)
        try:
            _prepare(connection, settings.busy_timeout)
        except BaseException:
            connection.close()
            raise
    except CreateStoreError as error:
        raise CreateStoreError("open", f"{path} {error.reason}") from error
    except sqlite3.Error as error:
        raise CreateStoreError("open", f"{path} cannot be used: {error}") from error
    return connection


def connect_reader(settings: Settings) -> sqlite3.Connection:
    """Return a connection that cannot write, to a file that `connect` has prepared."""
    connection = _connection(settings)
    connection.execute("PRAGMA query_only = ON")
    return connection


def create_collection(connection: sqlite3.Connection, name: str) -> None:
    """Make the table of a collection, within the transaction under way."""
    _create(connection, "collection", name, _COLLECTION)


def create_state(connection: sqlite3.Connection, name: str) -> None:
    """Make the table of a state, within the transaction under way."""
    _create(connection, "state", name, _STATE)


def _create(connection: sqlite3.Connection, kind: str, name: str, script: str) -> None:
    """Make what the catalog does not know. A table that it knows but that is lost stays lost, and using it fails."""
    if connection.execute("INSERT OR IGNORE INTO catalog VALUES (?, ?)", (kind, name)).rowcount:
        _execute_all(connection, script.format(name=name))


def _connection(settings: Settings) -> sqlite3.Connection:
    connection = sqlite3.connect(
        settings.path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        timeout=settings.busy_timeout,
    )
    try:
        for pragma in settings.pragmas():
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, busy_timeout: float) -> None:
    _within(connection, "BEGIN", _version)  # before anything is changed in what may be another program's
    _write_ahead(connection, busy_timeout)
    _within(connection, "BEGIN IMMEDIATE", _migrate)


def _write_ahead(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Put the file into WAL mode; for this alone SQLite does not wait by itself while others do the same."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def _migrate(connection: sqlite3.Connection) -> None:
    version = _version(connection)
    for migration in MIGRATIONS[version:]:
        _execute_all(connection, migration)
    if version < len(MIGRATIONS):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute(
        "DELETE FROM writer WHERE id = 0"
    )  # fails on a file that cannot be written, where BEGIN does not


def _version(connection: sqlite3.Connection) -> int:
    """Return the file's schema version, 0 if it is empty. Raises `CreateStoreError` if the file is not for us."""
    version = _number(connection, "PRAGMA user_version")
    application = _number(connection, "PRAGMA application_id")
    if application != APPLICATION_ID and (
        version or application or _number(connection, "SELECT count(*) FROM sqlite_master")
    ):
        raise CreateStoreError("open", "is a database of another program: give perdure a file of its own")
    if version > len(MIGRATIONS):
        reason = f"has schema version {version}, and this perdure-sqlite knows up to {len(MIGRATIONS)}: upgrade it"
        raise CreateStoreError("open", reason)
    return version


def _within(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], object]) -> None:
    """Do work in one transaction, so that others who make the file at this moment have made all of it or nothing."""
    connection.execute(begin)
    try:
        work(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _execute_all(connection: sqlite3.Connection, script: str) -> None:
    """Execute statements one by one: `executescript` would commit first."""
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
