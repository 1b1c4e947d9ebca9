"""The kit's own peer: it computes what the vectors say, refuses what the document has refused, and our clients talk with it."""

import hashlib
import json
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from client.conformance.client_suite.peer_contents import Numbering, written
from client.conformance.client_suite.peer_keys import (
    KemPair,
    Pair,
    SealingPair,
    bucket_for,
    derive,
    label,
    step,
)
from client.conformance.client_suite.peer_ratchet import Party, Ratchet, Secrets
from client.conformance.client_suite.peer_setup import (
    Agreed,
    Key,
    Listed,
    agreements_of_a,
    agreements_of_b,
    open_setup,
    seal_setup,
)
from client.conformance.report import Failed
from client.conformance.wire import sha256
from tests.conformance.test_client_suite import ADAPTERS, kit

VECTORS = Path(__file__).parents[1] / "vectors"
US, CLIENT = Party(bytes(32), bytes(16)), Party(b"c" * 32, b"c" * 16)


def vectors(name):
    return json.loads((VECTORS / name).read_text())


def hexed(text):
    return bytes.fromhex(text)


def pair(private):
    return Pair(X25519PrivateKey.from_private_bytes(hexed(private)))


def listed(party):
    manifest = hexed(party["manifest"])
    return Listed(
        Party(hexed(party["account_id"]), hexed(party["device_id"])),
        1,
        manifest[65:],
        hexed(party["identity_public"]),
    )


def sealing_pair(seed):
    stream = hashlib.shake_256(hexed(seed)).digest(96)
    kem = KemPair(MLKEM768PrivateKey.from_seed_bytes(stream[:64]))
    return SealingPair(kem, Pair(X25519PrivateKey.from_private_bytes(stream[64:])))


def two_ratchets():
    secrets = Secrets(bytes(32), b"r" * 32, b"h" * 32, b"n" * 32)
    signed = Pair()
    return (
        Ratchet(secrets, CLIENT, US, signed=signed.public),
        Ratchet(secrets, US, CLIENT, signed=signed),
    )


def test_the_peer_agrees_on_the_keys_of_the_vectors_from_both_sides():
    told = vectors("sessions.json")
    a, b = (listed(told["parties"][name]) for name in "ab")
    keys = {(one["kind"], one["id"]): one for one in told["prekeys"]}
    for setup in told["setups"]:

        def key(kind, key_id, keys=keys):
            one = keys[kind, key_id]
            return Key(kind, one["class"], key_id, hexed(one["public"]))

        signed, kem = key(1, setup["signed_id"]), key(2, setup["kem_id"])
        once = key(3, setup["one_time_id"]) if setup["one_time_id"] else None
        ephemeral = pair(setup["ephemeral_private"])
        ciphertext = hexed(setup["kem_ciphertext"])
        agreed = Agreed(a, b, setup["setup_number"], signed, once, kem, ephemeral.public, ciphertext)
        assert agreed.values().hex() == setup["values"]
        identities = [pair(told["parties"][name]["identity_private"]) for name in "ab"]
        by_a = agreements_of_a(identities[0], ephemeral, b, signed, once)
        private_once = None if once is None else pair(keys[3, setup["one_time_id"]]["seed"])
        private_signed = pair(keys[1, setup["signed_id"]]["seed"])
        by_b = agreements_of_b(identities[1], private_signed, private_once, a.identity, ephemeral.public)
        assert by_a == by_b
        kem_pair = KemPair(MLKEM768PrivateKey.from_seed_bytes(hexed(keys[2, setup["kem_id"]]["seed"])))
        secrets = agreed.secrets(by_a, kem_pair.open(ciphertext))
        assert secrets.session_id.hex() == setup["session_id"]
        assert secrets.root_key.hex() == setup["root_key"]
        assert secrets.header_key_a.hex() == setup["header_key_a"]
        assert secrets.next_header_key_b.hex() == setup["next_header_key_b"]


def test_the_peer_opens_the_set_up_envelopes_of_the_vectors_and_its_own():
    told = vectors("sessions.json")
    party = listed(told["parties"]["b"]).party
    keys = {one["id"]: sealing_pair(one["seed"]) for one in told["prekeys"] if one["kind"] == 4}
    for envelope in told["envelopes"]:
        opened = open_setup(hexed(envelope["envelope"]), party, keys)
        assert opened.message.hex() == envelope["message"]
        assert opened.inclusion.hex() == envelope["proof"]
        key_id = envelope["sealing_id"]
        sealed = seal_setup(
            party,
            Key(4, 1, key_id, keys[key_id].public),
            opened.values.packed,
            opened.manifests,
            opened.inclusion,
            opened.message,
        )
        assert len(sealed) == len(hexed(envelope["envelope"]))
        assert open_setup(sealed, party, keys) == opened
    for broken in told["broken_envelopes"]:
        with pytest.raises(Failed):
            open_setup(hexed(broken["envelope"]), party, keys)


def test_the_peer_derives_what_the_vectors_of_the_ratchet_say():
    told = vectors("ratchet_derivations.json")
    header, chain, body = told["header_keys"], told["chain_step"], told["body_key"]
    assert (
        derive(bytes(32), hexed(header["header_key"]), label("header keys"), 64).hex()
        == header["header"] + header["block"]
    )
    assert [one.hex() for one in step(hexed(chain["chain_key"]))] == [chain["message_key"], chain["next"]]
    assert (
        derive(bytes(32), hexed(body["message_key"]), label("message keys"), 44).hex()
        == body["key"] + body["nonce"]
    )
    assert sorted({bucket_for(size) for size in range(1, 262_145)}) == told["buckets"]


