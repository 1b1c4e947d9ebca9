"""Writes wire.json: identity, signatures, links and frames with every byte shown.

python -m tests.vectors.generate_wire

All keys come from seeds that are SHA-256 of a name, so the file is the same on every machine; a test compares it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey

from relay.wire import codec, frames, limits
from relay.wire.links import ContactLink, DeviceLink, GroupLink, InviteLink, encode_bytes, encode_id
from relay.wire.prekeys import PrekeyClass, PrekeyKind
from relay.wire.transcripts import (
    DEVICE_LABEL,
    MANIFEST_LABEL,
    PREKEY_LABEL,
    STREAMED,
    http_request_transcript,
    log_append_transcript,
    recovery_request_transcript,
    registration_work_transcript,
    relay_document_transcript,
    transcript,
    websocket_transcript,
    work_transcript,
)
from tests.vectors import wire_must_fail, wire_signatures_must_fail
from tests.vectors.wire_keys import (
    ACCOUNT_ID,
    DEVICE,
    DEVICE_ID,
    IDENTITY,
    IDENTITY_PRIVATE,
    ORIGIN,
    RELAY,
    ROOT,
    TIME_MS,
    seed,
)


def identity() -> dict[str, Any]:
    """Account id, device, manifest 1 and the signature over it."""
    device_transcript = transcript(DEVICE_LABEL, ACCOUNT_ID, DEVICE_ID, bytes(DEVICE.verify_key), IDENTITY)
    device_signature = DEVICE.sign(device_transcript).signature
    field = (
        DEVICE_ID
        + bytes(DEVICE.verify_key)
        + IDENTITY
        + b"\x01"
        + TIME_MS.to_bytes(8, "big")
        + device_signature
    )
    body = transcript(MANIFEST_LABEL, bytes(ROOT.verify_key), (1).to_bytes(8, "big"), None, field)
    return {
        "root_seed": bytes(ROOT).hex(),
        "root_public": bytes(ROOT.verify_key).hex(),
        "account_id": ACCOUNT_ID.hex(),
        "account_id_text": encode_id(ACCOUNT_ID),
        "device_id": DEVICE_ID.hex(),
        "device_id_text": encode_id(DEVICE_ID),
        "signing_seed": bytes(DEVICE).hex(),
        "signing_public": bytes(DEVICE.verify_key).hex(),
        "identity_private": IDENTITY_PRIVATE.hex(),
        "identity_public": IDENTITY.hex(),
        "device_transcript": device_transcript.hex(),
        "device_signature": device_signature.hex(),
        "manifest_body": body.hex(),
        "manifest_hash": hashlib.sha256(body).hexdigest(),
        "manifest_signature_by_root": ROOT.sign(body).signature.hex(),
    }


def request(method: str, target: str, body: bytes | None, upload_offset: int | None = None) -> dict[str, Any]:
    """One signed HTTP request with the header that goes out."""
    nonce = seed(f"nonce of {method} {target}", 16)
    body_hash = STREAMED if body is None else hashlib.sha256(body).digest()
    signed = http_request_transcript(
        method=method,
        target=target,
        body_hash=body_hash,
        origin=ORIGIN,
        device_id=DEVICE_ID,
        time_ms=TIME_MS,
        nonce=nonce,
        upload_offset=upload_offset,
    )
    signature = DEVICE.sign(signed).signature
    return {
        "method": method,
        "target": target,
        "body": None if body is None else body.decode(),
        "upload_offset": upload_offset,
        "time_ms": TIME_MS,
        "nonce": nonce.hex(),
        "transcript": signed.hex(),
        "signature": signature.hex(),
        "authorization": (
            f'TokenIM-Ed25519 device="{encode_id(DEVICE_ID)}", time="{TIME_MS}", '
            f'nonce="{encode_bytes(nonce)}", signature="{encode_bytes(signature)}"'
        ),
    }


def authentication() -> dict[str, Any]:
    """HTTP requests, the WebSocket challenge and the relay's own document."""
    challenge = seed("challenge")
    signed = websocket_transcript(origin=ORIGIN, device_id=DEVICE_ID, challenge=challenge)
    document = b'{"relay":"tokenim"}'
    return {
        "origin": ORIGIN,
        "http": [
            request("GET", "/v1/accounts/self", b""),
            request("POST", "/v1/mailbox/ack", b'{"up_to":3,"also":[]}'),
            request("GET", "/v1/mailbox?after=3&wait_seconds=30", b""),
            request("PATCH", "/v1/blobs/" + encode_id(seed("blob id")), None, upload_offset=65_536),
        ],
        "websocket": {
            "challenge": challenge.hex(),
            "transcript": signed.hex(),
            "signature": DEVICE.sign(signed).signature.hex(),
        },
        "relay_document": {
            "body": document.decode(),
            "signing_seed": bytes(RELAY).hex(),
            "signing_public": bytes(RELAY.verify_key).hex(),
            "transcript": relay_document_transcript(document).hex(),
            "signature": RELAY.sign(relay_document_transcript(document)).signature.hex(),
        },
    }


