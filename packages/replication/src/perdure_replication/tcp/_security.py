"""How a connection is secured: by certificates, by a secret that all share, or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from perdure import Keyring
from perdure.errors import KeyringError
from perdure.security import EncryptedKey
from perdure_replication.errors import InvalidTransport
from perdure_replication.tcp._address import Address, is_loopback
from perdure_replication.tcp._noise import TAG_BYTES, Cipher, NoiseError, NoiseHandshake
from perdure_replication.tcp._refused import Refused
from perdure_replication.tcp._tls import Certificates, ClearPipe, Pipe, TlsPipe

_KEY_ID_BYTES = 6
_USE = b"perdure-replication tcp 1"


class Conversation(ABC):
    """What is done to the messages of one connection: first two of greeting, then all others."""

    overhead: ClassVar[int] = 0
    """By how many bytes a message grows."""

    @abstractmethod
    def write(self, greeting: bytes) -> bytes:
        """Return the message for this side's greeting."""

    @abstractmethod
    def read(self, message: bytes) -> bytes:
        """Return the other side's greeting. Raises `Refused`."""

    @abstractmethod
    def begin(self) -> None:
        """Go on to other messages: both greetings have passed."""

    @abstractmethod
    def seal(self, data: bytes) -> bytes:
        """Return the message for some bytes."""

    @abstractmethod
    def open(self, message: bytes) -> bytes:
        """Return the bytes of the peer's next message. Raises `Refused`."""


class Security(ABC):
    """Makes what secures one connection."""

    code: ClassVar[int]
    """In the preamble."""
    anywhere: bool = True
    """Whether peers may be on other machines."""

    @abstractmethod
    def converse(self, preamble: bytes, *, dials: bool) -> Conversation: ...

    def pipe(self, *, dials: bool) -> Pipe:
        return ClearPipe()


class Plaintext(Security):
    """No security: whoever reaches the port is believed."""

    code = 0

    def __init__(self, *, anywhere: bool = False) -> None:
        self.anywhere = anywhere

    def converse(self, preamble: bytes, *, dials: bool) -> Conversation:
        return _Clear()


class Tls(Security):
    """TLS 1.3 with certificates on both sides. A peer may claim the names that its certificate has."""

    code = 2

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def converse(self, preamble: bytes, *, dials: bool) -> Conversation:
        return _Clear()

    def pipe(self, *, dials: bool) -> Pipe:
        return TlsPipe(self._certificates.context(dials=dials), dials=dials)


class SharedSecret(Security):
    """A key that all nodes have. A peer is proved to have it, and believed its name."""

    code = 1

    def __init__(self, secret: EncryptedKey | Keyring) -> None:
        self._secret = secret

    def converse(self, preamble: bytes, *, dials: bool) -> Conversation:
        return _Noise(self, preamble, dials=dials)

    def active(self) -> bytes:
        """Return what names the key with which this node calls others."""
        if isinstance(self._secret, EncryptedKey):
            return bytes(_KEY_ID_BYTES)
        version = self._secret.active
        return version.to_bytes(2, "big") + self._secret.fingerprint(version)

    def derived(self, key_id: bytes) -> bytes | None:
        """Return the 32 bytes for the handshake of the key that is named so, None if this node has it not."""
        if isinstance(self._secret, EncryptedKey):
            return self._secret.mac(_USE) if key_id == bytes(_KEY_ID_BYTES) else None
        version = int.from_bytes(key_id[:2], "big")
        if version not in self._secret or self._secret.fingerprint(version) != key_id[2:]:
            return None
        return self._secret.derive(version, _USE)


def security_of(
    place: Address,
    secret: EncryptedKey | Keyring | None,
    certificates: Certificates | None,
    insecure: bool | Literal["anywhere"],
) -> Security:
    """Return the one that was chosen. Raises `InvalidTransport` for none or several, and for none at all in public."""
    if [secret is not None, certificates is not None, bool(insecure)].count(True) != 1:
        raise InvalidTransport(
            str(place),
            "say how connections are secured: one of secret=, certificates= and insecure=True, which is for tests",
        )
    if insecure and insecure != "anywhere" and not is_loopback(place.host):
        raise InvalidTransport(
            str(place),
            "without security a node listens on loopback alone: give it a secret or certificates; where nobody "
            'else can reach the network, say insecure="anywhere"',
        )
    if secret is not None:
        return SharedSecret(secret)
    return Tls(certificates) if certificates is not None else Plaintext(anywhere=insecure == "anywhere")


class _Clear(Conversation):
    """Messages as they are: unprotected, or protected by TLS around them."""

    def write(self, greeting: bytes) -> bytes:
        return greeting

    def read(self, message: bytes) -> bytes:
        return message

    def begin(self) -> None:
        pass

    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, message: bytes) -> bytes:
        return message


class _Noise(Conversation):
    """Messages under keys that are this connection's alone. Before the first one stands which secret is meant."""

    overhead = TAG_BYTES

    def __init__(self, secret: SharedSecret, preamble: bytes, *, dials: bool) -> None:
        self._secret = secret
        self._preamble = preamble
        self._dials = dials
        self._handshake: NoiseHandshake | None = None
        self._sealing: Cipher | None = None
        self._opening: Cipher | None = None

    def write(self, greeting: bytes) -> bytes:
        if not self._dials:
            assert self._handshake is not None
            return self._handshake.write(greeting)
        key_id = self._secret.active()
        self._handshake = self._shake(key_id)
        return key_id + self._handshake.write(greeting)

    def read(self, message: bytes) -> bytes:
        if not self._dials:
            self._handshake = self._shake(message[:_KEY_ID_BYTES])
            message = message[_KEY_ID_BYTES:]
        assert self._handshake is not None
        try:
            return self._handshake.read(message)
        except NoiseError as error:
            raise Refused("secret", "it does not have the secret of this cluster") from error

    def _shake(self, key_id: bytes) -> NoiseHandshake:
        try:
            secret = self._secret.derived(key_id)
        except KeyringError as error:
            raise Refused("secret", str(error)) from error
        if secret is None:
            raise Refused("secret", "it uses a secret that this node does not have")
        return NoiseHandshake(secret, self._preamble + key_id, initiates=self._dials)

    def begin(self) -> None:
        assert self._handshake is not None
        self._sealing, self._opening = self._handshake.split()
        self._handshake = None

    def seal(self, data: bytes) -> bytes:
        assert self._sealing is not None
        return self._sealing.seal(data)

    def open(self, message: bytes) -> bytes:
        assert self._opening is not None
        try:
            return self._opening.open(message)
        except NoiseError as error:
            raise Refused("altered", "a frame was changed, repeated, moved or left out on its way") from error
