"""sealing.json: the libraries open what is there and compute each step of it; what must fail does so as named."""

import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from crypto.errors import CryptoError
from crypto.primitives import HpkePrivateKey, KemPrivateKey, hpke_check, hpke_open, hpke_seal, x25519
from tests.vectors.generate_sealing import FILE

VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
SUITE = b"HPKE" + bytes.fromhex("647a00010003")


def data(of: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(of[name]) for name in names]


def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract of RFC 9180, section 4."""
    made = hmac.HMAC(salt or bytes(32), hashes.SHA256())
    made.update(b"HPKE-v1" + SUITE + label + ikm)
    return made.finalize()


def expand(secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """LabeledExpand of the same."""
    info = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + context
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


@pytest.mark.parametrize("one", VECTORS["sealings"], ids=["a text", "nothing"])
def test_each_step_follows_from_those_before(one: dict[str, Any]) -> None:
    seed, kem_seed, private, public, sealed, info = data(
        one, "seed", "kem_seed", "x25519_private", "public", "sealed", "info"
    )
    assert hashlib.shake_256(seed).digest(96) == kem_seed + private
    assert HpkePrivateKey(seed).public_bytes() == public
    kem_secret, x25519_secret, combined, shared = data(
        one, "kem_secret", "x25519_secret", "combined", "shared_secret"
    )
    assert KemPrivateKey(kem_seed).decapsulate(sealed[:1_088]) == kem_secret
    assert x25519(private, sealed[1_088:1_120]) == x25519_secret
    halves = kem_secret + x25519_secret + sealed[1_088:1_120] + public[1_184:]
    assert combined == halves + bytes.fromhex("5c2e2f2f5e5c")
    assert hashlib.sha3_256(combined).digest() == shared
    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    key, nonce, plaintext = data(one, "key", "nonce", "plaintext")
    assert (expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)) == (key, nonce)
    assert ChaCha20Poly1305(key).encrypt(nonce, plaintext, None) == sealed[1_120:]
    assert hpke_open(HpkePrivateKey(seed), info, sealed) == plaintext


@pytest.mark.parametrize("case", VECTORS["must_fail"]["opening"], ids=lambda case: case["name"])
def test_what_does_not_open(case: dict[str, Any]) -> None:
    seed, info = data(VECTORS["sealings"][0], "seed", "info")
    with pytest.raises(CryptoError) as caught:
        hpke_open(HpkePrivateKey(seed), info, bytes.fromhex(case["sealed"]))
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.parametrize("case", VECTORS["must_fail"]["keys"], ids=lambda case: case["name"])
def test_a_key_that_nothing_is_sealed_to(case: dict[str, Any]) -> None:
    public = bytes.fromhex(case["public"])
    with pytest.raises(CryptoError) as caught:
        hpke_check(public)
    assert type(caught.value).__name__ == case["error"]
    with pytest.raises(type(caught.value)):
        hpke_seal(public, b"", b"")
