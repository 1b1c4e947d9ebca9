"""The vectors of the relay's protocol, contents and blobs, compared with the oracle; each function reads the whole of
its file.
"""

import hashlib
import json
from typing import Any

from tests.oracle import (
    blobs,
    contents,
    document_tables,
    ed25519,
    manifests,
    message_pack,
    prekeys,
    transparency,
    wire,
    x25519,
)
from tests.oracle.padding import BUCKETS
from tests.oracle.refusals import failure_of
from tests.oracle.transcripts import sha256
from tests.oracle.vector_files import Part, read


def check_identity(part: Part) -> tuple[bytes, bytes, bytes]:
    """Account id, device id, seed of the signing key."""
    root_seed, account, device, seed = part.data("root_seed", "account_id", "device_id", "signing_seed")
    root = ed25519.public_of(root_seed)
    assert root == part.data("root_public")
    assert manifests.account_id(root) == account
    assert (wire.base32(account), wire.base32(device)) == (part["account_id_text"], part["device_id_text"])
    signing, identity = ed25519.public_of(seed), x25519.public_of(part.data("identity_private"))
    assert (signing, identity) == (part.data("signing_public"), part.data("identity_public"))
    signed = manifests.device_transcript(account, device, signing, identity)
    assert signed == part.data("device_transcript")
    assert ed25519.sign(seed, signed) == part.data("device_signature")
    body, signature = part.data("manifest_body", "manifest_signature_by_root")
    one = manifests.parse_body(body, b"", signature)
    assert manifests.make(root, 1, b"", list(one.devices.values()), root_seed) == one.encode()
    assert manifests.verify_chain(account, [], [one])[0].hash == part.data("manifest_hash")
    return account, device, seed


def check_authentication(part: Part, device: bytes, seed: bytes) -> None:
    origin = part["origin"]
    for request in part["http"]:
        body = None if request["body"] is None else request["body"].encode()
        nonce, time_ms = request.data("nonce"), request["time_ms"]
        signed = wire.http_request(
            request["method"],
            request["target"],
            body,
            origin,
            device,
            time_ms,
            nonce,
            request["upload_offset"],
        )
        signature = ed25519.sign(seed, signed)
        assert (signed, signature) == (request.data("transcript"), request.data("signature"))
        assert wire.authorization(device, time_ms, nonce, signature) == request["authorization"]
    asked = part["websocket"]
    signed = wire.websocket(origin, device, asked.data("challenge"))
    assert signed == asked.data("transcript")
    assert ed25519.sign(seed, signed) == asked.data("signature")
    document = part["relay_document"]
    signed = wire.relay_document(document["body"].encode())
    assert signed == document.data("transcript")
    assert ed25519.public_of(document.data("signing_seed")) == document.data("signing_public")
    assert ed25519.sign(document.data("signing_seed"), signed) == document.data("signature")


def check_log_append(part: Part) -> None:
    log_id, entry, seed = part.data("log_id", "entry", "write_seed")
    key, token = (part.data(name) if part[name] else b"" for name in ("next_write_key", "next_read_token"))
    token_hash = hashlib.sha256(token).digest() if token else b""
    signed = wire.log_append(log_id, part["index"], entry, key, token_hash)
    assert signed == part.data("transcript")
    assert ed25519.public_of(seed) == part.data("write_key")
    assert ed25519.sign(seed, signed) == part.data("signature")
    assert part["path"] == f"/v1/group-logs/{wire.base32(log_id)}/entries"


LINK_PARTS = {
    "invite": ("secret", "signing_key"),
    "contact": ("account_id", "token"),
    "group": ("group_id", "inviter", "token", "secret"),
    "link": ("mailbox_id", "request_hash"),
}


def check_texts(file: Part) -> None:
    for part in file["base64url"]:
        assert wire.base64url(part.data("bytes")) == part["text"]
        assert wire.read_base64url(part["text"]) == part.data("bytes")
    for part in file["base32"]:
        assert wire.base32(part.data("bytes")) == part["text"]
        assert wire.read_base32(part["text"], len(part.data("bytes"))) == part.data("bytes")


def check_links(origin: str, file: Part) -> None:
    assert [*file] == [*LINK_PARTS]
    for kind, names in LINK_PARTS.items():
        part = file[kind]
        assert wire.link(kind, origin, *part.data(*names)) == part["link"]
        assert wire.read_link(kind, part["link"]) == (origin, *(part[name] for name in names))