def prekey() -> dict[str, Any]:
    """A signed prekey (kind 1) as it travels."""
    private = seed("signed prekey")
    public = crypto_scalarmult_base(private)
    head = (
        bytes((PrekeyKind.SIGNED, PrekeyClass.ROTATING)) + (1).to_bytes(4, "big") + TIME_MS.to_bytes(8, "big")
    )
    signed = transcript(
        PREKEY_LABEL, ACCOUNT_ID, DEVICE_ID, head[:1], head[1:2], head[2:6], head[6:14], public
    )
    signature = DEVICE.sign(signed).signature
    return {
        "private": private.hex(),
        "public": public.hex(),
        "id": 1,
        "made_at_ms": TIME_MS,
        "transcript": signed.hex(),
        "signature": signature.hex(),
        "encoded": (head + signature + public).hex(),
    }


def links() -> dict[str, Any]:
    """All kinds of links."""
    secret, token = seed("invite secret", 16), seed("link token", 16)
    relay_key = bytes(RELAY.verify_key)
    group_id, group_token, group_secret = seed("group id"), seed("group token", 16), seed("group secret", 16)
    mailbox_id, request_hash = seed("link mailbox id", 16), seed("hash of a link request")
    return {
        "invite": {
            "secret": secret.hex(),
            "signing_key": relay_key.hex(),
            "link": str(InviteLink(ORIGIN, relay_key, secret)),
        },
        "contact": {
            "account_id": ACCOUNT_ID.hex(),
            "token": token.hex(),
            "link": str(ContactLink(ORIGIN, ACCOUNT_ID, token)),
        },
        "group": {
            "group_id": group_id.hex(),
            "inviter": ACCOUNT_ID.hex(),
            "token": group_token.hex(),
            "secret": group_secret.hex(),
            "link": str(GroupLink(ORIGIN, group_id, ACCOUNT_ID, group_token, group_secret)),
        },
        "link": {
            "mailbox_id": mailbox_id.hex(),
            "request_hash": request_hash.hex(),
            "link": str(DeviceLink(ORIGIN, mailbox_id, request_hash)),
        },
    }


def texts() -> dict[str, list[dict[str, str]]]:
    """Bytes of all lengths that leave other unused bits, in both text forms."""
    data = [seed(f"text of {length} bytes", length) for length in (0, 1, 2, 3, 4, 5, 16, 32)]
    return {
        "base64url": [{"bytes": each.hex(), "text": encode_bytes(each)} for each in data],
        "base32": [{"bytes": each.hex(), "text": encode_id(each)} for each in data],
    }


def log_append(name: str, following: bool) -> dict[str, Any]:
    """An append to a group log, alone or with the next write key and read token."""
    key, log_id, entry = SigningKey(seed("write key")), seed("log id"), f"entry, {name}".encode()
    next_key = SigningKey(seed("next write key")) if following else None
    next_token = seed("next read token") if following else None
    signed = log_append_transcript(
        log_id=log_id,
        index=7,
        entry=entry,
        next_write_key=bytes(next_key.verify_key) if next_key else None,
        next_read_token_hash=hashlib.sha256(next_token).digest() if next_token else None,
    )
    return {
        "why": name,
        "log_id": log_id.hex(),
        "path": f"/v1/group-logs/{encode_id(log_id)}/entries",
        "index": 7,
        "entry": entry.hex(),
        "write_seed": bytes(key).hex(),
        "write_key": bytes(key.verify_key).hex(),
        "next_write_key": bytes(next_key.verify_key).hex() if next_key else None,
        "next_read_token": next_token.hex() if next_token else None,
        "transcript": signed.hex(),
        "signature": key.sign(signed).signature.hex(),
    }


def work() -> dict[str, Any]:
    """The smallest number that is a proof of work of these zero bits."""
    bits, envelope_id, token = 12, seed("envelope id", 16), seed("public token", 16)

    def hashed(number: int) -> bytes:
        return work_transcript(
            envelope_id=envelope_id, account_id=ACCOUNT_ID, token=token, work=number.to_bytes(8, "big")
        )

    number = next(
        n for n in range(2**20) if hashlib.sha256(hashed(n)).digest() < (1 << 256 - bits).to_bytes(32, "big")
    )
    return {
        "bits": bits,
        "envelope_id": envelope_id.hex(),
        "account_id": ACCOUNT_ID.hex(),
        "token": token.hex(),
        "work": number.to_bytes(8, "big").hex(),
        "transcript": hashed(number).hex(),
        "sha256": hashlib.sha256(hashed(number)).hexdigest(),
    }


