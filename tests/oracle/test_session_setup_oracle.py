"""Set-up and oracle agree: on the vectors, and when one begins a session with the other."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from crypto.prekeys import Bundle, KeyKind
from tests.crypto_people import Person, SeededRandom
from tests.oracle import session_setup as oracle
from tests.oracle.ratchet import Oracle, Refused
from tests.oracle.session_setup import Side

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "sessions.json").read_text())
EVERY_SIZE = range(262_145)
VERSION_1 = (1).to_bytes(8, "big")


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


def side_of(party: dict[str, str]) -> Side:
    return Side(
        unhex(party["account_id"]),
        unhex(party["device_id"]),
        VERSION_1,
        unhex(party["manifest_hash"]),
        oracle.x25519(unhex(party["identity_private"]), oracle.BASE),
    )


PREKEYS = {(key["kind"], key["id"]): key for key in VECTORS["prekeys"]}


def tagged(kind: int, key_id: int) -> bytes:
    """Kind, class, id and public key, which is made from the seed."""
    key = PREKEYS[kind, key_id]
    seed = unhex(key["seed"])
    if kind == KeyKind.KEM:
        public = MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
    else:
        public = oracle.x25519(seed, oracle.BASE)
    return bytes([kind, key["class"]]) + key_id.to_bytes(4, "big") + public


@pytest.mark.parametrize("vector", VECTORS["setups"], ids=lambda vector: str(vector["setup_number"]))
def test_the_oracle_agrees_with_the_set_ups_as_the_responder(vector: dict[str, Any]) -> None:
    values = oracle.split(unhex(vector["values"]), oracle.VALUES)
    ephemeral, ciphertext = values[12], values[13]
    signed_id, one_time_id, kem_id = (int.from_bytes(values[at], "big") for at in (7, 9, 11))
    a, b = side_of(VECTORS["parties"]["a"]), side_of(VECTORS["parties"]["b"])
    assert (values[0], values[1], values[2], values[3]) == a.fields()[:4]
    assert (values[4], values[5]) == (b.version, b.manifest_hash)
    signed = unhex(PREKEYS[1, signed_id]["seed"])
    identity = unhex(VECTORS["parties"]["b"]["identity_private"])
    results = [
        oracle.x25519(signed, a.identity),
        oracle.x25519(identity, ephemeral),
        oracle.x25519(signed, ephemeral),
    ]
    if values[8] == b"\x01":
        results.append(oracle.x25519(unhex(PREKEYS[3, one_time_id]["seed"]), ephemeral))
    assert [result.hex() for result in results] == vector["exchanges"]
    kem = MLKEM768PrivateKey.from_seed_bytes(unhex(PREKEYS[2, kem_id]["seed"]))
    prekeys = (
        tagged(1, signed_id),
        tagged(3, one_time_id) if values[8] == b"\x01" else b"",
        tagged(2, kem_id),
    )
    shared = b"".join(results) + kem.decapsulate(ciphertext)
    keys = oracle.agree(a, b, values[6], prekeys, (ephemeral, ciphertext), shared)
    assert {name: value.hex() for name, value in keys.items()} == {name: vector[name] for name in keys}


def sealing_seeds() -> dict[bytes, bytes]:
    return {
        key["id"].to_bytes(4, "big"): unhex(key["seed"]) for key in VECTORS["prekeys"] if key["kind"] == 4
    }


@pytest.mark.parametrize("vector", VECTORS["envelopes"], ids=lambda vector: str(len(vector["manifests"])))
def test_the_oracle_opens_the_set_up_envelopes(vector: dict[str, Any]) -> None:
    b = side_of(VECTORS["parties"]["b"])
    content = oracle.unwrap(unhex(vector["envelope"]), sealing_seeds(), (b.account, b.device))
    assert [manifest.hex() for manifest in content["manifests"]] == vector["manifests"]
    assert (content["proof"].hex(), content["message"].hex()) == (vector["proof"], vector["message"])


@pytest.mark.parametrize("vector", VECTORS["broken_envelopes"], ids=lambda vector: vector["name"])
def test_the_oracle_refuses_what_is_broken(vector: dict[str, Any]) -> None:
    b = side_of(VECTORS["parties"]["b"])
    with pytest.raises(Refused):
        oracle.unwrap(unhex(vector["envelope"]), sealing_seeds(), (b.account, b.device))


def side_of_person(person: Person) -> Side:
    return Side(
        person.account,
        person.device.device_id,
        VERSION_1,
        person.manifest.hash,
        oracle.x25519(person.device.identity.private, oracle.BASE),
    )


def begin(a: Person, b: Person, bundle: Bundle) -> tuple[Oracle, bytes]:
    """The oracle begins, with the long-lived keys of `a`: its session, and the set-up envelope with `hello`."""
    draw = SeededRandom("oracle")
    mine, theirs = side_of_person(a), side_of_person(b)
    ephemeral = draw(32)
    identity = a.device.identity.private
    kem_secret, ciphertext = MLKEM768PublicKey.from_public_bytes(bundle.kem.key).encapsulate()
    results = [
        oracle.x25519(identity, bundle.signed.key),
        oracle.x25519(ephemeral, theirs.identity),
        oracle.x25519(ephemeral, bundle.signed.key),
    ]
    one_time = bundle.one_time
    if one_time is not None:
        results.append(oracle.x25519(ephemeral, one_time.key))

    def named(kind: int, key_class: int, key_id: int, key: bytes) -> bytes:
        return bytes([kind, key_class]) + key_id.to_bytes(4, "big") + key

    prekeys = (
        named(1, 1, bundle.signed.key_id, bundle.signed.key),
        b"" if one_time is None else named(3, 2, one_time.key_id, one_time.key),
        named(2, bundle.kem.key_class, bundle.kem.key_id, bundle.kem.key),
    )
    public = oracle.x25519(ephemeral, oracle.BASE)
    number = (1).to_bytes(4, "big")
    keys = oracle.agree(mine, theirs, number, prekeys, (public, ciphertext), b"".join(results) + kem_secret)
    session = Oracle(
        keys, (mine.account, mine.device), (theirs.account, theirs.device), prekey_public=bundle.signed.key
    )
    session.sizes = EVERY_SIZE
    message = session.seal(b"hello", draw, 0)
    session.sizes = oracle.BUCKETS
    values = [
        *mine.fields()[:4],
        theirs.version,
        theirs.manifest_hash,
        number,
        bundle.signed.key_id.to_bytes(4, "big"),
        b"\x00" if one_time is None else b"\x01",
        (0 if one_time is None else one_time.key_id).to_bytes(4, "big"),
        bytes([bundle.kem.key_class]),
        bundle.kem.key_id.to_bytes(4, "big"),
        public,
        ciphertext,
    ]
    manifest = b"\x00" + a.manifest.newest.signature + a.manifest.newest.body
    content = b"".join(values) + b"\x01" + len(manifest).to_bytes(4, "big") + manifest + bytes(4) + message
    sealing = bundle.sealing.key_id.to_bytes(4, "big"), bundle.sealing.key
    return session, oracle.wrap(content, sealing, (theirs.account, theirs.device), draw(32))


@pytest.mark.parametrize("one_time", [True, False])
def test_the_oracle_begins_and_they_talk(one_time: bool) -> None:
    a, b = Person("oracle side"), Person("our side")
    session, envelope = begin(a, b, b.relay.claim(one_time=one_time))
    assert b.receive(envelope) == b"hello"
    assert b.active_id(a) == session.session_id
    assert session.open(b.send(a, b"answer"), 0) == b"answer"
    assert b.receive(session.seal(b"on the ratchet", SeededRandom("more"), 0)) == b"on the ratchet"


@pytest.mark.parametrize("one_time", [True, False])
def test_we_begin_with_the_oracle_and_they_talk(one_time: bool) -> None:
    a, b = Person("our side"), Person("oracle side")
    bundle = b.relay.claim(one_time=one_time)
    a.start(b, bundle=bundle)
    sealing = {
        key.key_id.to_bytes(4, "big"): key.secret.seed
        for key in b.prekeys.keys
        if key.kind is KeyKind.SEALING
    }
    content = oracle.unwrap(a.send(b, b"hello"), sealing, (b.account, b.device.device_id))
    values = content["values"]
    assert content["manifests"] == [b"\x00" + a.manifest.newest.signature + a.manifest.newest.body]

    def seed(kind: KeyKind, key_id: bytes) -> bytes:
        return b.prekeys.find(kind, int.from_bytes(key_id, "big")).secret.seed

    ephemeral, ciphertext = values[12], values[13]
    signed = seed(KeyKind.SIGNED, values[7])
    results = [
        oracle.x25519(signed, a.device.identity.public),
        oracle.x25519(b.device.identity.private, ephemeral),
        oracle.x25519(signed, ephemeral),
    ]
    one_time_tag = b""
    if values[8] == b"\x01":
        one_time_seed = seed(KeyKind.ONE_TIME, values[9])
        results.append(oracle.x25519(one_time_seed, ephemeral))
        one_time_tag = b"\x03\x02" + values[9] + oracle.x25519(one_time_seed, oracle.BASE)
    kem = MLKEM768PrivateKey.from_seed_bytes(seed(KeyKind.KEM, values[11]))
    prekeys = (
        b"\x01\x01" + values[7] + oracle.x25519(signed, oracle.BASE),
        one_time_tag,
        b"\x02" + values[10] + values[11] + kem.public_key().public_bytes_raw(),
    )
    shared = b"".join(results) + kem.decapsulate(ciphertext)
    keys = oracle.agree(
        side_of_person(a), side_of_person(b), values[6], prekeys, (ephemeral, ciphertext), shared
    )
    assert keys["session_id"] == a.active_id(b)
    me, peer = (b.account, b.device.device_id), (a.account, a.device.device_id)
    session = Oracle(keys, me, peer, prekey_private=signed)
    session.sizes = EVERY_SIZE
    assert session.open(content["message"], 0) == b"hello"
    session.sizes = oracle.BUCKETS
    assert a.receive(session.seal(b"answer", SeededRandom("oracle"), 0)) == b"answer"
    assert session.open(a.send(b, b"on the ratchet"), 0) == b"on the ratchet"


def test_the_oracles_ladder_is_that_of_rfc_7748() -> None:
    scalar = unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    expected = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    assert oracle.x25519(scalar, point).hex() == expected
