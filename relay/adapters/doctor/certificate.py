"""The check of the relay's own TLS: the pair of files, the time it is good for, the names it is for."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from relay.adapters.tls_files import TlsFiles, TlsUnusable

from .findings import Finding, failed, ok, warning

SOON: Final = timedelta(days=14)
_RENEW: Final = "get a new one from its authority; the relay reads it by itself once the files are there"


def check_tls(certificate: Path | None, key: Path | None, origin: str | None, now_ms: int) -> Finding:
    """Whether clients that go by `origin` take the certificate now, and for two weeks more."""
    if certificate is None or key is None:
        return ok("tls", "none of the relay's own")
    certificate, key = (
        path.expanduser().absolute() for path in (certificate, key)
    )  # as the relay reads them
    try:
        TlsFiles(certificate, key)
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except TlsUnusable as error:
        return failed("tls", str(error), "correct `tls.certificate` and `tls.key`, or the files")
    except (OSError, ValueError) as error:
        return failed("tls", f"{certificate}: {error}", "put the certificate there anew, as PEM")
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    ends = found.not_valid_after_utc
    if now < found.not_valid_before_utc:
        return failed("tls", f"good from {found.not_valid_before_utc:%Y-%m-%d} on", "look at the clock")
    if now >= ends:
        return failed("tls", f"expired on {ends:%Y-%m-%d}", _RENEW)
    names = _names(found)
    host = urlsplit(origin).hostname if origin else None
    if host is not None and not any(_fits(name, host) for name in names):
        told = ", ".join(names) or "nothing"
        return failed("tls", f"for {told}, and clients go to {host}", "get one for the host of `origin`")
    if ends - now < SOON:
        return warning("tls", f"good until {ends:%Y-%m-%d}", _RENEW)
    return ok("tls", f"good until {ends:%Y-%m-%d}, for {', '.join(names)}")


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _fits(name: str, host: str) -> bool:
    """RFC 9525: a wildcard stands for one whole label."""
    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        name, host = name.lower(), host.lower()
    if name.startswith("*."):
        return "." in host and host.split(".", 1)[1] == name[2:]
    return name == host
