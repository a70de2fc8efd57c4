"""How a system, or an actor type, seals what it stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from perdure.errors import KeyMissing, WrongKey
from perdure.security._anchor import Anchor
from perdure.security._ciphers import Ciphers
from perdure.security._keyring import Keyring
from perdure.security._secret import Secret, master_secret
from perdure.security._suites import Suite, SuiteName, suite_named


class Sealing:
    """Encrypts all that is stored with the keys of a keyring, and refuses what is not sealed.

    `store` is any name for the store. Where several have one keyring, a name of its own for each keeps the records of
    one from opening in another; it never changes, and copies of a store have that of the original.

    `suite` is "aes-256-gcm" or "xchacha20-poly1305"; each record says by which it was sealed, and both are read.

    With `chain`, each event carries a hash of the one before, so that `verify` finds what was removed, exchanged or put
    in, also without keys. With an `anchor`, which `take_anchor` has made of such a store and somebody kept elsewhere,
    recovery refuses a log that ends before its anchored head, or has another record there, and a durable state from
    before the anchor.

    With `hide_names`, stores see keyed hashes in place of persistence ids. It is for a new store, and for all of it.

    What was stored before it was sealed is refused, unless `plaintext_until`, a time with its zone, is to come: a
    window in which to `reseal`.

    The keyring may change while the sealing is used. One sealing may be given to many systems.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        store: str = "",
        suite: SuiteName = "aes-256-gcm",
        chain: bool = False,
        anchor: Anchor | None = None,
        hide_names: bool = False,
        plaintext_until: datetime | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(keyring, Keyring):
            raise TypeError(f"a sealing needs a Keyring, not a {type(keyring).__name__}")
        if plaintext_until is not None and plaintext_until.tzinfo is None:
            raise ValueError(f"the time {plaintext_until} has no zone: write for example {plaintext_until}+00:00")
        if anchor is not None and not chain:
            raise ValueError("an anchor holds the heads of chained logs: say chain=True with it")
        self.keyring = keyring
        self.suite: Suite = suite_named(suite)
        self.chain = chain
        self.anchor = anchor
        self.hide_names = hide_names
        self.ciphers = Ciphers(store)
        self._plaintext_until = None if plaintext_until is None else plaintext_until.timestamp()
        self._now = now
        self.generation = -1
        """That of the keyring at the last `refresh`."""
        self._secrets: dict[int, Secret] = {}
        self.refresh()

    def __repr__(self) -> str:
        return f"Sealing({self.keyring!r}, suite={self.suite.name!r}, chain={self.chain}, hide_names={self.hide_names})"

    def refresh(self) -> None:
        """Take the keys as they are now; if they have changed, forget what was made of the others."""
        generation = self.keyring.generation
        if generation != self.generation:
            suite, versions = self.suite.number, self.keyring.versions
            self._secrets = {version: master_secret(suite, self.keyring, version) for version in versions}
            self.active = self._secrets[self.keyring.active]
            """The secret with which to seal, as of the last `refresh`."""
            self.ciphers.clear()
            self.generation = generation

    def secret(self, name: str, number: int, key_version: int, fingerprint: bytes) -> Secret:
        """Return the secret of which a record speaks. Raises `KeyMissing`, `WrongKey`."""
        secret = self._secrets.get(key_version)
        if secret is None:
            raise KeyMissing(name, number, key_version, self.keyring.versions)
        if secret.start[3:] != fingerprint:
            raise WrongKey(name, number, key_version, fingerprint.hex(), secret.start[3:].hex())
        return secret

    def knows(self, key_id: bytes) -> bool:
        """Tell whether a key is in the keyring, by the version and the fingerprint in a header."""
        version = int.from_bytes(key_id[:2], "big")
        return version in self.keyring and self.keyring.fingerprint(version) == key_id[2:]

    @property
    def accepts_plaintext(self) -> bool:
        """True in the window in which what is not sealed may be read."""
        return self._plaintext_until is not None and self._now() < self._plaintext_until


def sealing_of(sealing: Sealing | Keyring | None) -> Sealing | None:
    """Return a sealing, or the one with all defaults for a keyring."""
    return Sealing(sealing) if isinstance(sealing, Keyring) else sealing
