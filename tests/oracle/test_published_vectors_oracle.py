"""The oracle's own primitives against Wycheproof, NIST, RFCs and the HPKE working group: it owes nothing to a library."""

from collections.abc import Callable

import pytest

from tests import published_vectors
from tests.oracle import chacha20_poly1305, ed25519, hpke, ml_kem, recovery, x25519
from tests.oracle.refusals import Refused
from tests.oracle.transcripts import hkdf, hmac256, sha256
from tests.published_vectors import records, wycheproof


def refused(call: Callable[..., object], *given: object) -> bool:
    try:
        call(*given)
    except Refused:
        return True
    return False


def x25519_vectors() -> int:
    cases = wycheproof("Protocol/wycheproof/x25519_test.json")
    for case in cases:
        private, public, shared = case.data("private", "public", "shared")
        assert x25519.ladder(private, public) == shared, case["tcId"]
        stricter = bool(set(case["flags"]) & {"ZeroSharedSecret", "NonCanonicalPublic"})
        assert refused(x25519.agree, private, public) == stricter, case["tcId"]
    more = records("asymmetric/X25519/rfc7748.txt")
    for case in more:
        assert x25519.ladder(*case.data("INPUT_SCALAR", "INPUT_U")) == case.data("OUTPUT_U")
    return len(cases) + len(more)


def ed25519_vectors() -> int:
    cases = wycheproof("Signature/wycheproof/ed25519_test.json")
    for case in cases:
        given = bytes.fromhex(case["publicKey"]["pk"]), *case.data("msg", "sig")
        assert refused(ed25519.verify, *given) != case.valid, case["tcId"]
    signed = published_vectors.ed25519_signatures()[::16]
    for seed, public, message, signature in signed:
        assert (ed25519.public_of(seed), ed25519.sign(seed, message)) == (public, signature)
        ed25519.verify(public, message, signature)
    return len(cases) + len(signed)


def ml_kem_vectors() -> int:
    keys = wycheproof("Protocol/wycheproof/mlkem_768_keygen_seed_test.json")
    for case in keys:
        assert ml_kem.public_of(case.data("seed")) == case.data("ek"), case["tcId"]
    sent = wycheproof("Protocol/wycheproof/mlkem_768_encaps_test.json")
    for case in sent:
        public, message = case.data("ek", "m")
        if case.valid:
            assert ml_kem.encapsulate(public, message) == tuple(case.data("K", "c")), case["tcId"]
        else:
            assert refused(ml_kem.encapsulate, public, message), case["tcId"]
    opened = wycheproof("Protocol/wycheproof/mlkem_768_test.json")
    for case in opened:
        seed, ciphertext = case.data("seed", "c")
        if case.valid:
            assert ml_kem.decapsulate(seed, ciphertext) == case.data("K"), case["tcId"]
        else:
            assert refused(ml_kem.decapsulate, seed, ciphertext), case["tcId"]
    nist = records("asymmetric/MLKEM/kat_MLKEM_768.rsp")[::50]
    for case in nist:
        seed = case.data("d") + case.data("z")
        secret, ciphertext = case.data("ss", "ct")
        assert ml_kem.public_of(seed) == case.data("pk")
        assert ml_kem.encapsulate(*case.data("pk", "msg")) == (secret, ciphertext)
        assert ml_kem.decapsulate(seed, ciphertext) == secret
    return len(keys) + len(sent) + len(opened) + len(nist)


def chacha20_poly1305_vectors() -> int:
    count = 0
    for case in wycheproof("Cipher/wycheproof/chacha20_poly1305_test.json"):
        key, nonce, ad, text, ciphertext, tag = case.data("key", "iv", "aad", "msg", "ct", "tag")
        if len(nonce) != 12:
            continue
        if case.valid:
            assert chacha20_poly1305.seal(key, nonce, text, ad) == ciphertext + tag, case["tcId"]
            assert chacha20_poly1305.unseal(key, nonce, ciphertext + tag, ad) == text
        else:
            assert refused(chacha20_poly1305.unseal, key, nonce, ciphertext + tag, ad), case["tcId"]
        count += 1
    return count


def hpke_vectors() -> int:
    cases = published_vectors.hpke()
    for case in cases:
        seed, public, enc, info = case.data("skRm", "pkRm", "enc", "info")
        shared = hpke.x_wing_decapsulate(seed, enc)
        assert (hpke.x_wing_public(seed), shared) == (public, case.data("shared_secret"))
        assert hpke.x_wing_encapsulate(public, case.data("ikmE")) == (shared, enc)
        key, nonce = hpke.key_and_nonce(shared, info)
        assert (key, nonce) == (case.data("key"), case.data("base_nonce"))
        for number, each in enumerate(case["encryptions"]):
            aad, text, sealed = (bytes.fromhex(each[name]) for name in ("aad", "pt", "ct"))
            at = (int.from_bytes(nonce, "big") ^ number).to_bytes(12, "big")
            assert chacha20_poly1305.seal(key, at, text, aad) == sealed
            if not number:
                assert hpke.unseal(seed, info, enc + sealed, aad) == text
                assert hpke.seal(public, info, text, case.data("ikmE"), aad) == enc + sealed
    return len(cases)


def hkdf_and_hmac_vectors() -> int:
    count = 0
    for case in wycheproof("Protocol/wycheproof/hkdf_sha256_test.json"):
        if case.valid:
            salt, ikm, info, okm = case.data("salt", "ikm", "info", "okm")
            assert hkdf(salt, ikm, info, case["size"]) == okm, case["tcId"]
            count += 1
    for case in records("HMAC/rfc-4231-sha256.txt"):
        key, message, expected = case.data("Key", "Msg", "MD")
        assert hmac256(key, message) == expected
        count += 1
    return count


AT_LEAST = {
    x25519_vectors: 521,
    ed25519_vectors: 274,
    ml_kem_vectors: 586,
    chacha20_poly1305_vectors: 300,
    hpke_vectors: 2,
    hkdf_and_hmac_vectors: 86,
}


@pytest.mark.parametrize("run", AT_LEAST, ids=lambda run: run.__name__)
def test_the_oracle_agrees_with_published_vectors(
    run: Callable[[], int], record_property: Callable[[str, object], None]
) -> None:
    count = run()
    assert count >= AT_LEAST[run] > 0
    record_property("vectors", (f"{run.__name__.removesuffix('_vectors')}, of the oracle", count))


def test_the_words_of_recovery_are_the_published_list() -> None:
    """SHA-256 of english.txt in the repository of BIP-39."""
    digest = sha256(recovery.WORD_LIST.read_bytes()).hex()
    assert digest == "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    assert len(set(recovery.WORDS)) == 2_048
