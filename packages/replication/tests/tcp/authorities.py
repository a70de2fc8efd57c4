"""An authority that signs the certificates of a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from perdure_replication.tcp import Certificates


class Authority:
    """Writes certificates, keys and its own certificate into a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.file = folder / f"{name}.pem"
        self._key = generate_private_key(SECP256R1())
        self._name = _named(name)
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        made = self._builder(self._name, self._key).add_extension(constraint, critical=True).sign(self._key, SHA256())
        self.file.write_bytes(made.public_bytes(Encoding.PEM))

    def certificates(self, *names: str, common: str = "", days: float = 1, file: str = "") -> Certificates:
        """Return what a node of these names presents; without any it has a common name alone."""
        return Certificates(*self.issue(*names, common=common, days=days, file=file), self.file)

    def issue(self, *names: str, common: str = "", days: float = 1, file: str = "") -> tuple[Path, Path]:
        """Write a certificate and its key, and return the files."""
        key = generate_private_key(SECP256R1())
        builder = self._builder(_named(common or "node"), key, days)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        stem = file or "-".join(names) or common
        certificate_file, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate_file.write_bytes(builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate_file, key_file

    def _builder(self, subject: x509.Name, key: EllipticCurvePrivateKey, days: float = 1) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
