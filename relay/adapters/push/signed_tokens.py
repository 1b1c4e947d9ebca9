"""Signed tokens by which the relay proves to a push service who it is (JWT, RFC 7519), and the files of their keys."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from relay.adapters.secret_files import SecretExposed, refuse_exposed
from relay.wire.links import encode_bytes

Sign: TypeAlias = Callable[[bytes], bytes]
"""A signature over these bytes, in the form that its algorithm has in a token."""
_P256_BYTES: Final = 32
_LEAST_RSA_BITS: Final = 2_048


class PushKeyUnusable(ValueError):
    """A push service cannot be used with this file; one line that says why, and nothing of what is in it."""


def signed_token(header: Mapping[str, str], claims: Mapping[str, str | int], sign: Sign) -> str:
    """Header, claims and signature as a service reads them; `header` names the algorithm of `sign`."""
    signed = ".".join(
        encode_bytes(json.dumps(dict(part), separators=(",", ":")).encode()) for part in (header, claims)
    )
    return f"{signed}.{encode_bytes(sign(signed.encode()))}"


def es256(key: ec.EllipticCurvePrivateKey) -> Sign:
    """ECDSA on P-256 with SHA-256, both numbers at their full length (RFC 7518, 3.4)."""

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_P256_BYTES) + s.to_bytes(_P256_BYTES)

    return sign


def rs256(key: rsa.RSAPrivateKey) -> Sign:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, 3.3)."""
    return lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def read_secret(path: Path) -> bytes:
    """What is in a file that only its owner reads; raises PushKeyUnusable."""
    try:
        refuse_exposed(path)
        return path.read_bytes()
    except SecretExposed as error:
        raise PushKeyUnusable(str(error)) from error
    except OSError as error:
        raise PushKeyUnusable(f"{path}: {error.strerror}") from error


def p256_key(pem: bytes, path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of ES256; `path`: where it stood, for the words of PushKeyUnusable."""
    key = _private_key(pem, path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PushKeyUnusable(f"{path}: no key of the curve P-256")
    return key


def rsa_key(pem: bytes, path: Path) -> rsa.RSAPrivateKey:
    """The key of RS256; likewise."""
    key = _private_key(pem, path)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _LEAST_RSA_BITS:
        raise PushKeyUnusable(f"{path}: no RSA key of at least {_LEAST_RSA_BITS} bits")
    return key


def _private_key(pem: bytes, path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a passphrase
        raise PushKeyUnusable(f"{path}: no private key in PEM without a passphrase") from error
