"""A key can be used, and is shown nowhere."""

from __future__ import annotations

import base64
import copy
import gc
import hmac
import logging
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.security import EncryptedKey, Keyring, _key

from .secrecy import ONE, TWO, refused, secret_of, secrets, shows


def occurrences(secret: bytes, process: int) -> int:
    """Return how often the end of a secret is in what a process may write; the rest is overwritten when it is freed."""
    count = 0
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for region in Path(f"/proc/{process}/maps").read_text().splitlines():
            place, rights, *_ = region.split()
            if "w" in rights:
                start, end = (int(address, 16) for address in place.split("-"))
                memory.seek(start)
                count += (memory.read(end - start) or b"").count(secret[16:])
    return count


USES = """
import os
from contextlib import ExitStack
from perdure.security import EncryptedKey, Keyring

key = EncryptedKey.generate()
ring = Keyring({1: key})
with ExitStack() as uses:
    for _ in range(100):
        secret = uses.enter_context(key.reveal())
    os.write(1, bytes(byte ^ 255 for byte in secret))
    os.read(0, 1)
os.write(1, b"revealed")  # at once, before freed memory is used again
os.read(0, 1)
key.mac(b"message")
os.write(1, b"computed")
os.read(0, 1)
"""


class TestAKey:
    @settings(deadline=None)
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

    @settings(deadline=None)
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

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")
    def test_is_nowhere_in_memory_while_nobody_uses_it(self) -> None:
        """Neither where it was revealed, nor where it was computed with."""
        with subprocess.Popen([sys.executable, "-c", USES], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
            assert user.stdin is not None
            assert user.stdout is not None
            secret = bytes(byte ^ 255 for byte in user.stdout.read(32))
            found = [occurrences(secret, user.pid)]
            for _ in range(2):
                user.stdin.write(b"\n")
                user.stdin.flush()
                user.stdout.read(8)
                found.append(occurrences(secret, user.pid))
            user.stdin.close()

        assert found == [100, 0, 0]

    def test_is_zeros_after_something_was_computed_with_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not only where it was revealed."""
        used: list[bytearray] = []
        monkeypatch.setattr(hmac, "digest", lambda secret, *_: used.append(secret))

        EncryptedKey(ONE).mac(b"message")

        assert used == [bytearray(32)]

    def test_is_not_wiped_while_it_is_unmasked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half of a secret would be another secret."""
        key = EncryptedKey(ONE)
        free: list[bool] = []
        mix = _key._xor

        def mixing(left: bytearray, right: bytearray) -> bytearray:
            other = threading.Thread(target=lambda: free.append(key._lock.acquire(blocking=False)))
            other.start()
            other.join()
            return mix(left, right)

        monkeypatch.setattr(_key, "_xor", mixing)
        key.mac(b"message")

        assert free == [False]

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
