"""manifests.json and sessions.json are what their generators write, and what the code says of each entry."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto import errors
from crypto.errors import CryptoError
from crypto.keys import IdentityKeyPair, LocalDevice, RootKeyPair, SigningKeyPair, account_id
from crypto.local_prekeys import LocalPrekey, LocalPrekeys
from crypto.manifest import SignedManifest, build_manifest, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.padding import unpad
from crypto.pqxdh import ManifestRef, Party, SetupValues, respond
from crypto.prekeys import Bundle, KeyClass, KeyKind, SignedKey, verify_bundle
from crypto.primitives import hpke_open
from crypto.safety_number import safety_number
from crypto.sealed_first_message import SetupContent, open_setup
from tests.vectors import generate_manifests, generate_sessions

FOLDER = Path(generate_manifests.__file__).parent
MANIFESTS: dict[str, Any] = json.loads((FOLDER / "manifests.json").read_text(encoding="utf-8"))
SESSIONS: dict[str, Any] = json.loads((FOLDER / "sessions.json").read_text(encoding="utf-8"))


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


def kind_of(name: str) -> type[CryptoError]:
    kind = getattr(errors, name)
    assert issubclass(kind, CryptoError)
    return kind


@pytest.mark.parametrize("generator", [generate_manifests, generate_sessions], ids=["manifests", "sessions"])
def test_the_file_is_what_its_generator_writes(generator: Any) -> None:
    assert generator.document() == generator.FILE.read_text(encoding="utf-8")


# Manifests

SIGNED = {
    name: SignedManifest.parse(unhex(entry["encoded"])) for name, entry in MANIFESTS["manifests"].items()
}


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_each_manifest_is_made_of_its_parts(name: str) -> None:
    entry, signed = MANIFESTS["manifests"][name], SIGNED[name]
    assert signed.encode() == unhex(entry["encoded"])
    assert (signed.body, signed.signer, signed.signature) == tuple(
        unhex(entry[field]) for field in ("body", "signer", "signature")
    )
    assert hashlib.sha256(signed.body).digest() == signed.hash == unhex(entry["hash"])


def test_the_first_manifest_from_its_seeds() -> None:
    root = RootKeyPair.from_seed(unhex(MANIFESTS["root_seed"]))
    assert account_id(root.public) == unhex(MANIFESTS["account_id"])
    first = SIGNED["first"]
    body = build_manifest(root.public, 1, None, first.manifest.devices)
    assert sign_manifest(body, root) == first
    device = MANIFESTS["devices"][0]
    entry = first.manifest.devices[0]
    assert SigningKeyPair.from_seed(unhex(device["signing_seed"])).public == entry.signing_public
    assert IdentityKeyPair.from_seed(unhex(device["identity_private"])).public == entry.identity_public


@pytest.mark.parametrize(
    "case", MANIFESTS["chains"], ids=lambda case: f"{case['chain'][-1]}: {case['error']}"
)
def test_each_chain_verifies_or_fails_as_it_says(case: dict[str, Any]) -> None:
    account = unhex(MANIFESTS["account_id"])
    known_chain = [SIGNED[name] for name in case["known"]]
    known = verify_chain(account, None, known_chain) if known_chain else None
    chain = [SIGNED[name] for name in case["chain"]]
    if case["error"] is None:
        assert verify_chain(account, known, chain).newest == chain[-1]
    else:
        with pytest.raises(CryptoError) as caught:
            verify_chain(account, known, chain)
        assert type(caught.value) is kind_of(case["error"])


@pytest.mark.parametrize("case", MANIFESTS["safety_numbers"])
def test_each_safety_number(case: dict[str, str]) -> None:
    assert safety_number(unhex(case["one"]), unhex(case["other"])) == case["digits"]


# Sessions


def device_of(name: str) -> LocalDevice:
    party = SESSIONS["parties"][name]
    return LocalDevice(
        unhex(party["account_id"]),
        unhex(party["device_id"]),
        SigningKeyPair.from_seed(unhex(party["signing_seed"])),
        IdentityKeyPair.from_seed(unhex(party["identity_private"])),
    )


def manifest_of(name: str) -> VerifiedManifest:
    party = SESSIONS["parties"][name]
    return verify_chain(unhex(party["account_id"]), None, [SignedManifest.parse(unhex(party["manifest"]))])


PREKEYS = LocalPrekeys(
    tuple(
        LocalPrekey.load(
            KeyKind(key["kind"]), KeyClass(key["class"]), key["id"], key["made_at_ms"], unhex(key["seed"])
        )
        for key in SESSIONS["prekeys"]
    )
)


@pytest.mark.parametrize("vector", SESSIONS["prekeys"], ids=lambda key: f"{key['kind']}-{key['class']}")
def test_each_prekey_from_its_seed(vector: dict[str, Any]) -> None:
    device = device_of("b")
    signed = PREKEYS.find(KeyKind(vector["kind"]), vector["id"]).signed(device)
    assert signed.key == unhex(vector["public"])
    assert signed.encode() == unhex(vector["encoded"])
    assert SignedKey.parse(unhex(vector["encoded"])) == signed
    assert device.signing.sign(unhex(vector["transcript"])) == signed.signature


@pytest.mark.proves("M-SHAKE-01")
@pytest.mark.parametrize("vector", SESSIONS["bundles"], ids=lambda vector: vector["name"])
def test_each_bundle_is_good_or_fails_as_it_says(vector: dict[str, Any]) -> None:
    manifest, device = manifest_of("b"), device_of("b")
    seen = {(KeyKind(kind), KeyClass(of)): at_ms for kind, of, at_ms in vector["seen"]}

    def verify() -> None:
        bundle = Bundle.of(SignedKey.parse(unhex(key)) for key in vector["keys"])
        entry = manifest.device(device.device_id)
        verify_bundle(bundle, manifest.account_id, entry, now_ms=vector["now_ms"], seen=seen)

    if vector["error"] is None:
        verify()
    else:
        with pytest.raises(CryptoError) as caught:
            verify()
        assert type(caught.value) is kind_of(vector["error"])


@pytest.mark.parametrize("vector", SESSIONS["setups"], ids=lambda vector: str(vector["setup_number"]))
def test_each_set_up_by_the_responder_and_by_hand(vector: dict[str, Any]) -> None:
    values = SetupValues.parse(unhex(vector["values"]))
    assert (
        values.digest() == hashlib.sha256(unhex(vector["values"])).digest() == unhex(vector["values_digest"])
    )
    a, a_manifest = device_of("a"), manifest_of("a")
    one_time_id = vector["one_time_id"]
    kem = PREKEYS.find(KeyKind.KEM, vector["kem_id"])
    secrets = respond(
        device_of("b"),
        Party.local(a, ManifestRef(a_manifest.version, a_manifest.hash)),
        values,
        signed=PREKEYS.find(KeyKind.SIGNED, vector["signed_id"]),
        one_time=None if one_time_id is None else PREKEYS.find(KeyKind.ONE_TIME, one_time_id),
        kem=kem,
    )
    keys = secrets.root_key + secrets.header_key_a + secrets.next_header_key_b
    assert secrets.session_id == unhex(vector["session_id"])
    names = ("root_key", "header_key_a", "next_header_key_b")
    assert keys == b"".join(unhex(vector[name]) for name in names)

    assert hashlib.sha256(unhex(vector["transcript"])).digest() == secrets.session_id
    assert unhex(vector["info"]) == b"tokenim/v1 session keys\x00" + secrets.session_id
    exchanges = b"".join(unhex(exchange) for exchange in vector["exchanges"])
    assert unhex(vector["ikm"]) == b"\xff" * 32 + exchanges + unhex(vector["kem_secret"])
    assert len(vector["exchanges"]) == (3 if one_time_id is None else 4)
    by_library = HKDF(hashes.SHA256(), 96, bytes(32), unhex(vector["info"])).derive(unhex(vector["ikm"]))
    assert by_library == keys


@pytest.mark.parametrize(
    "vector", SESSIONS["envelopes"], ids=lambda vector: f"sealing key {vector['sealing_id']}"
)
def test_each_set_up_envelope_opens_to_its_content(vector: dict[str, Any]) -> None:
    b, envelope = device_of("b"), unhex(vector["envelope"])
    content = open_setup(envelope, PREKEYS, b.account_id, b.device_id)
    assert content.encode() == unhex(vector["content"])
    assert SetupContent.parse(unhex(vector["content"])) == content
    assert (content.message, content.proof) == (unhex(vector["message"]), unhex(vector["proof"]))
    assert [signed.encode().hex() for signed in content.manifests] == vector["manifests"]
    sealing = PREKEYS.find(KeyKind.SEALING, vector["sealing_id"]).secret
    padded = hpke_open(sealing, unhex(vector["info"]), envelope[6:])  # type: ignore[arg-type]
    assert padded == unhex(vector["padded"])
    assert unpad(padded) == unhex(vector["content"])


@pytest.mark.parametrize("vector", SESSIONS["broken_contents"], ids=lambda vector: vector["name"])
def test_each_content_of_a_set_up_that_is_not_laid_out_as_it_must_be(vector: dict[str, Any]) -> None:
    with pytest.raises(CryptoError) as caught:
        SetupContent.parse(unhex(vector["content"]))
    assert type(caught.value) is kind_of(vector["error"])


@pytest.mark.proves("M-SHAKE-04")
@pytest.mark.parametrize("vector", SESSIONS["broken_envelopes"], ids=lambda vector: vector["name"])
def test_each_broken_set_up_envelope_fails_as_it_says(vector: dict[str, Any]) -> None:
    b = device_of("b")
    with pytest.raises(CryptoError) as caught:
        open_setup(unhex(vector["envelope"]), PREKEYS, b.account_id, b.device_id)
    assert type(caught.value) is kind_of(vector["error"])