def registration_work() -> dict[str, Any]:
    """The smallest number that is a proof of work of these zero bits for an account without an invite."""
    bits, manifest_hash = 12, seed("manifest hash", 32)

    def hashed(number: int) -> bytes:
        return registration_work_transcript(
            origin=ORIGIN,
            account_id=ACCOUNT_ID,
            manifest_hash=manifest_hash,
            time_ms=TIME_MS,
            work=number.to_bytes(8, "big"),
        )

    number = next(
        n for n in range(2**20) if hashlib.sha256(hashed(n)).digest() < (1 << 256 - bits).to_bytes(32, "big")
    )
    return {
        "bits": bits,
        "origin": ORIGIN,
        "account_id": ACCOUNT_ID.hex(),
        "manifest_hash": manifest_hash.hex(),
        "time_ms": TIME_MS,
        "work": number.to_bytes(8, "big").hex(),
        "transcript": hashed(number).hex(),
        "sha256": hashlib.sha256(hashed(number)).hexdigest(),
    }


def recovery_request() -> dict[str, Any]:
    """A request for the account's chain, signed by the root key."""
    nonce = seed("recovery nonce", 16)
    signed = recovery_request_transcript(origin=ORIGIN, account_id=ACCOUNT_ID, time_ms=TIME_MS, nonce=nonce)
    return {
        "origin": ORIGIN,
        "account_id": ACCOUNT_ID.hex(),
        "time_ms": TIME_MS,
        "nonce": nonce.hex(),
        "transcript": signed.hex(),
        "signature_by_root": ROOT.sign(signed).signature.hex(),
    }


def messages() -> list[dict[str, Any]]:
    """Each frame in a message of its own, and one message with two frames."""
    envelope_id, ciphertext = seed("envelope id", 16), b"\x02\x01" + bytes(62)
    token = seed("link token", 16)
    answer = websocket_transcript(origin=ORIGIN, device_id=DEVICE_ID, challenge=seed("challenge"))
    client: list[frames.Frame] = [
        frames.Submit(
            1,
            envelope_id,
            frames.EnvelopeClass.DURABLE,
            False,
            limits.MAX_TTL_SECONDS,
            (ciphertext,),
            (frames.Target(DEVICE_ID, 0, 0),),
            (frames.Grant(ACCOUNT_ID, token, 1),),
        ),
        frames.Submit(
            2,
            envelope_id,
            frames.EnvelopeClass.DURABLE,
            False,
            limits.MAX_TTL_SECONDS,
            (ciphertext,),
            (frames.Target(DEVICE_ID, 0, 0),),
            (frames.Grant(ACCOUNT_ID, seed("public token", 16), 1),),
            (bytes.fromhex(work()["work"]),),
        ),
        frames.Ack(5, (7,)),
        frames.Resume(0),
        frames.Authenticate(DEVICE_ID, DEVICE.sign(answer).signature),
        frames.Anonymous(),
        frames.Ack(6),
    ]
    relay: list[frames.Frame] = [
        frames.Accepted(1, (frames.Outcome.STORED,), (frames.ManifestVersion(ACCOUNT_ID, 2),)),
        frames.Deliver(6, envelope_id, TIME_MS, frames.EnvelopeClass.DURABLE, ciphertext),
        frames.CaughtUp(6),
        frames.Missed(1, 4, frames.MissedReason.EXPIRED),
        frames.Refused(1, "rate_limited", 1_500),
        frames.Notice(frames.NoticeKind.PREKEYS_LOW, (2, 25)),
        frames.Challenge(seed("challenge"), TIME_MS),
        frames.Ready(seed("limits digest"), 6),
    ]
    found = [
        {
            "from": side,
            "frames": [type(frame).__name__.lower()],
            "message": codec.encode_message([frame]).hex(),
        }
        for side, group in (("client", client), ("relay", relay))
        for frame in group
    ]
    found.append(
        {
            "from": "client",
            "frames": ["ack", "resume"],
            "message": codec.encode_message([client[2], client[3]]).hex(),
        }
    )
    return found


def document() -> str:
    """The whole file."""
    return (
        json.dumps(
            {
                "description": "Identity, authentication, links and frames; docs/protocol.md",
                "identity": identity(),
                "authentication": authentication(),
                "prekey": prekey(),
                "texts": texts(),
                "links": links(),
                "log_appends": [
                    log_append("the keys stay", False),
                    log_append("the next keys are named", True),
                ],
                "work": work(),
                "registration_work": registration_work(),
                "recovery_request": recovery_request(),
                "messages": messages(),
                "must_fail": {
                    **wire_must_fail.must_fail(links()),
                    **wire_signatures_must_fail.must_fail(),
                    "work": wire_must_fail.work(work()),
                    "registration_work": wire_must_fail.registration_work(registration_work()),
                },
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("wire.json").write_text(document(), encoding="utf-8")
