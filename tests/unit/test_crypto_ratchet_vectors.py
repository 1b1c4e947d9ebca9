"""The ratchet gives the bytes of tests/vectors/ratchet.json, and refuses what must fail there, for the reason named."""

import json
from pathlib import Path
from typing import Any

import pytest

from crypto import errors, labels, root_chain
from crypto.chains import SessionSecrets, body_key, chain_step, derive_ephemeral_key
from crypto.double_ratchet import decrypt, encrypt
from crypto.headers import HeaderKey, derive_header_key, seal_header, try_open_header
from crypto.padding import BUCKETS
from crypto.primitives import KemPrivateKey, x25519_keypair
from crypto.ratchet_state import AssociatedData, start_initiator, start_responder
from crypto.snapshots import SNAPSHOT_VERSION, decode_state, encode_state
from crypto.transcript import transcript

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "ratchet.json").read_text())
SNAPSHOTS: dict[str, Any] = json.loads((FOLDER / "snapshots.json").read_text())
DERIVED: dict[str, Any] = json.loads((FOLDER / "ratchet_derivations.json").read_text())


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text)


def keys_of(key: HeaderKey) -> dict[str, str]:
    return {"header": key.headers.key_bytes.hex(), "block": key.blocks.key_bytes.hex()}


def test_labels_and_buckets() -> None:
    assert {name: getattr(labels, name).hex() for name in DERIVED["labels"]} == DERIVED["labels"]
    assert list(BUCKETS) == DERIVED["buckets"]


def test_header_keys_and_the_sealed_header() -> None:
    given = DERIVED["header_keys"]
    key = derive_header_key(from_hex(given["header_key"]))
    assert keys_of(key) == {"header": given["header"], "block": given["block"]}
    header = DERIVED["header"]
    nonce, sealed = from_hex(header["nonce"]), from_hex(header["sealed"])
    fields = from_hex(header["ratchet_public"]), header["previous_length"], header["number"], header["flags"]
    assert seal_header(key, nonce, *fields) == sealed
    assert try_open_header(key, nonce, sealed) == fields


def test_chain_step_body_key_and_ephemeral_key() -> None:
    chain, body, ephemeral = DERIVED["chain_step"], DERIVED["body_key"], DERIVED["ephemeral_key"]
    assert chain_step(from_hex(chain["chain_key"])) == (
        from_hex(chain["message_key"]),
        from_hex(chain["next"]),
    )
    assert body_key(from_hex(body["message_key"])) == (from_hex(body["key"]), from_hex(body["nonce"]))
    assert derive_ephemeral_key(from_hex(ephemeral["first_chain_key"])).hex() == ephemeral["key"]


def test_root_steps_with_and_without_a_kem_secret() -> None:
    for step in DERIVED["root_steps"]:
        root_key, chain_key, header_key = root_chain.root_step(
            from_hex(step["root_key"]), from_hex(step["dh"]), from_hex(step["shared_secret"])
        )
        assert (root_key.hex(), chain_key.hex()) == (step["next_root_key"], step["chain_key"])
        assert keys_of(header_key) == step["next_header_keys"]
    assert [bool(step["shared_secret"]) for step in DERIVED["root_steps"]] == [False, True]


def test_associated_data_and_kem_seed() -> None:
    given = DERIVED["associated_data_start"]
    fields = [from_hex(each) for each in given["fields"]]
    assert AssociatedData(*fields).start.hex() == given["start"]
    assert transcript(labels.MESSAGE, *fields, b"envelope before the body").hex() == given["transcript"]
    seed = DERIVED["kem_seed"]
    assert KemPrivateKey(from_hex(seed["seed"])).public_bytes().hex() == seed["offer"]


class Given:
    """The recorded randomness of one step: every call asks for exactly what was recorded."""

    def __init__(self, recorded: list[str]) -> None:
        self.left = [from_hex(each) for each in recorded]

    def __call__(self, count: int) -> bytes:
        given = self.left.pop(0)
        assert len(given) == count
        return given


