"""group_derivations.json and group_life.json, as the client reads them: each part encodes identically, or fails as named."""

import json
from pathlib import Path
from typing import Any

import pytest

from client.groups.upkeep import turn_order
from crypto import group_log, sender_keys
from crypto.errors import CryptoError
from crypto.group_changes import Request, SignedRequest
from crypto.group_commits import SignedCommit
from crypto.group_epoch import EpochHandOut, derive_epoch, epoch_commitment, next_step
from crypto.group_state import parse_state
from crypto.keys import SigningKeyPair
from crypto.padding import unpad
from crypto.primitives import aes256gcm_open, ed25519_verify
from crypto.sender_chains import ChainHandOut, chain_step, open_chain
from crypto.transcript import u32

FOLDER = Path(__file__).parents[1] / "vectors"
DERIVED = json.loads((FOLDER / "group_derivations.json").read_text(encoding="utf-8"))
LIFE = json.loads((FOLDER / "group_life.json").read_text(encoding="utf-8"))


def data(of: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(of[name]) for name in names]


GROUP_ID, CUT_HASH, SECRET = data(DERIVED["epoch"], "group_id", "cut_hash", "secret")
KEYS = derive_epoch(GROUP_ID, DERIVED["epoch"]["epoch"], 0, CUT_HASH, SECRET)
READERS = {
    "epoch_hand_outs": EpochHandOut.parse,
    "chain_hand_outs": ChainHandOut.parse,
    "entries": lambda entry: group_log.open_entry(KEYS, 7, entry),
}
BAD = [(name, case) for name, cases in DERIVED["must_fail"].items() for case in cases]
GOOD_MESSAGES = [message for message in LIFE["messages"] if "error" not in message]


def test_each_epoch_follows_from_its_secret() -> None:
    assert epoch_commitment(GROUP_ID, SECRET).hex() == DERIVED["epoch"]["commitment"]
    after = next_step(KEYS, bytes.fromhex(DERIVED["step"]["state_hash"]))
    for keys, told in ((KEYS, DERIVED["epoch"]), (after, DERIVED["step"])):
        assert (keys.epoch, keys.step, keys.secret.hex()) == (told["epoch"], told["step"], told["secret"])
        found = keys.headers.key_bytes, keys.entries.key_bytes, keys.read_token
        assert list(found) == data(told, "header_key", "entry_key", "read_token")


def test_each_hand_out_and_request_encodes_identically() -> None:
    for one in DERIVED["epoch_hand_outs"]:
        parsed = EpochHandOut.parse(bytes.fromhex(one["encoded"]))
        assert parsed.encode().hex() == one["encoded"]
        assert (parsed.write_seed.hex(), parsed.secret) == (one["write_seed"], SECRET)
    told = DERIVED["chain_hand_out"]
    chain = ChainHandOut.parse(bytes.fromhex(told["encoded"]))
    assert chain.encode().hex() == told["encoded"]
    parts = chain.group_id, chain.cut_hash, chain.chain_id, chain.chain_key, chain.signing_public
    assert list(parts) == data(told, "group_id", "cut_hash", "chain_id", "chain_key", "signing_public")
    assert (chain.epoch, chain.iteration) == (told["epoch"], told["iteration"])
    told = DERIVED["request"]
    asked = SignedRequest.parse(bytes.fromhex(told["encoded"]))
    assert asked.encode().hex() == told["encoded"]
    assert Request.parse(asked.body).encode() == asked.body == bytes.fromhex(told["transcript"])
    signer = SigningKeyPair.from_seed(bytes.fromhex(told["signing_seed"]))
    assert signer.sign(asked.body) == asked.signature


def test_the_turns_are_those_of_the_hashes() -> None:
    group_id, member = data(DERIVED["turns"], "group_id", "member")
    accounts = [bytes.fromhex(one) for one in DERIVED["turns"]["accounts"]]
    assert turn_order(group_id, member, sorted(accounts)) == accounts != sorted(accounts)


@pytest.mark.parametrize(("name", "case"), BAD, ids=[f"{name}: {case['name']}" for name, case in BAD])
def test_a_part_that_must_be_refused(name: str, case: dict[str, Any]) -> None:
    with pytest.raises(CryptoError) as caught:
        READERS[name](bytes.fromhex(case["encoded"]))
    assert type(caught.value).__name__ == case["error"]


def epochs() -> dict[int, Any]:
    """The keys of each epoch of the group's life."""
    found: dict[int, Any] = {}
    for entry in LIFE["entries"]:
        if "secret" in entry and entry["epoch"] not in found:
            state, secret = parse_state(bytes.fromhex(entry["state"])), bytes.fromhex(entry["secret"])
            found[entry["epoch"]] = derive_epoch(
                state.group_id, state.epoch, state.step, state.cut_hash, secret
            )
    return found


def test_each_entry_and_state_encodes_identically() -> None:
    keys, epoch = epochs(), 1
    for entry in LIFE["entries"]:
        sealed = bytes.fromhex(entry["entry"])
        if entry.get("skipped"):
            with pytest.raises(CryptoError):
                group_log.open_entry(keys[epoch], entry["index"], sealed)
            continue
        left, epoch = keys[epoch], entry["epoch"]
        opened = group_log.open_entry(left, entry["index"], sealed)
        body, signature, ad, state = data(entry, "body", "signature", "associated_data", "state")
        assert (opened.body, opened.signature) == (body, signature)
        assert SignedCommit.parse(opened.encode()) == opened
        assert group_log._entry_ad(left, entry["index"]) == ad
        assert (
            unpad(aes256gcm_open(left.entries.key_bytes, sealed[1:13], sealed[13:], ad)) == signature + body
        )
        assert parse_state(state).encode() == state
        assert parse_state(state).hash.hex() == entry["state_hash"]


@pytest.mark.parametrize("message", GOOD_MESSAGES, ids=lambda message: message["envelope"][4:12])
def test_each_message_follows_from_what_stands_beside_it(message: dict[str, Any]) -> None:
    names = "envelope", "chain_hand_out", "header", "associated_data", "signed", "message_key"
    envelope, given, header, ad, signed, key = data(message, *names)
    chain = ChainHandOut.parse(given)
    sender = data(LIFE["members"][message["from"]], "account", "device")
    fields = chain.group_id, chain.epoch, chain.cut_hash, *sender, chain.chain_id, chain.signing_public
    opening, iteration = open_chain(*fields), u32(chain.iteration)
    assert (sender_keys._body_ad(opening, iteration, envelope[:62]), header) == (
        ad,
        sender[1] + chain.chain_id + iteration,
    )
    assert sender_keys._signed(opening, iteration, envelope[:-64]) == signed
    ed25519_verify(chain.signing_public, signed, envelope[-64:])
    assert chain_step(chain.chain_key) == (key, bytes.fromhex(message["next_chain_key"]))
    opened = sender_keys.find_header(epochs().values(), envelope)
    assert opened is not None
    assert (opened.keys.epoch, opened.header.device) == (message["epoch"], sender[1])
    plaintext = unpad(aes256gcm_open(key, envelope[2:14], envelope[62:-64], ad))
    assert plaintext.hex() == message["plaintext"]
