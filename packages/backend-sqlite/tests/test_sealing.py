"""What a thief of the file sees of sealed actors, and what becomes of them when somebody changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree, rmtree

import pytest

from perdure import ActorSystem, Keyring, Sealing
from perdure.errors import RecordAltered
from perdure_testkit import Raw, SealingContract


class TestSealedOnDisk(SealingContract):
    """The file, its write-ahead log and the index of that; all of it in one file; and that file written anew."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        (tmp_path / "live").mkdir()
        return f"sqlite:///{tmp_path}/live/store.db"

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Raw:
        def read() -> Iterator[bytes]:
            copy = copytree(tmp_path / "live", tmp_path / "copy")
            yield from (file.read_bytes() for file in copy.iterdir())
            for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"):
                with closing(sqlite3.connect(copy / "store.db")) as connection:
                    connection.execute(statement)
                yield (copy / "store.db").read_bytes()
            rmtree(copy)

        return read


async def test_a_value_of_another_type_is_refused(tmp_path: Path) -> None:
    """A text in the place of a sealed record, which SQLite lets anybody put there, is a record that is not sealed."""
    path = tmp_path / "store.db"
    sealing = Sealing(Keyring({1: bytes(range(32))}))
    async with ActorSystem(store=f"sqlite:///{path}", sealing=sealing):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE state_sealing SET value = 'a text, and a long one'")

    with pytest.raises(RecordAltered, match="not sealed"):
        async with ActorSystem(store=f"sqlite:///{path}", sealing=sealing):
            pass
