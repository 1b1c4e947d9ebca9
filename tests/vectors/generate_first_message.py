"""Writes first_message.json: all that a client and a relay say until one message was sent and received.

python -m tests.vectors.generate_first_message

Keys are those of wire_keys.py. The relay's document is kept from the file, for which limits a relay has is no rule of
the protocol; the signature over it, and what connections say of its limits, are made anew.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from relay.wire import codec, frames, limits
from relay.wire.links import encode_bytes, encode_id
from relay.wire.transcripts import http_request_transcript, relay_document_transcript, websocket_transcript
from tests.vectors import generate_wire as wire
from tests.vectors.wire_keys import ACCOUNT_ID, DEVICE, DEVICE_ID, ORIGIN, RELAY, TIME_MS, seed

FILE = Path(__file__).parent / "first_message.json"
TOKEN = seed("contact token", 16)
CIPHERTEXT = b"\x02\x01" + bytes(254)
"""As long as the smallest bucket; a relay reads none of it, a recipient refuses it."""
JSON = "Content-Type: application/json"


def kept_document() -> str:
    """The body of the relay's document, as a relay of ours said it."""
    return str(json.loads(FILE.read_text(encoding="utf-8"))["http"][0]["answer"])


def written(value: Any) -> str:
    """JSON as short as it gets."""
    return json.dumps(value, separators=(",", ":"))


def exchange(
    request: str, headers: list[str], body: str, status: int, answer_headers: list[str], answer: str
) -> dict[str, Any]:
    """One request and its answer; of the headers those that mean something here."""
    method, _, target = request.partition(" ")
    return {
        "method": method,
        "target": target,
        "headers": headers,
        "body": body,
        "status": status,
        "answer_headers": answer_headers,
        "answer": answer,
    }


def signed_by_the_relay(document: str) -> dict[str, str]:
    signed = relay_document_transcript(document.encode())
    return {"transcript": signed.hex(), "signature": RELAY.sign(signed).signature.hex()}


def signed_by_the_device(body: str) -> dict[str, Any]:
    """The request that registers the token."""
    nonce = seed("nonce of the contact token", 16)
    signed = http_request_transcript(
        method="POST",
        target="/v1/delivery-tokens",
        body_hash=hashlib.sha256(body.encode()).digest(),
        origin=ORIGIN,
        device_id=DEVICE_ID,
        time_ms=TIME_MS,
        nonce=nonce,
        upload_offset=None,
    )
    return {
        "token": TOKEN.hex(),
        "token_hash": hashlib.sha256(TOKEN).hexdigest(),
        "time_ms": TIME_MS,
        "nonce": nonce.hex(),
        "transcript": signed.hex(),
        "signature": DEVICE.sign(signed).signature.hex(),
    }


def authorization(signed: dict[str, Any]) -> str:
    nonce, signature = (encode_bytes(bytes.fromhex(signed[name])) for name in ("nonce", "signature"))
    return (
        f'Authorization: TokenIM-Ed25519 device="{encode_id(DEVICE_ID)}", time="{signed["time_ms"]}", '
        f'nonce="{nonce}", signature="{signature}"'
    )


def message(sender: str, frame: frames.Frame) -> dict[str, str]:
    return {
        "from": sender,
        "frame": type(frame).__name__.lower(),
        "message": codec.encode_message([frame]).hex(),
    }


def anonymous(digest: bytes) -> list[dict[str, str]]:
    """The connection on which the message goes out."""
    submit = frames.Submit(
        1,
        seed("envelope id", 16),
        frames.EnvelopeClass.DURABLE,
        False,
        limits.MAX_TTL_SECONDS,
        (CIPHERTEXT,),
        (frames.Target(DEVICE_ID, 0, 0),),
        (frames.Grant(ACCOUNT_ID, TOKEN, 1),),
    )
    return [
        message("relay", frames.Challenge(seed("challenge to nobody"), TIME_MS)),
        message("client", frames.Anonymous()),
        message("relay", frames.Ready(digest, 0)),
        message("client", submit),
        message("relay", frames.Accepted(1, (frames.Outcome.STORED,), ())),
    ]


def authenticated(digest: bytes) -> dict[str, Any]:
    """The connection of the device, on which the message comes."""
    challenge = seed("challenge")
    signed = websocket_transcript(origin=ORIGIN, device_id=DEVICE_ID, challenge=challenge)
    signature = DEVICE.sign(signed).signature
    deliver = frames.Deliver(1, seed("envelope id", 16), TIME_MS, frames.EnvelopeClass.DURABLE, CIPHERTEXT)
    return {
        "challenge": challenge.hex(),
        "transcript": signed.hex(),
        "signature": signature.hex(),
        "messages": [
            message("relay", frames.Challenge(challenge, TIME_MS)),
            message("client", frames.Authenticate(DEVICE_ID, signature)),
            message("relay", frames.Ready(digest, 2)),
            message("client", frames.Resume(0)),
            message("relay", deliver),
            message("client", frames.Ack(1)),
            message("relay", frames.CaughtUp(1)),
        ],
    }


def first_message() -> dict[str, Any]:
    who, document = wire.identity(), kept_document()
    manifest = {
        "body": encode_bytes(bytes.fromhex(who["manifest_body"])),
        "signer": "",
        "signature": encode_bytes(bytes.fromhex(who["manifest_signature_by_root"])),
    }
    account = {
        "account_id": encode_bytes(ACCOUNT_ID),
        "role": "member",
        "handle": None,
        "manifest_version": 1,
        "guest": None,
    }
    registration = {"invite": encode_bytes(seed("invite secret", 16)), "manifest": manifest}
    token = written(
        {"token_hash": encode_bytes(hashlib.sha256(TOKEN).digest()), "token_class": "contact"},
    )
    by_relay, by_device = signed_by_the_relay(document), signed_by_the_device(token)
    pinned = f"TokenIM-Signature: {encode_bytes(bytes.fromhex(by_relay['signature']))}"
    digest = limits.limits_digest(json.loads(document)["limits"])
    return {
        "about": "docs/protocol.md, chapter One message; made by tests/vectors/generate_first_message.py",
        "invite": wire.links()["invite"]["link"],
        "http": [
            exchange("GET /.well-known/tokenim", [], "", 200, [JSON, pinned], document),
            exchange("POST /v1/accounts", [JSON], written(registration), 201, [JSON], written(account)),
            exchange("POST /v1/delivery-tokens", [JSON, authorization(by_device)], token, 204, [], ""),
        ],
        "document": by_relay,
        "delivery_token": by_device,
        "subprotocol": codec.SUBPROTOCOL,
        "anonymous": anonymous(digest),
        "device": authenticated(digest),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(first_message(), indent=1) + "\n", encoding="utf-8")
