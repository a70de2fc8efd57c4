"""TLS without a socket, and the certificates that it takes."""

from __future__ import annotations

import os
import ssl
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from perdure_replication.errors import InvalidTransport
from perdure_replication.tcp._refused import Refused

_READ = 64 * 1024


class Pipe(ABC):
    """What stands between a connection's bytes on the wire and what is said on it."""

    @abstractmethod
    def begin(self) -> None:
        """Begin; `outgoing` may have something then."""

    @abstractmethod
    def receive(self, data: bytes) -> bytes:
        """Take bytes from the wire. Returns what was said by them. Raises `Refused`."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Say something; `outgoing` has it, as soon as it can be sent."""

    @abstractmethod
    def outgoing(self) -> bytes:
        """Return what is to be put on the wire, once."""

    def proved(self) -> frozenset[str] | None:
        """Return the names that the peer has proved; None where none can be proved in this way."""
        return None


class ClearPipe(Pipe):
    """The wire itself."""

    def __init__(self) -> None:
        self._out = b""

    def begin(self) -> None:
        pass

    def receive(self, data: bytes) -> bytes:
        return data

    def send(self, data: bytes) -> None:
        self._out = self._out + data if self._out else data

    def outgoing(self) -> bytes:
        out, self._out = self._out, b""
        return out


class TlsPipe(Pipe):
    """TLS. What is said before the handshake is over waits for it."""

    def __init__(self, context: ssl.SSLContext, *, dials: bool) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=not dials)
        self._shaken = False
        self._waiting = b""

    def begin(self) -> None:
        self._shake()

    def receive(self, data: bytes) -> bytes:
        self._in.write(data)
        self._shake()
        said = b""
        try:
            while self._shaken and (part := self._tls.read(_READ)):
                said += part
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise _refused(error) from error
        return said

    def send(self, data: bytes) -> None:
        if self._shaken:
            self._tls.write(data)
        else:
            self._waiting += data

    def outgoing(self) -> bytes:
        return self._out.read()

    def proved(self) -> frozenset[str]:
        return names_of(self._tls.getpeercert() or {})

    def _shake(self) -> None:
        if self._shaken:
            return
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise _refused(error) from error
        self._shaken = True
        if self._waiting:
            self._tls.write(self._waiting)
            self._waiting = b""


class Certificates:
    """A node's certificate, its key, and the authority that signs those of all nodes of the cluster, as PEM files.

    The files are read again when they have changed, so that a certificate may be renewed while the node runs. What
    cannot be read then is passed over, and what was read before stays.
    """

    def __init__(
        self, certificate: str | os.PathLike[str], key: str | os.PathLike[str], authority: str | os.PathLike[str]
    ) -> None:
        """Raise `InvalidTransport` for files that cannot be used."""
        self._files = tuple(Path(file) for file in (certificate, key, authority))
        self._seen = self._stamps()
        self._contexts = self._made()

    def context(self, *, dials: bool) -> ssl.SSLContext:
        """Return what a connection is made with."""
        stamps = self._stamps()
        if stamps != self._seen:
            try:
                self._contexts = self._made()
                self._seen = stamps
            except InvalidTransport:
                pass  # half of the files may be renewed: the next connection looks again
        return self._contexts[dials]

    def _stamps(self) -> tuple[int, ...]:
        return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in self._files)

    def _made(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        try:
            return self._make(ssl.PROTOCOL_TLS_SERVER), self._make(ssl.PROTOCOL_TLS_CLIENT)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            files = ", ".join(map(str, self._files))
            raise InvalidTransport(files, f"these certificates cannot be used: {error}") from error

    def _make(self, protocol: int) -> ssl.SSLContext:
        certificate, key, authority = self._files
        context = ssl.SSLContext(protocol)
        context.check_hostname = False  # a node is known by its name, wherever it runs: see `check_greeting`
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(authority)
        context.load_cert_chain(certificate, key, password=_no_password)
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # sessions are not resumed
        return context


def names_of(certificate: dict[str, Any]) -> frozenset[str]:
    """Return the names that a certificate is for: its DNS names, or its common name where it has none.

    A wildcard is no name of a node.
    """
    alternatives = certificate.get("subjectAltName", ())
    names = [value for kind, value in alternatives if kind == "DNS"]
    if not alternatives:
        parts = [part for group in certificate.get("subject", ()) for part in group]
        names = [value for kind, value in parts if kind == "commonName"]
    return frozenset(name for name in names if "*" not in name)


def _no_password() -> str:
    raise ValueError("the key is protected by a password: store it without one, readable by the node alone")


def _refused(error: ssl.SSLError) -> Refused:
    text = getattr(error, "verify_message", "") or error.reason or str(error)
    return Refused("tls", f"TLS fails: {text}")
