"""Wycheproof, NIST, RFCs and the HPKE working group, for each primitive as the project calls it; the counts are printed.

Where the project is stricter than a vector (keys of A7), the refusal is what is expected.
"""

from collections.abc import Callable

import pytest
from cryptography.hazmat.bindings._rust import openssl as rust_openssl

from crypto import primitives
from crypto.errors import CryptoError, InvalidEncoding, InvalidKey, Undecryptable
from crypto.primitives import AeadKey, HpkePrivateKey, KemPrivateKey
from tests import published_vectors
from tests.published_vectors import records, wycheproof
from tests.vector_counts import VectorCounts

FIELD_PRIME = 2**255 - 19


def refuses(kinds: type[Exception] | tuple[type[Exception], ...], call: Callable[[], object]) -> bool:
    """Whether the call raises one of these."""
    try:
        call()
    except kinds:
        return True
    return False


def sha256() -> int:
    return _hashes("SHA256", primitives.sha256)


def sha512() -> int:
    return _hashes("SHA512", primitives.sha512)


def _hashes(name: str, function: Callable[[bytes], bytes]) -> int:
    cases = [*records(f"hashes/SHA2/{name}ShortMsg.rsp"), *records(f"hashes/SHA2/{name}LongMsg.rsp")]
    for case in cases:
        assert function(case.data("Msg")[: int(case["Len"]) // 8]) == case.data("MD"), case["Len"]
    return len(cases)


def hmac_sha256() -> int:
    cases = records("HMAC/rfc-4231-sha256.txt")
    for case in cases:
        key, message, expected = case.data("Key", "Msg", "MD")
        assert primitives.hmac_sha256(key, message) == expected, case
        assert primitives.hmac_sha256_twice(key, message, b"") == (expected, primitives.hmac_sha256(key, b""))
    return len(cases)


def hkdf_sha256() -> int:
    count = 0
    for case in [*records("KDF/rfc-5869-HKDF-SHA256.txt"), *records("KDF/hkdf-generated.txt")]:
        if case["Hash"] == "SHA-256":
            salt, ikm, info, okm = case.data("salt", "IKM", "info", "OKM")
            assert primitives.hkdf_sha256(salt, ikm, info, int(case["L"])) == okm, case["COUNT"]
            count += 1
    for case in wycheproof("Protocol/wycheproof/hkdf_sha256_test.json"):
        salt, ikm, info, okm = case.data("salt", "ikm", "info", "okm")

        def derive(given: tuple[bytes, bytes, bytes, int] = (salt, ikm, info, case["size"])) -> bytes:
            return primitives.hkdf_sha256(*given)

        assert derive() == okm if case.valid else refuses(ValueError, derive), case["tcId"]
        count += 1
    return count


def argon2id() -> int:
    count = 0
    for case in records("KDF/argon2id.txt"):
        if case["length"] != "32" or case.get("secret") or case.get("ad") or "pass" not in case:
            continue  # the project calls it with neither, and for 32 B
        passphrase, salt, output = case.data("pass", "salt", "output")
        costs = {"memory_kib": "memcost", "passes": "iter", "lanes": "lanes"}
        arguments = {name: int(case[theirs]) for name, theirs in costs.items()}
        assert primitives.argon2id(passphrase, salt, **arguments) == output, case["COUNT"]
        count += 1
    return count


def x25519() -> int:
    cases = wycheproof("Protocol/wycheproof/x25519_test.json")
    for case in cases:
        private, public, shared = case.data("private", "public", "shared")

        def agree(private: bytes = private, public: bytes = public) -> bytes:
            return primitives.x25519(private, public)

        if set(case["flags"]) & {"ZeroSharedSecret", "NonCanonicalPublic"}:
            assert refuses(InvalidKey, agree), case["tcId"]
        else:
            primitives.x25519_check(public)
            assert agree() == shared, case["tcId"]
    more = records("asymmetric/X25519/rfc7748.txt")
    for case in more:
        private, public, shared = case.data("INPUT_SCALAR", "INPUT_U", "OUTPUT_U")
        if int.from_bytes(public, "little") >= FIELD_PRIME:
            assert refuses(InvalidKey, lambda: primitives.x25519(private, public))  # noqa: B023 - called at once
        else:
            assert primitives.x25519(private, public) == shared
        if public == (9).to_bytes(32, "little"):
            assert primitives.x25519_keypair(private) == (private, shared)
    return len(cases) + len(more)


def ed25519() -> int:
    cases = wycheproof("Signature/wycheproof/ed25519_test.json")
    for case in cases:
        public, message, signature = bytes.fromhex(case["publicKey"]["pk"]), *case.data("msg", "sig")

        def verify(given: tuple[bytes, bytes, bytes] = (public, message, signature)) -> None:
            primitives.ed25519_check(given[0])
            primitives.ed25519_verify(*given)

        # "Acceptable" are keys of small or mixed order: refused here.
        assert refuses(CryptoError, verify) != case.valid, case["tcId"]
    signed = published_vectors.ed25519_signatures()
    for seed, public, message, signature in signed:
        private, made = primitives.ed25519_keypair(seed)
        assert (made, primitives.ed25519_sign(private, message)) == (public, signature)
        primitives.ed25519_verify(public, message, signature)
    return len(cases) + len(signed)


def ml_kem_key_generation() -> int:
    cases = wycheproof("Protocol/wycheproof/mlkem_768_keygen_seed_test.json")
    for case in cases:
        assert KemPrivateKey(case.data("seed")).public_bytes() == case.data("ek"), case["tcId"]
    more = records("asymmetric/MLKEM/kat_MLKEM_768.rsp")
    for case in more:
        assert KemPrivateKey(case.data("d") + case.data("z")).public_bytes() == case.data("pk"), case["count"]
    return len(cases) + len(more)


def ml_kem_encapsulation() -> int:
    """The library draws its own randomness: what is encapsulated must open, bad keys are refused."""
    cases = wycheproof("Protocol/wycheproof/mlkem_768_encaps_test.json")
    for case in cases:
        public = case.data("ek")
        if case.valid:
            primitives.ml_kem_768_check(public)
            assert [len(part) for part in primitives.ml_kem_768_encapsulate(public)] == [32, 1_088]
        else:
            for call in (primitives.ml_kem_768_check, primitives.ml_kem_768_encapsulate):
                assert refuses((InvalidKey, InvalidEncoding), lambda: call(public)), case["tcId"]  # noqa: B023 - at once
    more = records("asymmetric/MLKEM/kat_MLKEM_768.rsp")[:100]
    for case in more:
        key = KemPrivateKey(case.data("d") + case.data("z"))
        secret, ciphertext = primitives.ml_kem_768_encapsulate(case.data("pk"))
        assert key.decapsulate(ciphertext) == secret, case["count"]
    return len(cases) + len(more)


def ml_kem_decapsulation() -> int:
    cases = wycheproof("Protocol/wycheproof/mlkem_768_test.json")
    for case in cases:
        seed, ciphertext = case.data("seed", "c")
        if case.valid:
            key = KemPrivateKey(seed)
            assert (key.public_bytes(), key.decapsulate(ciphertext)) == tuple(case.data("ek", "K")), case[
                "tcId"
            ]
        else:
            open_it = lambda: KemPrivateKey(seed).decapsulate(ciphertext)  # noqa: B023, E731 - called at once
            assert refuses(InvalidEncoding, open_it), case["tcId"]
    more = records("asymmetric/MLKEM/kat_MLKEM_768.rsp")
    for case in more:
        key = KemPrivateKey(case.data("d") + case.data("z"))
        assert key.decapsulate(case.data("ct")) == case.data("ss"), case["count"]
    return len(cases) + len(more)


def aes_256_gcm() -> int:
    count = 0
    for case in wycheproof("Cipher/wycheproof/aes_gcm_test.json"):
        if (case["keySize"], case["ivSize"], case["tagSize"]) == (256, 96, 128):
            key, nonce, ad, text, ciphertext, tag = case.data("key", "iv", "aad", "msg", "ct", "tag")
            _aes_gcm(key, nonce, ad, ciphertext + tag, text if case.valid else None)
            count += 1
    for name in ("gcmDecrypt256", "gcmEncryptExtIV256"):
        for case in records(f"ciphers/AES/GCM/{name}.rsp"):
            if (case["IVlen"], case["Taglen"]) == ("96", "128"):
                key, nonce, ad, ciphertext, tag = case.data("Key", "IV", "AAD", "CT", "Tag")
                text = None if "FAIL" in case else case.data("PT")
                _aes_gcm(key, nonce, ad, ciphertext + tag, text)
                count += 1
    return count


def _aes_gcm(key: bytes, nonce: bytes, ad: bytes, sealed: bytes, text: bytes | None) -> None:
    kept = AeadKey(key)
    if text is None:
        assert refuses(Undecryptable, lambda: primitives.aes256gcm_open(key, nonce, sealed, ad))
        assert kept.try_open(nonce, sealed, ad) is None
        assert refuses(Undecryptable, lambda: kept.open(nonce, sealed, ad))
    else:
        assert primitives.aes256gcm_open(key, nonce, sealed, ad) == kept.open(nonce, sealed, ad) == text
        assert primitives.aes256gcm_seal(key, nonce, text, ad) == kept.seal(nonce, text, ad) == sealed


def hpke_with_x_wing() -> int:
    """The published messages have an AAD, which the library's single shot takes by another name only."""
    cases = published_vectors.hpke()
    for case in cases:
        private, first = HpkePrivateKey(case.data("skRm")), case["encryptions"][0]
        sealed = case.data("enc") + bytes.fromhex(first["ct"])
        assert private.public_bytes() == case.data("pkRm")
        primitives.hpke_check(private.public_bytes())
        given = {"info": case.data("info"), "aad": bytes.fromhex(first["aad"])}
        opened = rust_openssl.hpke._decrypt_with_aad(primitives._HPKE, sealed, private.expanded(), **given)
        assert opened.hex() == first["pt"]
        assert refuses(Undecryptable, lambda: primitives.hpke_open(private, given["info"], sealed))  # noqa: B023
        own = primitives.hpke_seal(private.public_bytes(), given["info"], opened)
        assert primitives.hpke_open(private, given["info"], own) == opened
    return len(cases)


RUNS: dict[Callable[[], int], tuple[str, ...]] = {
    sha256: ("sha256",),
    sha512: ("sha512",),
    hmac_sha256: ("hmac_sha256", "hmac_sha256_twice"),
    hkdf_sha256: ("hkdf_sha256",),
    argon2id: ("argon2id",),
    x25519: ("x25519", "x25519_check", "x25519_keypair"),
    ed25519: ("ed25519_check", "ed25519_keypair", "ed25519_sign", "ed25519_verify"),
    ml_kem_key_generation: ("KemPrivateKey",),
    ml_kem_encapsulation: ("ml_kem_768_check", "ml_kem_768_encapsulate"),
    ml_kem_decapsulation: ("KemPrivateKey",),
    aes_256_gcm: ("AeadKey", "aes256gcm_open", "aes256gcm_seal"),
    hpke_with_x_wing: ("HpkePrivateKey", "hpke_check", "hpke_open", "hpke_seal"),
}
"""What compares vectors, and what of `crypto.primitives` it calls."""
AT_LEAST = {
    sha256: 129,
    sha512: 257,
    hmac_sha256: 6,
    hkdf_sha256: 90,
    argon2id: 2,
    x25519: 521,
    ed25519: 1_234,
    ml_kem_key_generation: 1_100,
    ml_kem_encapsulation: 365,
    ml_kem_decapsulation: 1_201,
    aes_256_gcm: 816,
    hpke_with_x_wing: 2,
}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_published_vectors(run: Callable[[], int], record_property: Callable[[str, object], None]) -> None:
    count = run()
    assert count >= AT_LEAST[run] > 0
    record_property("vectors", (f"{run.__name__}, as crypto.primitives calls it", count))


def test_every_primitive_of_the_project_has_published_vectors() -> None:
    compared = {name for names in RUNS.values() for name in names}
    assert compared == set(primitives.__all__) - {"RandomBytes", "require_supported_build"}


def test_a_file_of_records_is_read_whole() -> None:
    """By another way of counting: a parser that loses records would make the counts small and nobody would see."""
    for name, mark in (
        ("ciphers/AES/GCM/gcmDecrypt256.rsp", "Count = "),
        ("asymmetric/MLKEM/kat_MLKEM_768.rsp", "count = "),
        ("hashes/SHA2/SHA256ShortMsg.rsp", "Msg = "),
        ("KDF/argon2id.txt", "COUNT = "),
    ):
        assert len(records(name)) == (published_vectors.PYCA / name).read_text().count(f"\n{mark}") + (
            name.endswith("MLKEM_768.rsp")  # its first line is a mark, too
        )


def test_counts_are_printed_at_the_end_of_a_run() -> None:
    counts = VectorCounts()
    report = pytest.TestReport(
        "x", ("x", 0, "x"), {}, "passed", None, "call", user_properties=[("vectors", ("this one", 1_234))]
    )
    counts.pytest_runtest_logreport(report)
    written: list[str] = []

    class Terminal:
        section = staticmethod(written.append)
        write_line = staticmethod(written.append)

    counts.pytest_terminal_summary(Terminal())  # type: ignore[arg-type]
    assert written[1:] == ["  1,234  this one"]
