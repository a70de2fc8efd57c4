"""Keys are checked where they come in, can be changed while they are used, and are shown nowhere."""

from __future__ import annotations

import asyncio
import base64
import copy
import gc
import logging
import os
import pickle
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

import perdure
from perdure.errors import KeyringError, PerdureError, UnknownKey
from perdure.security import EncryptedKey, Keyring, write_key_file

ONE, TWO, THREE = (bytes([n]) * 31 + b"\xff" for n in (0xA1, 0xB2, 0xC3))
OURS = str(Path(perdure.__file__).parent)
posix = pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
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
        half.casefold() in folded
        for secret in secrets
        if len(secret) >= 16
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
        if frame.f_code.co_filename.startswith(OURS):
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


class TestAKey:
    @given(secrets, st.sampled_from([bytes, bytearray, lambda secret: memoryview(secret)]))
    def test_reveals_what_it_was_given(self, secret: bytes, form: Callable[[bytes], Any]) -> None:
        """Again and again."""
        key = EncryptedKey(form(secret))

        assert [secret_of(key), secret_of(key)] == [secret, secret]

    def test_is_zeros_after_it_was_revealed(self) -> None:
        """Also when the block fails."""
        key = EncryptedKey(ONE)

        with pytest.raises(ZeroDivisionError), key.reveal() as secret:
            raise ZeroDivisionError

        assert secret == bytes(32)

    def test_is_not_changed_by_who_writes_into_what_it_revealed(self) -> None:
        """The buffer is theirs."""
        key = EncryptedKey(ONE)

        with key.reveal() as secret:
            secret[:] = TWO

        assert secret_of(key) == ONE

    def test_is_masked_anew_each_time_it_is_revealed(self) -> None:
        """Half of an earlier dump does not fit half of a later one."""
        key = EncryptedKey(ONE)
        before = [bytes(half) for half in key._halves or ()]

        secret_of(key)

        after = [bytes(half) for half in key._halves or ()]
        assert len({*before, *after, ONE}) == 5

    def test_overwrites_the_mask_that_it_replaces(self) -> None:
        """Nothing that fits together is left behind."""
        key = EncryptedKey(ONE)
        stale = key._halves

        secret_of(key)

        assert [bytes(half) for half in stale or ()] == [bytes(32)] * 2

    @given(st.binary(max_size=70).filter(lambda secret: len(secret) != 32), st.sampled_from([bytes, bytearray]))
    def test_of_another_length_is_refused(self, secret: bytes, form: Callable[[bytes], Any]) -> None:
        """The message says how many bytes there are."""
        assert f"{len(secret)} bytes" in refused(lambda: EncryptedKey(form(secret)), secret)

    @pytest.mark.parametrize(
        ("secret", "reason"),
        [
            (bytes(32), "it is all zeros"),
            (ONE.hex(), "it is a str"),
            (base64.b64encode(ONE), "it has 44 bytes"),
            (memoryview(ONE * 2)[::2], "it is a memoryview with gaps"),
            (list(ONE), "it is of type list"),
            (int.from_bytes(ONE, "big"), "it is of type int"),
            (None, "it is of type NoneType"),
        ],
    )
    def test_that_is_none_is_refused(self, secret: Any, reason: str) -> None:
        """The message names what is wrong, and never the secret."""
        assert refused(lambda: EncryptedKey(secret), ONE).startswith(f"the key: {reason}")

    @pytest.mark.parametrize("buffer", [bytearray(ONE), memoryview(bytearray(ONE))])
    def test_that_takes_a_buffer_wipes_it(self, buffer: bytearray | memoryview) -> None:
        """The caller keeps no copy."""
        key = EncryptedKey.taking(buffer)

        assert bytes(buffer) == bytes(32)
        assert secret_of(key) == ONE

    def test_that_refuses_a_buffer_wipes_it_too(self) -> None:
        """What is no key may be half of one."""
        buffer = bytearray(ONE[:16])

        refused(lambda: EncryptedKey.taking(buffer), ONE[:16])

        assert buffer == bytes(16)

    @pytest.mark.parametrize("buffer", [ONE, memoryview(ONE), memoryview(bytearray(ONE * 2))[::2], ONE.hex()])
    def test_takes_only_what_it_can_wipe(self, buffer: Any) -> None:
        """Bytes stay where they are."""
        assert "cannot be overwritten" in refused(lambda: EncryptedKey.taking(buffer), ONE)

    def test_that_is_generated_is_new(self) -> None:
        """No two are equal."""
        assert len({secret_of(EncryptedKey.generate()) for _ in range(100)}) == 100

    @pytest.mark.parametrize("use", [secret_of, lambda key: key.mac(b"m"), lambda key: Keyring({1: key})])
    def test_that_was_wiped_is_of_no_use(self, use: Callable[[EncryptedKey], Any]) -> None:
        """It says so, and wiping it again does no harm."""
        key = EncryptedKey(ONE)
        halves = key._halves

        key.wipe()
        key.wipe()

        assert "wiped" in refused(lambda: use(key), ONE)
        assert [bytes(half) for half in halves or ()] == [bytes(32)] * 2
        assert (key.wiped, repr(key)) == (True, "<EncryptedKey, wiped>")

    def test_is_equal_to_itself_alone(self) -> None:
        """To compare secrets would tell how much of them is right."""
        key = EncryptedKey(ONE)

        assert key == key
        assert key != EncryptedKey(ONE)

    def test_masks_the_same_for_many_threads(self) -> None:
        """Each has a buffer of its own, while the mask is made anew under all of them."""
        key = EncryptedKey(ONE)
        wrong: list[bytes] = []

        def use() -> None:
            wrong.extend(secret for secret in (secret_of(key) for _ in range(2000)) if secret != ONE)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=use) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)

        assert wrong == []