def test_the_peer_names_a_message_by_the_reference_of_the_vectors():
    told = vectors("account_derivations.json")["message_reference"]
    conversation_id, account_id, device_id, message_id, content_hash = map(hexed, told["fields"])
    message = written(conversation_id, Party(account_id, device_id), message_id, content_hash)
    assert message.reference.hex() == told["sha256"]


def test_two_of_the_peers_ratchets_talk_for_longer_than_a_post_quantum_step_takes():
    a, b = two_ratchets()
    offers = []
    for turn in range(50):
        sender, recipient = (a, b) if turn % 2 == 0 else (b, a)
        for number in (0, 1):
            content = f"{turn}.{number}".encode()
            assert recipient.open(sender.seal(content)) == content
        if recipient.seen_flags & 1:
            offers.append(turn + 1)
    # Chain 20 offers, 21 mixes the secret in and so is 0 steps old: the next offer is 20 chains after that.
    assert offers == [20, 41]


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"filler": b"\x01"}, "holds something else than zeros"),
        ({"size": 512}, "where the smallest bucket that holds it is 256 B"),
        ({"size": 257}, "where the smallest bucket that holds it is 256 B"),
        ({"last": b"\x01"}, "where 7 zero bytes belong"),
        ({"bare": True}, "an envelope of"),
    ],
)
def test_the_peer_refuses_what_is_sealed_well_and_not_as_written(odd, why):
    a, b = two_ratchets()
    with pytest.raises(Failed, match=why):
        b.open(a.seal(b"content", **odd))


def test_the_peer_refuses_damage_repetition_and_another_session():
    a, b = two_ratchets()
    envelope = a.seal(b"one")
    for at in (0, 20, 100, len(envelope) - 1):
        _, fresh = two_ratchets()
        with pytest.raises(Failed):
            fresh.open(envelope[:at] + bytes((envelope[at] ^ 1,)) + envelope[at + 1 :])
    with pytest.raises(Failed, match="opens neither"):
        Ratchet(Secrets(bytes(32), bytes(32), bytes(32), bytes(32)), US, CLIENT, signed=Pair()).open(envelope)
    _, other = two_ratchets()
    with pytest.raises(Failed, match="body of a message does not open"):
        other.open(envelope)  # another signed prekey, so another agreement
    assert b.open(envelope) == b"one"
    with pytest.raises(Failed, match="where 1 and 0 are next"):
        b.open(envelope)


def test_the_peer_refuses_a_chain_without_the_ciphertext_that_is_due():
    a, b = two_ratchets()
    b.open(a.seal(b"one"))
    b.offers_next = True
    a.open(b.seal(b"offer"))
    with pytest.raises(Failed, match="no ML-KEM ciphertext"):
        b.open(a.without_answer().seal(b"two"))


def test_the_peer_refuses_a_second_chain_a_number_ahead_and_another_key_in_a_chain():
    a, b = two_ratchets()
    b.open(a.seal(b"one"))
    with pytest.raises(Failed, match="had not answered the first"):
        b.open(a.second_chain().seal(b"two"))
    for odd in ({"ahead": 1}, {"public": Pair().public}):
        with pytest.raises(Failed, match="are next"):
            b.open(a.seal(b"two", **odd))


def test_the_peer_counts_contents_and_refuses_one_of_another_place():
    ours, theirs = Numbering(bytes(32)), Numbering(bytes(32))
    first, second = ours.write("one", (bytes(16), "peer")), ours.write("two", None)
    with pytest.raises(Failed, match="is next"):
        Numbering(bytes(32)).read(second)
    with pytest.raises(Failed, match="another conversation"):
        Numbering(b"x" * 32).read(first)
    assert (theirs.read(first).text, theirs.read(second).text) == ("one", "two")
    body = [bytes(32), [[b"m" * 16, b"r" * 32]], []]
    receipt = msgspec.msgpack.encode([13, bytes(32), bytes(16), 3, sha256(second), 0, 0, None, body])
    assert theirs.read(receipt).receipts == ((bytes(32), b"m" * 16, b"r" * 32),)
    with pytest.raises(Failed, match="not one MessagePack value"):
        theirs.read(b"\xc1")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
def test_our_clients_talk_with_the_peer(adapter, tmp_path, record_property):
    report = tmp_path / "report.json"
    cases = ["client-writes-to-our-peer", "client-answers-our-peer", "client-refuses-odd-setups"]
    only = [word for case in cases for word in ("--case", case)]
    done = kit(*only, "--json", str(report), "--", *adapter())
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for rule in {rule for case in json.loads(report.read_text())["cases"] for rule in case["proves"]}:
        record_property("proves", rule)


@pytest.mark.timeout(120)
def test_a_client_with_other_labels_that_agrees_with_itself_fails():
    """All labels renamed, in one process before anything else is imported: two such clients talk, the peer opens nothing."""
    nonsense = """import sys
from crypto import labels
for name, value in vars(labels).items():
    if isinstance(value, bytes) and name in ("SESSION_KEYS", "SETUP_ENVELOPE", "ROOT_STEP", "HEADER_KEYS", "MESSAGE_KEYS"):
        setattr(labels, name, value.replace(b"tokenim/v1", b"nonsense/v7"))
import asyncio
from client.conformance_adapter import serve
asyncio.run(serve(sys.argv[1]))"""
    among = kit("--case", "client-talks-both-ways", "--", sys.executable, "-c", nonsense)
    assert among.stdout.splitlines()[-1] == "1 passed, 0 failed, 0 not claimed", among.stdout
    done = kit("--case", "client-writes-to-our-peer", "--", sys.executable, "-c", nonsense)
    assert done.stdout.splitlines()[-1] == "0 passed, 1 failed, 0 not claimed", done.stdout
    assert "not sealed to the sealing key" in done.stdout
