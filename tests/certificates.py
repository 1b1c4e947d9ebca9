"""Certificates for tests of TLS: an authority of their own, and pairs that it signs for this machine."""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
PEM = serialization.Encoding.PEM


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes
    serial: int

    def write(self, folder: Path, *, mode: int = 0o600) -> tuple[Path, Path]:
        """Both as files, the key with this mode; as certbot and others do, by a rename."""
        files = (folder / "fullchain.pem", folder / "privkey.pem")
        for path, content in zip(files, (self.certificate, self.key), strict=True):
            draft = path.with_suffix(".new")
            draft.write_bytes(content)
            draft.chmod(mode)
            draft.rename(path)
        return files

    def settings(self, folder: Path) -> str:
        """A file with settings that name them, for --config."""
        certificate, key = self.write(folder)
        return f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'


class Authority:
    """Signs certificates for 127.0.0.1 and localhost."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name("authority of a test")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate = (
            self._builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @staticmethod
    def _builder(
        subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(END)
        )

    def pair(self, *, passphrase: bytes | None = None, names: Sequence[str] = ()) -> Pair:
        """A new certificate with a new key; for this machine, or for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        of_machine = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            self._builder(_name("relay of a test"), self._certificate.subject, key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names] or of_machine),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        cipher = (
            serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        )
        encoded = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, cipher)
        return Pair(certificate.public_bytes(PEM), encoded, certificate.serial_number)

    def write(self, path: Path) -> Path:
        """Its own certificate, for who trusts it."""
        path.write_bytes(self._certificate.public_bytes(PEM))
        return path

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts it alone."""
        context = ssl.create_default_context(cadata=self._certificate.public_bytes(PEM).decode())
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def serving(self, folder: Path) -> ssl.SSLContext:
        """A server's context with a pair that it signed, whose files are in this folder."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.pair().write(folder))
        return context