def test_the_conversation_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up = {name: from_hex(value) for name, value in VECTORS["set_up"].items()}
    secrets = SessionSecrets(
        *(set_up[name] for name in ("session_id", "root_key", "header_key_a", "next_header_key_b"))
    )
    private, public = x25519_keypair(set_up["signed_prekey_private"])
    assert public == set_up["signed_prekey_public"]
    parties = (set_up[name] for name in ("account_a", "device_a", "account_b", "device_b"))
    ad_of_a = AssociatedData(secrets.session_id, *parties)
    ads = {"a": ad_of_a, "b": ad_of_a.reversed()}
    states = {"a": start_initiator(secrets, public, 0), "b": start_responder(secrets, private, 0)}
    seen: dict[str, int] = {"send": 0, "receive": 0, "must_fail": 0, "kem_step": 0, "encapsulation": 0}
    for step in VECTORS["steps"]:
        seen[step["action"]] += 1
        if step["action"] == "send":
            who, random = step["from"], Given(step["random"])
            kem = step.get("encapsulation")
            if kem:
                seen["encapsulation"] += 1
                answer = {kem["offer"]: (from_hex(kem["shared_secret"]), from_hex(kem["ciphertext"]))}
                monkeypatch.setattr(
                    root_chain, "ml_kem_768_encapsulate", lambda offer, by=answer: by[offer.hex()]
                )
            before, plaintext = states[who], from_hex(step["plaintext"])
            states[who], envelope = encrypt(
                before, plaintext, ads[who], random, step["now_ms"], ephemeral=step["ephemeral"]
            )
            assert envelope.hex() == step["envelope"]
            assert random.left == []
            check_intermediate(step["intermediate"], states[who])
        elif step["action"] == "receive":
            who = step["by"]
            sent = VECTORS["steps"][step["step"]]
            states[who], plaintext, info = decrypt(
                states[who], from_hex(sent["envelope"]), ads[who].reversed(), step["now_ms"]
            )
            assert plaintext.hex() == sent["plaintext"]
            assert (info.opened_chain, info.kem_step) == (step["opened_chain"], step["kem_step"])
            assert states[who].root.root_key.hex() == step["root_key"]
            seen["kem_step"] += info.kem_step
        else:
            who = step["by"]
            with pytest.raises(errors.CryptoError) as caught:
                decrypt(states[who], from_hex(step["envelope"]), ads[who].reversed(), step["now_ms"])
            assert type(caught.value).__name__ == step["error"], step["name"]
    assert seen["send"] >= 30
    assert seen["must_fail"] >= 15
    assert seen["kem_step"] >= 2


def check_intermediate(expected: dict[str, Any], state: Any) -> None:
    chain = state.sending
    assert state.root.root_key.hex() == expected["root_key"]
    assert keys_of(state.root.next_sending) == expected["next_sending_header_keys"]
    assert keys_of(chain.opening.header_key) == expected["header_keys"]
    assert chain.opening.ratchet_public.hex() == expected["ratchet_public"]
    assert chain.opening.previous_length == expected["previous_length"]
    assert chain.opening.kem_block.hex() == expected["kem_block"]
    assert chain.chain_key.hex() == expected["next_chain_key"]
    if "ephemeral_key" in expected:
        assert chain.opening.ephemeral_key.hex() == expected["ephemeral_key"]
        assert derive_ephemeral_key(from_hex(expected["chain_key"])) == chain.opening.ephemeral_key
    if "message_key" in expected:
        message_key, following = chain_step(from_hex(expected["chain_key"]))
        assert (message_key.hex(), following) == (expected["message_key"], chain.chain_key)
        assert [each.hex() for each in body_key(message_key)] == [
            expected["body_key"],
            expected["body_nonce"],
        ]


@pytest.mark.parametrize("index", range(len(SNAPSHOTS["snapshots"])))
def test_states_that_earlier_builds_saved_are_still_read(index: int) -> None:
    saved = SNAPSHOTS["snapshots"][index]
    state = decode_state(from_hex(saved["snapshot"]))
    ad = AssociatedData(*(from_hex(value) for value in SNAPSHOTS["ad_of_b"].values()))
    _, plaintext, _ = decrypt(state, from_hex(saved["opens"]), ad, 0)
    assert plaintext.hex() == saved["plaintext"]
    if saved["version"] == SNAPSHOT_VERSION:
        assert encode_state(state).hex() == saved["snapshot"]
