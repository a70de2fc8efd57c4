"""Keys come from where nobody else has seen or written them, and come again when there are new ones."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import KeyringError
from perdure.security import EncryptedKey, Keyring, write_key_file

from .secrecy import ONE, THREE, TWO, derived, line, refused, rings, shows, told

posix = pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def owned(status: os.stat_result, owner: int) -> os.stat_result:
    fields = list(status)
    fields[stat.ST_UID] = owner
    return os.stat_result(fields)


class TestAKeyFile:
    @settings(deadline=None)
    @given(rings, st.data())
    def test_is_read_in_either_notation(self, tmp_path_factory: pytest.TempPathFactory, keys: Any, data: Any) -> None:
        """Base64 of either alphabet, with or without padding, or hexadecimal; comments and blank lines are skipped."""
        notations = [
            lambda secret: base64.b64encode(secret).decode(),
            lambda secret: base64.urlsafe_b64encode(secret).decode(),
            lambda secret: base64.b64encode(secret).decode().rstrip("="),
            bytes.hex,
            lambda secret: secret.hex().upper(),
        ]
        active = data.draw(st.sampled_from([None, *keys]))
        lines = [f"  {version} : {data.draw(st.sampled_from(notations))(keys[version])}  # the key" for version in keys]
        lines += ["", "# über: all", *([f"active: {active}"] if active else [])]
        text = data.draw(st.sampled_from(["\n", "\r\n"])).join(data.draw(st.permutations(lines)))
        path = written(tmp_path_factory.mktemp("keys") / "keys", text)

        ring = Keyring.from_file(path)

        assert ring.active == (active or max(keys))
        assert derived(ring) == derived(Keyring(keys))

    def test_is_written_with_a_new_key(self, path: Path) -> None:
        """One call makes what another reads."""
        write_key_file(path)
        write_key_file(str(path) + "2", version=2)

        one, two = Keyring.from_file(path), Keyring.from_file(f"{path}2")
        assert (one.versions, two.versions) == ((1,), (2,))
        assert one.fingerprint(1) != two.fingerprint(2)

    @posix
    @pytest.mark.parametrize("mask", [0, 0o022, 0o277])
    def test_is_written_for_its_owner_alone(self, path: Path, mask: int) -> None:
        """Whatever the umask is."""
        before = os.umask(mask)
        try:
            write_key_file(path)
        finally:
            os.umask(before)

        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @posix
    def test_is_durable_when_it_is_written(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is sealed with it may be durable a moment later."""
        synced: list[bool] = []
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))

        write_key_file(path)

        assert synced == [False, True]

    def test_is_never_overwritten(self, path: Path) -> None:
        """A key that is lost is data that is lost."""
        write_key_file(path)
        before = path.read_text()

        message = refused(lambda: write_key_file(path))

        assert message == f"{path}: it exists, and keys are never overwritten: choose another path"
        assert path.read_text() == before

    @posix
    def test_is_not_written_through_a_link(self, path: Path, tmp_path: Path) -> None:
        """Somebody else would choose where it is."""
        path.symlink_to(tmp_path / "elsewhere")

        assert "it exists" in refused(lambda: write_key_file(path))
        assert not (tmp_path / "elsewhere").exists()

    def test_that_cannot_be_written_is_refused(self, tmp_path: Path) -> None:
        """Where no folder is, and for what is no version."""
        assert "cannot be written" in refused(lambda: write_key_file(tmp_path / "none" / "keys"))
        assert "not 0" in refused(lambda: write_key_file(tmp_path / "keys", version=0))
        assert list(tmp_path.iterdir()) == []

    def test_that_could_not_be_finished_is_removed(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk leaves no half of a key."""

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)

        assert "No space left" in refused(lambda: write_key_file(path))
        assert not path.exists()

    @posix
    @pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644, 0o666, 0o777, 0o610])
    def test_that_others_may_use_is_refused(self, path: Path, mode: int) -> None:
        """The message has the command that helps."""
        written(path, line(1, ONE), mode)

        message = refused(lambda: Keyring.from_file(path), ONE)

        assert f"its mode is {mode:o}): chmod 600 {path}" in message

    @posix
    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
    def test_that_its_owner_alone_may_use_is_read(self, path: Path, mode: int) -> None:
        """Readable suffices."""
        assert Keyring.from_file(written(path, line(1, ONE), mode)).active == 1

    @posix
    @pytest.mark.parametrize(
        ("owner", "process", "allowed"), [(0, 1, True), (1, 1, True), (2, 1, False), (1, 0, False)]
    )
    def test_belongs_to_the_process_or_to_root(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, process: int, allowed: bool
    ) -> None:
        """Another's file has a key that another knows."""
        written(path, line(1, ONE))
        fstat, lstat = os.fstat, os.lstat
        monkeypatch.setattr(os, "geteuid", lambda: process)
        monkeypatch.setattr(os, "fstat", lambda descriptor: owned(fstat(descriptor), owner))
        monkeypatch.setattr(os, "lstat", lambda path: owned(lstat(path), process))

        if allowed:
            assert Keyring.from_file(path).active == 1
        else:
            assert f"belongs to user {owner}, and this process is user {process}" in refused(
                lambda: Keyring.from_file(path), ONE
            )

    @posix
    def test_may_be_behind_a_link_of_ones_own(self, path: Path, tmp_path: Path) -> None:
        """Secrets are often mounted so."""
        target = written(tmp_path / "target", line(1, ONE))
        path.symlink_to(target)

        assert Keyring.from_file(path).active == 1

        target.chmod(0o644)
        assert "chmod 600" in refused(lambda: Keyring.from_file(path), ONE)

    @posix
    def test_behind_a_link_of_another_is_refused(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They could let it lead to another key tomorrow."""
        path.symlink_to(written(tmp_path / "target", line(1, ONE)))
        lstat = os.lstat
        monkeypatch.setattr(os, "lstat", lambda path: owned(lstat(path), 4711))

        assert "belongs to user 4711" in refused(lambda: Keyring.from_file(path), ONE)

    @posix
    def test_that_is_a_pipe_is_refused(self, path: Path) -> None:
        """Nobody waits for a writer."""
        os.mkfifo(path, 0o600)

        assert "no regular file" in refused(lambda: Keyring.from_file(path))

    def test_that_is_not_there_is_refused(self, path: Path) -> None:
        """The message has the path."""
        assert refused(lambda: Keyring.from_file(path)).startswith(f"{path}: it cannot be read: No such file")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "{path}: no key is in it: write VERSION: KEY"),
            ("# nothing\n\n", "{path}: no key is in it: write VERSION: KEY"),
            ("active: 1", "{path}: no key is in it: write VERSION: KEY"),
            (ONE.hex(), "{path}, line 1: no version, 1 to 65535, and colon"),
            (f"\n{ONE.hex()}: 1", "{path}, line 2: no version, 1 to 65535, and colon"),
            (line("one", ONE), "{path}, line 1: no version, 1 to 65535, and colon"),
            (line("0", ONE), "{path}, line 1: no version, 1 to 65535, and colon"),
            (line("01", ONE), "{path}, line 1: no version, 1 to 65535, and colon"),
            (line("१", ONE), "{path}, line 1: no version, 1 to 65535, and colon"),
            (line("99999", ONE), "a version is 1 to 65535, not 99999"),
            (line(1, ONE) + "2:", "{path}, line 2: 0 characters after the colon that are no key"),
            (line(1, ONE[:31]), "{path}, line 1: 44 characters after the colon that are no key"),
            (line(1, ONE + b"\x01"), "{path}, line 1: 44 characters after the colon that are no key"),
            (line(1, ONE * 2), "{path}, line 1: 88 characters after the colon that are no key"),
            (f"1: {ONE.hex()[:63]}g", "{path}, line 1: 64 characters after the colon that are no key"),
            (f"1: {ONE.hex()} {ONE.hex()}", "{path}, line 1: 129 characters after the colon that are no key"),
            (line(1, bytes(32)), "{path}, line 1: it is all zeros"),
            (line(1, ONE) + line(1, TWO), "{path}, line 2: a second key 1"),
            (line(1, ONE) + line(2, ONE), "key 2: it is the same as key 1"),
            (line(1, ONE) + "active: 2", "the active key: 2 is not in the keyring"),
            (line(1, ONE) + f"active: {TWO.hex()}", "{path}, line 2: no version after `active`"),
            (line(1, ONE) + "active: 1\nactive: 1", "{path}, line 3: a second `active`"),
        ],
    )
    def test_with_a_mistake_is_refused_by_line(self, path: Path, text: str, reason: str) -> None:
        """The message never shows the line: what is on it may be a key all the same."""
        written(path, text)

        message = refused(lambda: Keyring.from_file(path), ONE, TWO)

        assert reason.format(path=path) in message

    @settings(deadline=None)
    @given(text=st.text(max_size=200))
    def test_of_any_text_is_a_keyring_or_an_error(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        """There is no third."""
        path = tmp_path_factory.mktemp("keys") / "keys"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        path.chmod(0o600)

        with pytest.raises(KeyringError):
            Keyring.from_file(path)

    def test_may_begin_with_the_mark_of_an_editor(self, path: Path) -> None:
        """Some write one."""
        assert Keyring.from_file(written(path, "\ufeff" + line(1, ONE))).active == 1

    def test_that_is_no_text_is_refused(self, path: Path) -> None:
        """Such as the bytes themselves."""
        path.write_bytes(ONE)
        path.chmod(0o600)

        assert "it is no text" in refused(lambda: Keyring.from_file(path), ONE)


class TestAFolder:
    def test_has_a_file_for_each_version(self, path: Path) -> None:
        """A key alone, or what `write_key_file` writes; hidden files are no keys."""
        path.mkdir()
        written(path / "1", ONE.hex())
        written(path / "2", "# the second\n" + line(2, TWO) + "\n")
        written(path / "10", base64.b64encode(THREE).decode() + "\n")
        written(path / ".hidden", "anything")
        (path / "..data").mkdir()

        ring = Keyring.from_file(path)

        assert ring.active == 10
        assert derived(ring) == derived(Keyring({1: ONE, 2: TWO, 10: THREE}))

    @pytest.mark.parametrize("content", ["1", "active: 1\n"])
    def test_may_say_which_is_active(self, path: Path, content: str) -> None:
        """In a file of that name."""
        path.mkdir()
        written(path / "1", ONE.hex())
        written(path / "2", TWO.hex())
        written(path / "active", content)

        assert Keyring.from_file(path).active == 1

    def test_is_what_write_key_file_fills(self, path: Path) -> None:
        """With a version each."""
        path.mkdir()
        for version in (1, 2):
            write_key_file(path / str(version), version=version)

        assert Keyring.from_file(path).versions == (1, 2)

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("README", "keys", "README: its name is no version"),
            ("1~", ONE.hex(), "1~: its name is no version"),
            ("2", line(3, TWO), "2: it has more or other than 2, its name"),
            ("2", line(2, TWO) + "active: 2", "2: it has more or other than 2, its name"),
            ("2", "", "2: it has more or other than 2, its name"),
            ("active", "", "active: it has more or other than active, its name"),
            ("active", "x", "active, line 1: no version after `active`"),
            ("active", line(2, TWO) + "active: 2", "active: it has more or other than active, its name"),
            ("2", TWO.hex() + "\n" + THREE.hex(), "2, line 2: a second key 2"),
            ("2", ONE.hex(), "key 2: it is the same as key 1"),
        ],
    )
    def test_with_anything_else_is_refused(self, path: Path, name: str, content: str, reason: str) -> None:
        """The message names the file and shows no key."""
        path.mkdir()
        written(path / "1", ONE.hex())
        written(path / name, content)

        assert reason in refused(lambda: Keyring.from_file(path), ONE, TWO, THREE)

    def test_without_keys_is_refused(self, path: Path) -> None:
        """The message says what a key file is."""
        path.mkdir()

        assert "no key is in it" in refused(lambda: Keyring.from_file(path))

    @posix
    def test_with_a_file_that_others_may_use_is_refused(self, path: Path) -> None:
        """Each is looked at."""
        path.mkdir()
        written(path / "1", ONE.hex())
        written(path / "2", TWO.hex(), 0o640)

        assert f"chmod 600 {path / '2'}" in refused(lambda: Keyring.from_file(path), ONE, TWO)

    @posix
    @pytest.mark.parametrize(
        ("mode", "allowed"), [(0o700, True), (0o755, True), (0o1777, True), (0o770, False), (0o702, False)]
    )
    def test_that_others_may_change_is_refused(self, path: Path, mode: int, allowed: bool) -> None:
        """Unless they may only add files, which would not be believed."""
        path.mkdir()
        written(path / "1", ONE.hex())
        path.chmod(mode)

        if allowed:
            assert Keyring.from_file(path).active == 1
        else:
            assert "others than its owner may put keys there" in refused(lambda: Keyring.from_file(path), ONE)


class TestTheEnvironment:
    @pytest.mark.parametrize("between", [",", "\n", " , ", ",\n"])
    def test_has_the_format_of_a_file(self, monkeypatch: pytest.MonkeyPatch, between: str) -> None:
        """With commas for lines."""
        monkeypatch.setenv("PERDURE_KEYS", between.join([f"1:{ONE.hex()}", line(2, TWO).strip(), "active:1"]))

        ring = Keyring.from_environment()

        assert ring.active == 1
        assert derived(ring) == derived(Keyring({1: ONE, 2: TWO}))

    def test_forgets_the_variable_when_it_is_told_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Children that are started later do not inherit it."""
        monkeypatch.setenv("OTHER_KEYS", f"1:{ONE.hex()}")

        Keyring.from_environment("OTHER_KEYS")
        assert "OTHER_KEYS" in os.environ

        ring = Keyring.from_environment("OTHER_KEYS", forget=True)
        assert "OTHER_KEYS" not in os.environ
        assert "OTHER_KEYS: the environment has no such variable" in refused(ring.reload, ONE)

    @pytest.mark.parametrize(
        "text", [ONE.hex(), f"1:{ONE.hex()},2:{TWO.hex()[:60]}", f"1:{ONE.hex()},{TWO.hex()}:2", ""]
    )
    def test_with_a_mistake_is_refused(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        """The message names the variable, and shows nothing of it."""
        monkeypatch.setenv("PERDURE_KEYS", text)

        assert refused(Keyring.from_environment, ONE, TWO).startswith("PERDURE_KEYS")


class TestAKeyService:
    def test_is_called(self) -> None:
        """It answers with bytes or keys."""
        ring = Keyring.from_callable(lambda: {1: ONE, 2: EncryptedKey(TWO)})

        assert derived(ring) == derived(Keyring({1: ONE, 2: TWO}))

    async def test_is_awaited(self) -> None:
        """And asked again."""
        answers: list[dict[int, bytes]] = [{1: ONE}, {1: ONE, 2: TWO}]

        async def load() -> Mapping[int, bytes | EncryptedKey]:
            await asyncio.sleep(0)
            return {**answers.pop(0)}

        ring = await Keyring.fetched(load)
        assert ring.active == 1

        assert await ring.refetch() == (2,)
        assert ring.active == 2

    async def test_that_must_be_awaited_says_so(self) -> None:
        """No coroutine is left behind."""

        async def load() -> Mapping[int, bytes | EncryptedKey]:
            return {1: ONE}

        ring = await Keyring.fetched(load)

        assert "await Keyring.fetched" in refused(lambda: Keyring.from_callable(load), ONE)  # type: ignore[arg-type]
        assert "await refetch()" in refused(ring.reload, ONE)

    async def test_that_need_not_be_awaited_may_be(self) -> None:
        """One way to ask for all sources."""
        ring = Keyring.from_callable(lambda: {1: ONE})

        assert await ring.refetch() == ()
        assert (await Keyring.fetched(lambda: {1: ONE})).active == 1  # type: ignore[arg-type, return-value]

    @pytest.mark.parametrize("answer", [None, [ONE], {}, {1: ONE.hex()}, {1: ONE[:31]}, {0: ONE}, {1: ONE, 2: ONE}])
    async def test_that_answers_wrongly_is_refused(self, answer: Any) -> None:
        """Nothing shows what it answered."""

        async def load() -> Any:
            return answer

        refused(lambda: Keyring.from_callable(lambda: answer), ONE, ONE[:31])
        with pytest.raises(KeyringError) as caught:
            await Keyring.fetched(load)
        assert not shows(told(caught.value), ONE)

    def test_that_fails_says_why(self) -> None:
        """Its error is not ours to translate."""

        def load() -> Mapping[int, bytes | EncryptedKey]:
            raise ConnectionRefusedError("vault")

        with pytest.raises(ConnectionRefusedError):
            Keyring.from_callable(load)


class TestAReload:
    def test_adds_what_is_new_and_seals_with_the_newest(self, path: Path) -> None:
        """It returns what is new."""
        ring = Keyring.from_file(written(path, line(1, ONE)))
        generation = ring.generation

        written(path, line(1, ONE) + line(3, THREE) + line(2, TWO))

        assert ring.reload() == (2, 3)
        assert (ring.active, ring.versions) == (3, (1, 2, 3))
        assert ring.generation > generation

    def test_seals_with_the_one_that_the_source_names(self, path: Path) -> None:
        """So that a key is everywhere before anybody seals with it."""
        ring = Keyring.from_file(written(path, line(1, ONE)))

        written(path, line(1, ONE) + line(2, TWO) + "active: 1")
        ring.reload()
        assert (ring.active, ring.versions) == (1, (1, 2))
        generation = ring.generation

        written(path, line(1, ONE) + line(2, TWO) + "active: 2")
        assert ring.reload() == ()
        assert ring.active == 2
        assert ring.generation > generation

    def test_never_removes(self, path: Path) -> None:
        """A source that has lost a key does not lose it here."""
        ring = Keyring.from_file(written(path, line(1, ONE) + line(2, TWO)))

        written(path, line(3, THREE))

        assert ring.reload() == (3,)
        assert derived(ring) == derived(Keyring({1: ONE, 2: TWO, 3: THREE}))

    def test_without_news_changes_nothing(self, path: Path) -> None:
        """Nobody's ciphers are made again."""
        ring = Keyring.from_file(written(path, line(1, ONE)))
        generation = ring.generation

        assert ring.reload() == ()
        assert ring.generation == generation

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (line(1, TWO) + line(2, ONE), "key 1: it is another than it was: give a new key a new version"),
            (line(2, TWO) + line(1, THREE), "key 1: it is another than it was: give a new key a new version"),
            (line(2, ONE), "key 2: it is the same as key 1"),
            (line(2, TWO) + "3: half", "line 2: 4 characters"),
            (line(2, TWO) + "active: 3", "the active key: 3 is not in the keyring"),
            ("", "no key is in it"),
        ],
    )
    def test_that_finds_a_mistake_changes_nothing(self, path: Path, text: str, reason: str) -> None:
        """All of an answer, or nothing of it."""
        ring = Keyring.from_file(written(path, line(1, ONE)))
        before = (ring.generation, ring.active, derived(ring))

        written(path, text)

        assert reason in refused(ring.reload, ONE, TWO, THREE)
        assert (ring.generation, ring.active, derived(ring)) == before

    def test_finds_the_file_from_another_directory(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is of the directory it was given in."""
        monkeypatch.chdir(path.parent)
        ring = Keyring.from_file(written(path, line(1, ONE)).name)
        written(path, line(1, ONE) + line(2, TWO))

        monkeypatch.chdir("/")

        assert ring.reload() == (2,)

    def test_needs_a_source(self) -> None:
        """What was given by hand is added by hand."""
        assert "add() them" in refused(Keyring({1: ONE}).reload, ONE)
