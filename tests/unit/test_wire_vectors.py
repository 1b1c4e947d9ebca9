"""tests/vectors/wire.json is what its generator writes, and what the code says of each entry."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
from nacl.signing import VerifyKey

from client.work import AccountPiece, find_account_work
from relay.wire import codec
from relay.wire.errors import RelayError
from relay.wire.links import parse_contact, parse_invite
from relay.wire.manifests import parse_manifest, root_key_in
from relay.wire.prekeys import parse_prekey
from relay.wire.transcripts import registration_work_transcript, work_transcript
from relay.wire.work import begins_with_zeros, is_enough_work

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS = json.loads((FOLDER / "wire.json").read_text(encoding="utf-8"))


def test_the_file_is_what_its_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("generate_wire", FOLDER / "generate_wire.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.document() == (FOLDER / "wire.json").read_text(encoding="utf-8")


def test_the_manifest_parses_and_each_signature_verifies() -> None:
    vector = VECTORS["identity"]
    body = bytes.fromhex(vector["manifest_body"])
    manifest = parse_manifest(body)
    assert manifest.account_id.hex() == vector["account_id"]
    assert manifest.hash.hex() == vector["manifest_hash"]
    VerifyKey(manifest.root_key).verify(body, bytes.fromhex(vector["manifest_signature_by_root"]))
    device = manifest.devices[0]
    VerifyKey(device.signing_key).verify(device.signed_transcript(manifest.account_id), device.signature)


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


def test_the_links_parse() -> None:
    invite, contact = VECTORS["links"]["invite"], VECTORS["links"]["contact"]
    assert parse_invite(invite["link"]).secret.hex() == invite["secret"]
    assert parse_contact(contact["link"]).token.hex() == contact["token"]


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


@pytest.mark.parametrize("vector", VECTORS["must_fail"], ids=lambda vector: vector["why"])
def test_each_bad_message_fails_as_named(vector: dict[str, str]) -> None:
    with pytest.raises(RelayError) as caught:
        codec.decode_from_client(bytes.fromhex(vector["message"]))
    assert caught.value.code == vector["code"]
