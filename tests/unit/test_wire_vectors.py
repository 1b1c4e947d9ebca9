"""tests/vectors/wire.json is what its generator writes, and what the code says of each entry."""

import importlib.util
import json
from pathlib import Path

import pytest
from nacl.signing import VerifyKey

from relay.wire import codec
from relay.wire.errors import RelayError
from relay.wire.links import parse_contact, parse_invite
from relay.wire.manifests import parse_manifest
from relay.wire.prekeys import parse_prekey

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


def test_the_links_parse() -> None:
    invite, contact = VECTORS["links"]["invite"], VECTORS["links"]["contact"]
    assert parse_invite(invite["link"]).secret.hex() == invite["secret"]
    assert parse_contact(contact["link"]).token.hex() == contact["token"]


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