def check_refused_forms(file: Part) -> None:
    """Texts, links and messages, each of which fails for its kind."""
    for part in file["base64url"]:
        assert failure_of(wire.read_base64url, part["text"]) == part["error"], part["why"]
    for part in file["base32"]:
        assert failure_of(wire.read_base32, part["text"], part["length"]) == part["error"], part["why"]
    for part in file["links"]:
        assert failure_of(wire.read_link, part["kind"], part["link"]) == part["error"], part["why"]
    for part in file["messages"]:
        direction = "→ relay" if part["from"] == "client" else "→ client"
        assert failure_of(wire.read_message, part.data("message"), direction) == part["error"], part["why"]


def check_refused_signatures(file: Part, told: Part, keys: dict[bytes, bytes]) -> None:
    """What is signed, at a relay that knows `keys`, each of which fails for its kind."""
    origin, root = told["authentication"]["origin"], told["identity"].data("root_public")
    pinned = told["authentication"]["relay_document"].data("signing_public")
    for part in file["requests"]:
        sent = part["method"], part["target"], part["body"].encode()
        given = keys, origin, part["now_ms"], sent, part["authorization"]
        assert failure_of(wire.check_request, *given) == part["error"], part["why"]
    for part in file["websockets"]:
        device, challenge, signature = part.data("device_id", "challenge", "signature")
        signed = wire.websocket(origin, device, challenge)
        failure = failure_of(wire.verify, "unauthenticated", keys.get(device), signed, signature)
        assert failure == part["error"], part["why"]
    for part in file["documents"]:
        signed, signature = wire.relay_document(part["body"].encode()), part.data("signature")
        assert failure_of(ed25519.verify, pinned, signed, signature) == part["error"], part["why"]
    for part in file["work"]:
        hashed = wire.work(*part.data("envelope_id", "account_id", "token", "work"))
        failure = failure_of(wire.require_work, hashed, part.data("work"), part["bits"])
        assert failure == part["error"], part["why"]
    for part in file["registration_work"]:
        named = origin, *part.data("account_id", "manifest_hash"), part["time_ms"], part.data("work")
        failure = failure_of(wire.require_work, wire.registration_work(*named), named[-1], part["bits"])
        assert failure == part["error"], part["why"]
    for part in file["log_appends"]:
        log_id, entry, key, next_key = part.data("log_id", "entry", "write_key", "next_write_key")
        token_hash = sha256(part.data("next_read_token"))
        signed = wire.log_append(log_id, part["index"], entry, next_key, token_hash)
        failure = failure_of(wire.verify, "not_allowed", key, signed, part.data("signature"))
        assert failure == part["error"], part["why"]
    for part in file["recovery_requests"]:
        time_ms, now_ms = part["time_ms"], part["now_ms"]
        signed = wire.recovery_request(origin, part.data("account_id"), time_ms, part.data("nonce"))
        forged = failure_of(wire.verify, "unauthenticated", root, signed, part.data("signature"))
        failure = forged or failure_of(wire.require_in_time, time_ms, now_ms)
        assert failure == part["error"], part["why"]


def check_wire(file: Part) -> None:
    account, device, seed = check_identity(file["identity"])
    check_authentication(file["authentication"], device, seed)
    part = file["prekey"]
    key = prekeys.make(1, 1, part["id"], part["made_at_ms"], part.data("private"), (account, device, seed))
    assert (key.key, key.encode()) == (part.data("public"), part.data("encoded"))
    assert (key.signed_by(account, device), key.signature) == (
        part.data("transcript"),
        part.data("signature"),
    )
    check_texts(file["texts"])
    check_links(file["authentication"]["origin"], file["links"])
    for part in file["log_appends"]:
        check_log_append(part)
    part = file["recovery_request"]
    named = part["origin"], part.data("account_id"), part["time_ms"], part.data("nonce")
    assert wire.recovery_request(*named) == part.data("transcript")
    root_seed = file["identity"].data("root_seed")
    assert ed25519.sign(root_seed, part.data("transcript")) == part.data("signature_by_root")
    part = file["work"]
    assert wire.work(*part.data("envelope_id", "account_id", "token", "work")) == part.data("transcript")
    digest = hashlib.sha256(part.data("transcript")).digest()
    assert (digest, wire.zero_bits(digest) >= part["bits"]) == (part.data("sha256"), True)
    part = file["registration_work"]
    named = part["origin"], *part.data("account_id", "manifest_hash"), part["time_ms"], part.data("work")
    assert wire.registration_work(*named) == part.data("transcript")
    digest = hashlib.sha256(part.data("transcript")).digest()
    assert (digest, wire.zero_bits(digest) >= part["bits"]) == (part.data("sha256"), True)
    for part in file["messages"]:
        message, direction = part.data("message"), "→ relay" if part["from"] == "client" else "→ client"
        assert [name.replace("_", "") for name in wire.read_message(message, direction)] == list(
            part["frames"]
        )
        assert message_pack.encode(message_pack.decode(message)) == message
    check_refused_forms(file["must_fail"])
    check_refused_signatures(file["must_fail"], file, {device: ed25519.public_of(seed)})


