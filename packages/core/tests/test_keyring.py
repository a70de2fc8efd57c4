"""Keys are checked where they come in, and can be changed while they are used."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import KeyringError, PerdureError, UnknownKey
from perdure.security import EncryptedKey, Keyring

from .secrecy import ONE, THREE, TWO, derived, refused, secrets, shows


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

    @settings(deadline=None)
    @given(secrets, st.binary(min_size=1, max_size=100))
    def test_derives_what_hkdf_derives(self, secret: bytes, info: bytes) -> None:
        """RFC 5869 with SHA-256, a fixed salt and 32 bytes."""
        expected = HKDF(hashes.SHA256(), 32, b"perdure sealing v1", info).derive(secret)

        assert Keyring({3: secret}).derive(3, info) == expected

    @settings(deadline=None)
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

    def test_is_seen_whole_by_who_derives_meanwhile(self) -> None:
        """A key that was wiped a moment ago is one that is not there."""
        ring = Keyring({1: ONE, 2: TWO})
        ring._ring.masters[1].prk.wipe()

        with pytest.raises(UnknownKey):
            ring.derive(1, b"use")

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
