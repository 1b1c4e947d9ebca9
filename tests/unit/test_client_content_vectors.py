"""contents.json is what the code makes, and says what docs/protocol.md says."""

import hashlib
import json

import msgspec
import pytest

from client.contents import ContentType, decode_body, decode_content, encode_body, encode_content
from crypto.errors import CryptoError, InvalidEncoding
from crypto.transparency import Gossip
from tests.vectors.content_bodies import SHAPES
from tests.vectors.generate_contents import FILE, made

VECTORS = json.loads(FILE.read_text(encoding="utf-8"))


def test_the_file_is_what_the_code_makes():
    assert made() == VECTORS


def test_the_conversation_id_is_written_out():
    first, second = sorted(bytes.fromhex(account) for account in VECTORS["accounts"])
    laid_out = b"tokenim/v1 direct conversation\x00\x01" + b"".join(
        len(account).to_bytes(4, "big") + account for account in (first, second)
    )
    assert hashlib.sha256(laid_out).hexdigest() == VECTORS["conversation_id"]


def test_the_reference_is_written_out():
    named, first = VECTORS["reference_of_the_first"], VECTORS["contents"][0]
    fields = [
        VECTORS["conversation_id"],
        named["account"],
        named["device"],
        first["message_id"],
        first["hash"],
    ]
    laid_out = b"tokenim/v1 message reference\x00\x01" + b"".join(
        (len(field) // 2).to_bytes(4, "big") + bytes.fromhex(field) for field in fields
    )
    assert hashlib.sha256(laid_out).hexdigest() == named["reference"]
    bodies = [
        msgspec.msgpack.decode(bytes.fromhex(one["body"]))
        for one in VECTORS["contents"]
        if one["type"] in (10, 11, 12)
    ]
    assert {body[0][2].hex() for body in bodies} == {named["reference"]}


@pytest.mark.parametrize("vector", VECTORS["contents"], ids=lambda vector: vector["about"])
def test_each_content_decodes_to_its_fields(vector):
    encoded = bytes.fromhex(vector["encoded"])
    content = decode_content(encoded, is_counted=vector["counter"] > 0)
    assert (content.type, content.counter, content.sent_at_ms) == (
        vector["type"],
        vector["counter"],
        vector["sent_at_ms"],
    )
    assert (content.message_id.hex(), content.previous_hash.hex(), bytes(content.body).hex()) == (
        vector["message_id"],
        vector["previous_hash"],
        vector["body"],
    )
    assert encode_content(content) == encoded
    if content.type in SHAPES:
        assert encode_body(decode_body(SHAPES[content.type], bytes(content.body))) == bytes(content.body)
    if vector["about"].startswith("gossip"):
        assert Gossip.parse(content.gossip).encode() == content.gossip
    plain = msgspec.msgpack.decode(encoded)
    assert plain[7] == ([bytes.fromhex(vector["token"]), vector["handle"]] if vector["token"] else None)
    assert hashlib.sha256(encoded).hexdigest() == vector["hash"]


@pytest.mark.parametrize("vector", VECTORS["must_fail"], ids=lambda vector: vector["about"])
def test_what_breaks_a_rule_is_refused(vector):
    with pytest.raises(InvalidEncoding):
        decode_content(bytes.fromhex(vector["encoded"]))
    assert vector["error"] == InvalidEncoding.__name__


@pytest.mark.parametrize("vector", VECTORS["bodies_that_must_fail"], ids=lambda vector: vector["about"])
def test_a_body_with_a_value_that_is_not_allowed_is_refused(vector):
    with pytest.raises(CryptoError) as caught:
        decode_body(SHAPES[vector["type"]], bytes.fromhex(vector["body"]))
    assert type(caught.value).__name__ == vector["error"]


def test_there_is_a_content_of_each_type_and_a_bad_body_of_each():
    assert {vector["type"] for vector in VECTORS["contents"]} == {*map(int, ContentType), 4_711}
    assert {vector["type"] for vector in VECTORS["bodies_that_must_fail"]} == {*map(int, SHAPES)}