def check_http(file: Part, seed: bytes, device: bytes) -> None:
    """What the relay signed, what the device signed, and that the request and its headers carry that."""
    told, origin = read("wire.json"), read("wire.json")["authentication"]["origin"]
    relay_seed = told["authentication"]["relay_document"].data("signing_seed")
    assert (
        wire.link("invite", origin, told["links"]["invite"].data("secret"), ed25519.public_of(relay_seed))
        == (file["invite"])
    )
    document, registration, token = file["http"]
    as_json = "Content-Type: application/json"
    signed = wire.relay_document(document["answer"].encode())
    signature = ed25519.sign(relay_seed, signed)
    assert (signed, signature) == tuple(file["document"].data("transcript", "signature"))
    pinned = f"TokenIM-Signature: {wire.base64url(signature)}"
    assert [*document["answer_headers"]] == [as_json, pinned]
    assert json.loads(document["answer"])["signing_key"] == wire.base64url(ed25519.public_of(relay_seed))
    manifest = told["identity"].data("manifest_body", "manifest_signature_by_root")
    body, by_root = (wire.base64url(each) for each in manifest)
    assert json.loads(registration["body"]) == {
        "invite": wire.base64url(told["links"]["invite"].data("secret")),
        "manifest": {"body": body, "signer": "", "signature": by_root},
    }
    account = json.loads(registration["answer"])
    assert account["account_id"] == wire.base64url(told["identity"].data("account_id"))
    part = file["delivery_token"]
    assert sha256(part.data("token")) == part.data("token_hash")
    hashed = wire.base64url(part.data("token_hash"))
    assert json.loads(token["body"]) == {"token_hash": hashed, "token_class": "contact"}
    nonce, time_ms, target = part.data("nonce"), part["time_ms"], token["target"]
    signed = wire.http_request("POST", target, token["body"].encode(), origin, device, time_ms, nonce, None)
    signature = ed25519.sign(seed, signed)
    assert (signed, signature) == tuple(part.data("transcript", "signature"))
    header = f"Authorization: {wire.authorization(device, time_ms, nonce, signature)}"
    assert [*token["headers"]] == [as_json, header]
    asked = [(one["method"], one["target"], one["status"], [*one["headers"]][:1]) for one in file["http"]]
    assert asked == [
        ("GET", "/.well-known/tokenim", 200, []),
        ("POST", "/v1/accounts", 201, [as_json]),
        ("POST", "/v1/delivery-tokens", 204, [as_json]),
    ]
    assert (document["body"], [*registration["answer_headers"]]) == ("", [as_json])
    assert ([*token["answer_headers"]], token["answer"]) == ([], "")


def check_first_message(file: Part) -> None:
    who = read("wire.json")["identity"]
    account, device, seed = who.data("account_id", "device_id", "signing_seed")
    check_http(file, seed, device)
    limits = json.loads(file["http"][0]["answer"])["limits"]
    digest = sha256(json.dumps(limits, sort_keys=True, separators=(",", ":")).encode())
    said: list[tuple[str, str, list[Any]]] = []
    for part in [*file["anonymous"], *file["device"]["messages"]]:
        message, sender = part.data("message"), part["from"]
        (name,) = wire.read_message(message, "→ relay" if sender == "client" else "→ client")
        assert name.replace("_", "") == part["frame"]
        ((_, *fields),) = message_pack.decode(message)
        said.append((sender, name, fields))
    asked = file["device"]
    signed = wire.websocket(read("wire.json")["authentication"]["origin"], device, asked.data("challenge"))
    signature = ed25519.sign(seed, signed)
    assert (signed, signature) == tuple(asked.data("transcript", "signature"))
    assert file["subprotocol"] == "tokenim.v1"
    (nobody, time_ms), submit, deliver = said[0][2], said[3][2], said[9][2]
    envelope_id, life, ciphertext = submit[1], submit[4], submit[5][0]
    assert len(ciphertext) in BUCKETS
    assert (len(nobody), life, len(ciphertext)) == (32, 2_592_000, 256)
    grant = [account, file["delivery_token"].data("token"), 1]
    assert said == [
        ("relay", "challenge", [nobody, time_ms]),
        ("client", "anonymous", []),
        ("relay", "ready", [digest, 0]),
        ("client", "submit", [1, envelope_id, 1, False, life, [ciphertext], [[device, 0, 0]], [grant], []]),
        ("relay", "accepted", [1, [1], []]),
        ("relay", "challenge", [asked.data("challenge"), time_ms]),
        ("client", "authenticate", [device, signature]),
        ("relay", "ready", [digest, 2]),
        ("client", "resume", [0]),
        ("relay", "deliver", [1, envelope_id, deliver[2], 1, ciphertext]),
        ("client", "ack", [1, []]),
        ("relay", "caught_up", [1]),
    ]


