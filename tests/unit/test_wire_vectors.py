"""tests/vectors/wire.json is what its generator writes, and what the code says of each entry."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import VerifyKey

from client.work import AccountPiece, find_account_work
from crypto.errors import CryptoError, InvalidEncoding
from crypto.keys import id_text, parse_id_text
from crypto.manifest import SignedManifest, build_manifest
from crypto.manifest_chain import verify_chain
from crypto.prekeys import SignedKey
from crypto.primitives import ed25519_verify
from relay.adapters.memory.store import open_memory_store
from relay.adapters.memory_bus import open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.config import LimitSettings
from relay.services.sealed_logs import SealedLogs
from relay.session.proof import check_time, parse_authorization, verify_as
from relay.wire import codec
from relay.wire.errors import RelayError, WorkRequired
from relay.wire.links import (
    decode_bytes,
    decode_id,
    encode_bytes,
    encode_id,
    parse_contact,
    parse_device,
    parse_group,
    parse_invite,
)
from relay.wire.log_resources import GroupLogAppendRequest, GroupLogRequest
from relay.wire.manifests import parse_manifest, root_key_in
from relay.wire.prekeys import parse_prekey
from relay.wire.transcripts import (
    STREAMED,
    http_request_transcript,
    recovery_request_transcript,
    registration_work_transcript,
    relay_document_transcript,
    websocket_transcript,
    work_transcript,
)
from relay.wire.work import begins_with_zeros, is_enough_work
from tests.crypto_people import NOW_MS
from tests.vectors import generate_wire

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS = json.loads((FOLDER / "wire.json").read_text(encoding="utf-8"))


MUST_FAIL = VECTORS["must_fail"]
ORIGIN = VECTORS["authentication"]["origin"]
DEVICES = {VECTORS["identity"]["device_id"]: bytes.fromhex(VECTORS["identity"]["signing_public"])}
LINKS = {"invite": parse_invite, "contact": parse_contact, "group": parse_group, "link": parse_device}


def why(vector: dict[str, Any]) -> str:
    return str(vector["why"])


def data(of: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(of[name]) for name in names]


def test_the_file_is_what_its_generator_writes() -> None:
    assert generate_wire.document() == (FOLDER / "wire.json").read_text(encoding="utf-8")


def test_the_manifest_parses_and_each_signature_verifies() -> None:
    vector = VECTORS["identity"]
    body = bytes.fromhex(vector["manifest_body"])
    manifest = parse_manifest(body)
    assert manifest.account_id.hex() == vector["account_id"]
    assert manifest.hash.hex() == vector["manifest_hash"]
    VerifyKey(manifest.root_key).verify(body, bytes.fromhex(vector["manifest_signature_by_root"]))
    device = manifest.devices[0]
    VerifyKey(device.signing_key).verify(device.signed_transcript(manifest.account_id), device.signature)


def test_the_manifest_and_the_prekey_encode_identically() -> None:
    vector, prekey = VECTORS["identity"], bytes.fromhex(VECTORS["prekey"]["encoded"])
    body, signature = data(vector, "manifest_body", "manifest_signature_by_root")
    signed = SignedManifest(body, b"", signature)
    assert SignedManifest.parse(signed.encode()) == signed
    listed = signed.manifest
    assert build_manifest(listed.root_public, listed.version, None, listed.devices) == body
    assert SignedKey.parse(prekey).encode() == prekey
    verify_chain(bytes.fromhex(vector["account_id"]), None, [signed])


def test_the_signatures_of_requests_challenge_prekey_and_document_verify() -> None:
    device = VerifyKey(bytes.fromhex(VECTORS["identity"]["signing_public"]))
    signed = [*VECTORS["authentication"]["http"], VECTORS["authentication"]["websocket"], VECTORS["prekey"]]
    for vector in signed:
        device.verify(bytes.fromhex(vector["transcript"]), bytes.fromhex(vector["signature"]))
    document = VECTORS["authentication"]["relay_document"]
    VerifyKey(bytes.fromhex(document["signing_public"])).verify(
        bytes.fromhex(document["transcript"]), bytes.fromhex(document["signature"])
    )
    assert parse_prekey(bytes.fromhex(VECTORS["prekey"]["encoded"])).key.hex() == VECTORS["prekey"]["public"]


@pytest.mark.parametrize("vector", VECTORS["log_appends"], ids=lambda vector: vector["why"])
def test_each_append_to_a_group_log_is_signed_by_its_write_key(vector: dict[str, str]) -> None:
    key = VerifyKey(bytes.fromhex(vector["write_key"]))
    key.verify(bytes.fromhex(vector["transcript"]), bytes.fromhex(vector["signature"]))


def test_the_recovery_request_is_signed_by_the_root_key() -> None:
    vector, root = VECTORS["recovery_request"], bytes.fromhex(VECTORS["identity"]["root_public"])
    VerifyKey(root).verify(bytes.fromhex(vector["transcript"]), bytes.fromhex(vector["signature_by_root"]))
    assert root_key_in(bytes.fromhex(VECTORS["identity"]["manifest_body"])) == root


@pytest.mark.parametrize("kind", LINKS)
def test_each_link_parses_and_is_written_identically(kind: str) -> None:
    told = VECTORS["links"][kind]
    parsed = LINKS[kind](told["link"])
    assert str(parsed) == told["link"]
    assert parsed.origin == ORIGIN
    parts = {name: value for name, value in told.items() if name != "link"}
    assert {name: getattr(parsed, name).hex() for name in parts} == parts


def test_each_text_is_read_and_written_identically() -> None:
    for one in VECTORS["texts"]["base64url"]:
        assert encode_bytes(bytes.fromhex(one["bytes"])) == one["text"]
        assert decode_bytes(one["text"]).hex() == one["bytes"]
    for one in VECTORS["texts"]["base32"]:
        data, length = bytes.fromhex(one["bytes"]), len(one["bytes"]) // 2
        assert encode_id(data) == id_text(data) == one["text"]
        assert decode_id(one["text"], length) == parse_id_text(one["text"], length) == data


def test_the_work_is_enough_and_one_bit_more_is_not() -> None:
    vector = VECTORS["work"]
    named = {name: bytes.fromhex(vector[name]) for name in ("envelope_id", "account_id", "token")}
    work = bytes.fromhex(vector["work"])
    assert work_transcript(work=work, **named).hex() == vector["transcript"]
    assert hashlib.sha256(bytes.fromhex(vector["transcript"])).hexdigest() == vector["sha256"]
    assert is_enough_work(work, vector["bits"], **named)
    zeros = 256 - int(vector["sha256"], 16).bit_length()
    assert not is_enough_work(work, zeros + 1, **named)


def test_the_work_for_an_account_is_found_by_the_client() -> None:
    vector = VECTORS["registration_work"]
    named = {name: bytes.fromhex(vector[name]) for name in ("account_id", "manifest_hash")}
    numbers = {"origin": vector["origin"], "time_ms": vector["time_ms"]}
    work = find_account_work(AccountPiece(**named, **numbers, bits=vector["bits"]), given_up=lambda: False)
    assert work is not None
    assert work.hex() == vector["work"]
    assert registration_work_transcript(work=work, **named, **numbers).hex() == vector["transcript"]
    assert begins_with_zeros(bytes.fromhex(vector["sha256"]), vector["bits"])


def test_a_submit_may_leave_out_the_work() -> None:
    message = next(
        bytes.fromhex(one["message"]) for one in VECTORS["messages"] if one["frames"] == ["submit"]
    )
    assert message[:2] == b"\x91\x9a"
    assert message[-1:] == b"\x90"
    shorter = b"\x91\x99" + message[2:-1]
    assert codec.decode_from_client(shorter) == codec.decode_from_client(message)


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: "-".join(vector["frames"]))
def test_each_message_reads_and_encodes_identically(vector: dict[str, str]) -> None:
    message = bytes.fromhex(vector["message"])
    decode = codec.decode_from_client if vector["from"] == "client" else codec.decode_from_relay
    decoded = decode(message)
    assert [type(frame).__name__.lower() for frame in decoded] == list(vector["frames"])
    assert codec.encode_message(decoded) == message


# What must fail


@pytest.mark.parametrize("vector", MUST_FAIL["base64url"], ids=why)
def test_a_text_that_is_no_canonical_base64url(vector: dict[str, Any]) -> None:
    assert vector["error"] == "InvalidEncoding"
    with pytest.raises(ValueError, match="base64url"):
        decode_bytes(vector["text"])


@pytest.mark.parametrize("vector", MUST_FAIL["base32"], ids=why)
def test_a_text_that_is_no_canonical_id(vector: dict[str, Any]) -> None:
    assert vector["error"] == "InvalidEncoding"
    with pytest.raises(ValueError, match="not an id"):
        decode_id(vector["text"], vector["length"])
    with pytest.raises(InvalidEncoding):
        parse_id_text(vector["text"], vector["length"])


@pytest.mark.parametrize("vector", MUST_FAIL["links"], ids=why)
def test_what_is_no_link_of_this_kind(vector: dict[str, Any]) -> None:
    assert vector["error"] == "InvalidEncoding"
    with pytest.raises(ValueError, match=r"link|base64url"):
        LINKS[vector["kind"]](vector["link"])


def prove_request(vector: dict[str, Any], now_ms: int) -> None:
    """What the relay does with a request that came at this time."""
    body, proof = vector["body"], parse_authorization(vector["authorization"])
    check_time(proof.time_ms, now_ms)
    signed = http_request_transcript(
        method=vector["method"],
        target=vector["target"],
        body_hash=STREAMED if body is None else hashlib.sha256(body.encode()).digest(),
        origin=ORIGIN,
        device_id=proof.device_id,
        time_ms=proof.time_ms,
        nonce=proof.nonce,
        upload_offset=vector.get("upload_offset"),
    )
    verify_as(DEVICES.get(proof.device_id.hex()), signed, proof.signature)


@pytest.mark.parametrize("vector", VECTORS["authentication"]["http"], ids=lambda vector: vector["target"])
def test_a_request_that_proves_its_device(vector: dict[str, Any]) -> None:
    prove_request(vector, vector["time_ms"] + 90_000)


@pytest.mark.parametrize("vector", MUST_FAIL["requests"], ids=why)
def test_a_request_that_proves_no_device(vector: dict[str, Any]) -> None:
    with pytest.raises(RelayError) as caught:
        prove_request(vector, vector["now_ms"])
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", MUST_FAIL["websockets"], ids=why)
def test_an_answer_that_proves_no_device(vector: dict[str, Any]) -> None:
    challenge, device_id, signature = data(vector, "challenge", "device_id", "signature")
    signed = websocket_transcript(origin=ORIGIN, device_id=device_id, challenge=challenge)
    with pytest.raises(RelayError) as caught:
        verify_as(DEVICES.get(device_id.hex()), signed, signature)
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", MUST_FAIL["documents"], ids=why)
def test_a_document_of_another_relay(vector: dict[str, Any]) -> None:
    pinned = bytes.fromhex(VECTORS["authentication"]["relay_document"]["signing_public"])
    signed = relay_document_transcript(vector["body"].encode())
    with pytest.raises(CryptoError) as caught:
        ed25519_verify(pinned, signed, bytes.fromhex(vector["signature"]))
    assert type(caught.value).__name__ == vector["error"]


@pytest.mark.parametrize("vector", MUST_FAIL["log_appends"], ids=why)
async def test_an_append_that_the_write_key_did_not_sign(vector: dict[str, Any]) -> None:
    names = "log_id", "entry", "write_key", "next_write_key", "next_read_token", "signature"
    log_id, entry, key, next_key, token, signature = data(vector, *names)
    told = {"log_id": log_id, "write_key": key, "read_token_hash": bytes(32), "entry": b"first"}
    first = GroupLogRequest.model_validate({name: encode_bytes(value) for name, value in told.items()})
    told = {"entry": entry, "signature": signature, "next_write_key": next_key}
    told["next_read_token_hash"] = hashlib.sha256(token).digest()
    request = GroupLogAppendRequest.model_validate(
        {"index": vector["index"], **{name: encode_bytes(value) for name, value in told.items()}}
    )
    async with open_memory_store() as store, open_memory_bus() as bus:
        clock, settings = ManualClock(NOW_MS), LimitSettings.model_validate({})
        logs = SealedLogs(store.account_logs, store.group_logs, bus=bus, clock=clock, settings=settings)
        await logs.create_group(first)
        with pytest.raises(RelayError) as caught:
            await logs.append_group(log_id, request)
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", MUST_FAIL["recovery_requests"], ids=why)
def test_a_request_that_the_root_key_did_not_sign(vector: dict[str, Any]) -> None:
    account_id, nonce, signature = data(vector, "account_id", "nonce", "signature")
    root = root_key_in(bytes.fromhex(VECTORS["identity"]["manifest_body"]))
    time_ms, now_ms = vector["time_ms"], vector["now_ms"]
    signed = recovery_request_transcript(origin=ORIGIN, account_id=account_id, time_ms=time_ms, nonce=nonce)

    def prove() -> None:
        check_time(time_ms, now_ms)
        verify_as(root, signed, signature)

    with pytest.raises(RelayError) as caught:
        prove()
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", MUST_FAIL["work"], ids=why)
def test_work_that_is_not_enough(vector: dict[str, Any]) -> None:
    envelope_id, account_id, token, work = data(vector, "envelope_id", "account_id", "token", "work")
    assert not is_enough_work(
        work, vector["bits"], envelope_id=envelope_id, account_id=account_id, token=token
    )
    assert vector["error"] == WorkRequired.code


@pytest.mark.parametrize("vector", MUST_FAIL["registration_work"], ids=why)
def test_work_that_is_not_enough_for_an_account(vector: dict[str, Any]) -> None:
    account_id, manifest_hash, work = data(vector, "account_id", "manifest_hash", "work")
    named = {"account_id": account_id, "manifest_hash": manifest_hash, "time_ms": vector["time_ms"]}
    hashed = registration_work_transcript(origin=ORIGIN, work=work, **named)
    assert not begins_with_zeros(hashlib.sha256(hashed).digest(), vector["bits"])
    assert vector["error"] == WorkRequired.code


@pytest.mark.parametrize("vector", MUST_FAIL["messages"], ids=why)
def test_each_bad_message_fails_as_named(vector: dict[str, Any]) -> None:
    decode = codec.decode_from_client if vector["from"] == "client" else codec.decode_from_relay
    with pytest.raises(RelayError) as caught:
        decode(bytes.fromhex(vector["message"]))
    assert caught.value.code == vector["error"]