KEPT = [lambda: EncryptedKey(ONE), lambda: EncryptedKey.taking(bytearray(ONE)), lambda: Keyring({1: ONE, 7: TWO})]


@pytest.mark.parametrize("make", KEPT)
class TestASecret:
    @pytest.mark.parametrize("show", [repr, str, ascii, "{}".format, "%s %r".__mod__, lambda kept: f"{kept!r:>80}"])
    def test_is_in_no_text(self, make: Callable[[], Any], show: Callable[[Any], str]) -> None:
        """A log line shows that there is a key, not which."""
        kept = make()

        text = show((kept, kept)) if show == "%s %r".__mod__ else show(kept)

        assert not shows(text, ONE, TWO)

    def test_is_in_no_log(self, make: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
        """However careless."""
        kept = make()

        logging.getLogger("careless").warning("%s %r %s", kept, [kept], {"key": kept})

        assert caplog.text
        assert not shows(caplog.text, ONE, TWO)

    @pytest.mark.parametrize(
        "duplicate", [copy.copy, copy.deepcopy, *(lambda k, p=p: pickle.dumps(k, p) for p in range(6))]
    )
    def test_is_neither_copied_nor_pickled(self, make: Callable[[], Any], duplicate: Callable[[Any], Any]) -> None:
        """The message says what to do instead."""
        assert "load the key" in refused(lambda: duplicate(make()), ONE, TWO)

    def test_is_in_no_variables_of_a_frame(self, make: Callable[[], Any]) -> None:
        """A reporter of errors may print them."""
        kept = make()
        try:
            raise RuntimeError(kept)
        except RuntimeError as error:
            summary = traceback.TracebackException.from_exception(error, capture_locals=True)

        assert not shows("".join(summary.format()), ONE, TWO)

    def test_has_no_dictionary(self, make: Callable[[], Any]) -> None:
        """`vars` is what serialisers look at."""
        with pytest.raises(TypeError):
            vars(make())

    def test_is_in_no_object_that_hangs_on_it(self, make: Callable[[], Any]) -> None:
        """Also who follows every reference finds it masked only."""
        kept = make()
        found: list[bytes] = []
        todo, met = [kept], set()
        while todo:
            thing = todo.pop()
            if id(thing) not in met and not isinstance(thing, type) and type(thing).__module__ != "builtins.module":
                met.add(id(thing))
                found += [bytes(thing)] if isinstance(thing, bytes | bytearray | memoryview) else []
                todo += [each for each in gc.get_referents(thing) if not isinstance(each, type)]

        assert found
        assert not {ONE, TWO} & set(found)


class TestAKeyring:
    def test_seals_with_the_greatest_version(self) -> None:
        """The newest key is the last."""
        ring = Keyring({7: ONE, 65535: EncryptedKey(TWO), 1: THREE})

        assert (ring.active, ring.versions) == (65535, (1, 7, 65535))

    def test_seals_with_the_one_that_is_chosen(self) -> None:
        """The others open."""
        assert Keyring({1: ONE, 2: TWO}, active=1).active == 1

    def test_knows_its_versions(self) -> None:
        """And says them."""
        ring = Keyring({1: ONE, 2: TWO}, active=1)

        assert [version in ring for version in (1, 2, 3, "1", None)] == [True, True, False, False, False]
        assert repr(ring) == "<Keyring of versions 1, 2; 1 is active>"

    @pytest.mark.parametrize(
        ("keys", "active", "reason"),
        [
            ({}, None, "no key is in it: make one with write_key_file"),
            ([ONE], None, "a mapping, version to key, not a list"),
            (ONE, None, "a mapping, version to key, not a bytes"),
            ({0: ONE}, None, "a version is 1 to 65535, not 0"),
            ({-1: ONE}, None, "a version is 1 to 65535, not -1"),
            ({65536: ONE}, None, "a version is 1 to 65535, not 65536"),
            ({int.from_bytes(ONE, "big"): TWO}, None, "not so large a number"),
            ({True: ONE}, None, "a whole number, 1 to 65535, not a bool"),
            ({1.0: ONE}, None, "a whole number, 1 to 65535, not a float"),
            ({"1": ONE}, None, "a whole number, 1 to 65535, not a str"),
            ({ONE: 1}, None, "a whole number, 1 to 65535, not a bytes"),
            ({None: ONE}, None, "a whole number, 1 to 65535, not a NoneType"),
            ({1: ONE, 2: ONE}, None, "key 2: it is the same as key 1: make a new one"),
            ({1: ONE, 2: EncryptedKey(ONE)}, None, "key 2: it is the same as key 1: make a new one"),
            ({1: ONE, 2: TWO[:31]}, None, "key 2: it has 31 bytes, and a key has 32"),
            ({1: ONE.hex()}, None, "key 1: it is a str"),
            ({1: bytes(32)}, None, "key 1: it is all zeros"),
            ({1: ONE}, 2, "the active key: 2 is not in the keyring"),
            ({1: ONE}, True, "the active key: a version is a whole number"),
        ],
    )
    def test_that_cannot_be_right_is_refused_at_once(self, keys: Any, active: Any, reason: str) -> None:
        """The message says what to do, and shows no key (ATS-98)."""
        assert reason in refused(lambda: Keyring(keys, active=active), ONE, TWO)

    def test_has_errors_of_its_own(self) -> None:
        """They are errors of perdure, and wrong values."""
        assert issubclass(UnknownKey, KeyringError)
        assert issubclass(KeyringError, PerdureError)
        assert issubclass(KeyringError, ValueError)

    def test_copies_the_keys(self) -> None:
        """They are the caller's, to be wiped or used elsewhere."""
        key = EncryptedKey(ONE)
        ring = Keyring({1: key, 2: TWO})
        before = ring.derive(1, b"use")

        key.wipe()

        assert ring.derive(1, b"use") == before

    @given(secrets, st.binary(min_size=1, max_size=100))
    def test_derives_what_hkdf_derives(self, secret: bytes, info: bytes) -> None:
        """RFC 5869 with SHA-256, a fixed salt and 32 bytes."""
        expected = HKDF(hashes.SHA256(), 32, b"perdure sealing v1", info).derive(secret)

        assert Keyring({3: secret}).derive(3, info) == expected

    @given(secrets)
    def test_tells_keys_apart_by_four_public_bytes(self, secret: bytes) -> None:
        """Expanded from the master key itself, which `derive` never does."""
        expected = HKDFExpand(hashes.SHA256(), 4, b"perdure key id").derive(secret)

        assert Keyring({3: secret}).fingerprint(3) == expected

    def test_derives_the_same_in_every_process(self) -> None:
        """What was sealed years ago depends on it."""
        ring = Keyring({1: ONE})

        assert ring.fingerprint(1).hex() == "3f586321"
        assert ring.derive(1, b"use").hex() == "c02c4dba50d99ae40bf67c40df6985c54943446e4251646ad6be24b896be8c2b"

    def test_derives_another_key_for_each_version_and_use(self) -> None:
        """None leads to another (ATS-96)."""
        ring = Keyring({1: ONE, 2: TWO})

        assert len({ring.derive(version, info) for version in (1, 2) for info in (b"a", b"b", b"ab")}) == 6

    def test_derives_nothing_for_no_use(self) -> None:
        """A forgotten name is not a name (ATS-96)."""
        assert "info: it is empty" in refused(lambda: Keyring({1: ONE}).derive(1, b""), ONE)

    @pytest.mark.parametrize(
        "use",
        [
            lambda ring: ring.derive(3, b"use"),
            lambda ring: ring.fingerprint(3),
            lambda ring: ring.activate(3),
            lambda ring: ring.remove(3),
        ],
    )
    def test_says_which_key_is_missing(self, use: Callable[[Keyring], Any]) -> None:
        """An operator reads what to do (ATS-97)."""
        ring = Keyring({1: ONE, 2: TWO})

        with pytest.raises(UnknownKey, match=r"key 3 is not in the keyring, which has 1, 2: add it") as caught:
            use(ring)

        assert (caught.value.version, caught.value.versions) == (3, (1, 2))
        assert vars(pickle.loads(pickle.dumps(caught.value))) == vars(caught.value)

    def test_names_the_last_of_many_versions(self) -> None:
        """A message is short."""
        assert str(UnknownKey(99, tuple(range(1, 50)))).startswith("key 99 is not in the keyring, which has …, 42, 43,")

    @pytest.mark.parametrize("version", [ONE, ONE.hex(), int.from_bytes(ONE, "big")])
    def test_does_not_repeat_what_is_no_version(self, version: Any) -> None:
        """It may be a key, given in the wrong place."""
        ring = Keyring({2: TWO})

        for use in (ring.activate, ring.remove, ring.fingerprint, lambda version: ring.add(version, THREE)):
            with pytest.raises(KeyringError) as caught:
                use(version)
            assert not shows(str(caught.value), ONE)


class TestRotation:
    def test_adds_a_key_that_does_not_seal_yet(self) -> None:
        """First every process can open with it."""
        ring = Keyring({1: ONE})

        ring.add(2, TWO)

        assert (ring.active, ring.versions) == (1, (1, 2))
        assert ring.derive(2, b"use") == Keyring({2: TWO}).derive(2, b"use")

    def test_seals_with_another_from_then_on(self) -> None:
        """The old one still opens (ATS-97)."""
        ring = Keyring({1: ONE, 2: TWO}, active=1)
        before = derived(ring)

        ring.activate(2)

        assert (ring.active, derived(ring)) == (2, before)

    def test_removes_a_key_and_wipes_it(self) -> None:
        """What it sealed cannot be opened any more."""
        ring = Keyring({1: ONE, 2: TWO})
        prk = ring._ring.masters[1].prk

        ring.remove(1)

        assert (ring.versions, prk.wiped) == ((2,), True)
        with pytest.raises(UnknownKey):
            ring.derive(1, b"use")

    def test_never_removes_the_key_that_seals(self) -> None:
        """Another must take its place first."""
        ring = Keyring({1: ONE, 2: TWO})

        assert "activate another one first" in refused(lambda: ring.remove(2), ONE, TWO)
        assert derived(ring) == derived(Keyring({1: ONE, 2: TWO}))

    @pytest.mark.parametrize(
        ("version", "key", "reason"),
        [
            (1, TWO, "key 1: it is in the keyring: give the new key a new version"),
            (1, ONE, "key 1: it is in the keyring: give the new key a new version"),
            (2, ONE, "key 2: it is the same as key 1"),
            (2, TWO[:5], "key 2: it has 5 bytes"),
            (0, TWO, "a version is 1 to 65535, not 0"),
            (2.0, TWO, "not a float"),
        ],
    )
    def test_refuses_a_wrong_key_and_changes_nothing(self, version: Any, key: bytes, reason: str) -> None:
        """The ring that there was goes on."""
        ring = Keyring({1: ONE})
        before = (ring.generation, ring.versions, ring.active)

        message = refused(lambda: ring.add(version, key), ONE, TWO)

        assert reason in message
        assert (ring.generation, ring.versions, ring.active) == before

    def test_counts_its_changes(self) -> None:
        """Who keeps ciphers sees when to look again."""
        ring = Keyring({1: ONE})
        changes: list[Callable[[], None]] = [
            lambda: ring.add(2, TWO),
            lambda: ring.activate(2),
            lambda: ring.remove(1),
            lambda: ring.add(1, ONE),
        ]

        generations = [ring.generation]
        for change in changes:
            change()
            generations.append(ring.generation)

        assert generations == sorted(set(generations))

    def test_may_come_from_another_thread(self) -> None:
        """Who derives meanwhile gets the right bytes or `UnknownKey`, and never bytes of half a key."""
        ring = Keyring({1: ONE, 2: TWO})
        expected = ring.derive(1, b"use")
        wrong: list[bytes] = []
        over = threading.Event()

        def derive() -> None:
            while not over.is_set():
                try:
                    if (key := ring.derive(1, b"use")) != expected:
                        wrong.append(key)
                except UnknownKey:
                    pass

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        thread = threading.Thread(target=derive)
        thread.start()
        try:
            for _ in range(300):
                ring.remove(1)
                ring.add(1, ONE)
        finally:
            over.set()
            thread.join()
            sys.setswitchinterval(interval)

        assert wrong == []


class TestAKeyFile:
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
        monkeypatch.setattr(os, "lstat", lambda path: owned(lstat(path), owner))

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

    @given(text=st.text(max_size=200))
    def test_of_any_text_is_a_keyring_or_an_error(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        """There is no third."""
        path = tmp_path_factory.mktemp("keys") / "keys"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        path.chmod(0o600)

        with pytest.raises(KeyringError):
            Keyring.from_file(path)

    def test_that_is_no_text_is_refused(self, path: Path) -> None:
        """Such as the bytes themselves."""
        path.write_bytes(ONE)
        path.chmod(0o600)

        assert "it is no text" in refused(lambda: Keyring.from_file(path), ONE)


def owned(status: os.stat_result, owner: int) -> os.stat_result:
    fields = list(status)
    fields[stat.ST_UID] = owner
    return os.stat_result(fields)


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

        written(path, line(1, ONE) + line(2, TWO) + "active: 2")
        assert ring.reload() == ()
        assert ring.active == 2

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