def check_contents(file: Part) -> None:
    one, other = file["accounts"].all_data()
    conversation = file.data("conversation_id")
    assert contents.conversation_id(one, other) == contents.conversation_id(other, one) == conversation
    before = b""
    for part in file["contents"]:
        encoded = part.data("encoded")
        made = contents.parse(encoded, passes=part["counter"] == 0)
        assert made.encode() == encoded
        assert (made.type, made.counter, made.sent_at_ms) == (
            part["type"],
            part["counter"],
            part["sent_at_ms"],
        )
        assert (made.message_id, made.previous_hash) == (part.data("message_id"), part.data("previous_hash"))
        told = None if part["token"] is None else [part.data("token"), part["handle"]]
        assert (made.introduction, part["handle"]) == (told, told and told[1])
        assert (made.conversation_id, message_pack.encode(made.body)) == (conversation, part.data("body"))
        assert made.previous_hash == (before if made.counter else b"")
        if part["about"].startswith("gossip"):
            assert b"".join(transparency.parse_gossip(made.gossip or b"")) == made.gossip
        fields = message_pack.decode(encoded)
        document_tables.check_fields(fields, document_tables.TABLES["content"][: len(fields)])
        if made.type in document_tables.BODIES:
            document_tables.check_value(made.body, document_tables.BODIES[made.type])
        if made.counter == 1:
            named = file["reference_of_the_first"]
            names = *named.data("account", "device"), made.message_id, encoded
            assert contents.reference(conversation, *names) == named.data("reference")
        digest = hashlib.sha256(encoded).digest()
        assert digest == part.data("hash")
        before = digest if made.counter else before
    for part in file["must_fail"]:
        assert failure_of(contents.parse, part.data("encoded")) == part["error"], part["about"]
    for part in file["bodies_that_must_fail"]:
        body, shape = message_pack.decode(part.data("body")), document_tables.BODIES[part["type"]]
        assert message_pack.encode(body) == part.data("body")
        assert failure_of(document_tables.check_value, body, shape) == part["error"], part["about"]


def changed(part: Part, blob: bytes, key: bytes, length: int) -> tuple[bytes, bytes, int]:
    """Blob, key and true length after the change that must fail."""
    if "at" in part:
        at = part["at"]
        blob = blob[:at] + bytes([blob[at] ^ part["xor"]]) + blob[at + 1 :]
    if "keep" in part:
        blob = blob[: part["keep"]]
    if "append" in part:
        blob += part.data("append")
    return blob, part.data("key") if "key" in part else key, part.get("true_length") or length


def check_blobs(file: Part) -> None:
    assert file.data("label") == b"tokenim/v1 blob\0"
    small: tuple[Any, ...] = ()
    for part in file["blobs"]:
        length, key, salt = part["true_length"], *part.data("key", "salt")
        content = hashlib.shake_256(b"content %d" % length).digest(length)
        assert hashlib.sha256(content).digest() == part.data("content_sha256")
        derived = part.data("aes_key", "nonce_prefix", "commitment")
        assert list(blobs.derive(key, salt)) == derived
        blob = blobs.seal(content, key, salt)
        assert (len(blob), hashlib.sha256(blob).hexdigest()) == (
            part["ciphertext_bytes"],
            part["ciphertext_sha256"],
        )
        digests = [hashlib.sha256(segment).digest() for segment in blobs.segments(content, key, salt)]
        assert digests == part["segment_sha256"].all_data()
        assert part["ciphertext"] in (None, blob.hex())
        assert blobs.unseal(blob, key, length) == content
        if length == 5:
            small = blob, key, length
    for part in file["must_fail"]:
        assert failure_of(blobs.unseal, *changed(part, *small)) == part["error"], part["name"]


CHECKS = {
    "wire.json": check_wire,
    "first_message.json": check_first_message,
    "contents.json": check_contents,
    "blobs.json": check_blobs,
}
