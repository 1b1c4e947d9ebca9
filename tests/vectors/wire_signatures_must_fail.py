"""Signatures of requests, connections, documents and appends that prove nothing: each for another reason.

`generate_wire.py` writes them into wire.json; their kinds are codes of the relay, but for what a client checks.
"""

import hashlib
from typing import Any

from nacl.signing import SigningKey

from relay.wire import limits
from relay.wire.links import encode_bytes, encode_id
from relay.wire.transcripts import (
    STREAMED,
    http_request_transcript,
    log_append_transcript,
    recovery_request_transcript,
    relay_document_transcript,
    websocket_transcript,
)
from tests.vectors.wire_keys import ACCOUNT_ID, DEVICE, DEVICE_ID, ORIGIN, RELAY, ROOT, TIME_MS, seed
from tests.vectors.wire_must_fail import Cases, next_letter

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519: S of a signature has to be below it."""
STRANGER = SigningKey(seed("key of a stranger"))
OTHER_ID = seed("another device id", 16)


def must_fail() -> dict[str, Cases]:
    """The cases of all that is signed."""
    return {
        "requests": _requests(),
        "websockets": _websockets(),
        "documents": _documents(),
        "log_appends": _log_appends(),
        "recovery_requests": _recovery_requests(),
    }


def _above_the_order(signature: bytes) -> bytes:
    """The same signature to a lax check: S and the group order together."""
    response = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    return signature[:32] + response.to_bytes(32, "little")


def _flipped(data: bytes) -> bytes:
    return bytes((data[0] ^ 1,)) + data[1:]


class Request:
    """POST of an acknowledgement: what is sent; what is signed differs where a case says so."""

    method, target, body = "POST", "/v1/mailbox/ack", b'{"up_to":3,"also":[]}'
    nonce = seed("nonce of what must fail", 16)

    def signed(self, key: SigningKey = DEVICE, **other: Any) -> bytes:
        fields: dict[str, Any] = {
            "method": self.method,
            "target": self.target,
            "body_hash": hashlib.sha256(self.body).digest(),
            "origin": ORIGIN,
            "device_id": DEVICE_ID,
            "time_ms": TIME_MS,
            "nonce": self.nonce,
        }
        return key.sign(http_request_transcript(**{**fields, **other})).signature

    def header(self, signature: bytes, device: str = encode_id(DEVICE_ID)) -> str:
        return (
            f'TokenIM-Ed25519 device="{device}", time="{TIME_MS}", '
            f'nonce="{encode_bytes(self.nonce)}", signature="{encode_bytes(signature)}"'
        )

    def case(self, why: str, authorization: str, now_ms: int = TIME_MS) -> dict[str, Any]:
        return {
            "why": why,
            "method": self.method,
            "target": self.target,
            "body": self.body.decode(),
            "now_ms": now_ms,
            "authorization": authorization,
            "error": "unauthenticated",
        }


def _requests() -> Cases:
    sent = Request()
    good = sent.header(sent.signed())
    device, nonce = encode_id(DEVICE_ID), encode_bytes(sent.nonce)
    wrong: dict[str, bytes] = {
        "a changed signature": _flipped(sent.signed()),
        "the key of another device": sent.signed(STRANGER),
        "S above the group order": _above_the_order(sent.signed()),
        "signed for another method": sent.signed(method="PUT"),
        "signed for another target": sent.signed(target="/v1/mailbox/ack?"),
        "signed for another body": sent.signed(body_hash=hashlib.sha256(b"").digest()),
        "signed as a streamed one": sent.signed(body_hash=STREAMED),
        "signed for another relay": sent.signed(origin="http://127.0.0.1:8081"),
        "signed as another device": sent.signed(device_id=OTHER_ID),
        "signed at another time": sent.signed(time_ms=TIME_MS + 1),
        "signed with another nonce": sent.signed(nonce=seed("another nonce", 16)),
        "signed with an upload's offset": sent.signed(upload_offset=0),
    }
    forms = {
        "no header": "",
        "another scheme": good.replace("TokenIM-Ed25519", "TokenIM"),
        "the scheme in small letters": good.replace("TokenIM-Ed25519", "tokenim-ed25519"),
        "the device in capitals": good.replace(device, device.upper()),
        "a device with unused bits": good.replace(device, device[:-1] + next_letter(device[-1])),
        "a nonce with unused bits": good.replace(nonce, nonce[:-1] + chr(ord(nonce[-1]) + 1)),
        "a nonce of 15 bytes": good.replace(nonce, encode_bytes(sent.nonce[:-1])),
        "padding": good.replace(nonce, nonce + "=="),
        "fields in another order": ", ".join([good.split(", ")[0], *reversed(good.split(", ")[1:])]),
        "a field too few": good.rpartition(", ")[0],
        "a field too many": good + ', origin="' + ORIGIN + '"',
        "a space behind it": good + " ",
        "a sign before the time": good.replace('time="', 'time="+'),
        "digits of another script": good.replace('time="1', 'time="\u0661'),
    }
    unknown = sent.header(sent.signed(STRANGER, device_id=OTHER_ID), encode_id(OTHER_ID))
    late = TIME_MS + limits.MAX_CLOCK_SKEW_MS + 1
    early = TIME_MS - limits.MAX_CLOCK_SKEW_MS - 1
    return [
        *(sent.case(why, sent.header(signature)) for why, signature in wrong.items()),
        *(sent.case(why, header) for why, header in forms.items()),
        sent.case("a device that is in no manifest", unknown),
        sent.case("more than 90 s late", good, late),
        sent.case("more than 90 s early", good, early),
    ]


def _websockets() -> Cases:
    challenge = seed("challenge")

    def signed(key: SigningKey = DEVICE, **other: Any) -> bytes:
        fields: dict[str, Any] = {"origin": ORIGIN, "device_id": DEVICE_ID, "challenge": challenge}
        return key.sign(websocket_transcript(**{**fields, **other})).signature

    cases = [
        ("a changed signature", DEVICE_ID, _flipped(signed())),
        ("the key of another device", DEVICE_ID, signed(STRANGER)),
        ("S above the group order", DEVICE_ID, _above_the_order(signed())),
        ("the challenge of another connection", DEVICE_ID, signed(challenge=seed("another challenge"))),
        ("signed for another relay", DEVICE_ID, signed(origin="http://127.0.0.1:8081")),
        ("the challenge itself", DEVICE_ID, DEVICE.sign(challenge).signature),
        ("a device that is in no manifest", OTHER_ID, signed(STRANGER, device_id=OTHER_ID)),
    ]
    return [
        {
            "why": why,
            "challenge": challenge.hex(),
            "device_id": device_id.hex(),
            "signature": signature.hex(),
            "error": "unauthenticated",
        }
        for why, device_id, signature in cases
    ]


def _documents() -> Cases:
    body = b'{"relay":"tokenim"}'
    good = RELAY.sign(relay_document_transcript(body)).signature
    cases = [
        ("another body", body + b"\n", good, "InvalidSignature"),
        ("a changed signature", body, _flipped(good), "InvalidSignature"),
        ("another key than the pinned one", body, _document_by(STRANGER, body), "InvalidSignature"),
        ("S above the group order", body, _above_the_order(good), "InvalidSignature"),
        ("the signature of another document", body, _document_by(RELAY, b"{}"), "InvalidSignature"),
        ("the body itself is signed", body, RELAY.sign(body).signature, "InvalidSignature"),
        ("cut short", body, good[:-1], "InvalidEncoding"),
        ("no signature", body, b"", "InvalidEncoding"),
    ]
    return [
        {"why": why, "body": text.decode(), "signature": signature.hex(), "error": kind}
        for why, text, signature, kind in cases
    ]


def _document_by(key: SigningKey, body: bytes) -> bytes:
    return key.sign(relay_document_transcript(body)).signature


def _log_appends() -> Cases:
    key, log_id, entry = SigningKey(seed("write key")), seed("log id"), b"entry that must fail"
    following = bytes(SigningKey(seed("next write key")).verify_key)
    token_hash = hashlib.sha256(seed("next read token")).digest()

    def signed(by: SigningKey = key, **other: Any) -> bytes:
        fields = {"log_id": log_id, "index": 7, "entry": entry, "next_write_key": following}
        return by.sign(
            log_append_transcript(**{**fields, "next_read_token_hash": token_hash, **other})
        ).signature

    cases = {
        "a changed signature": _flipped(signed()),
        "another key": signed(STRANGER),
        "the key that comes next": signed(SigningKey(seed("next write key"))),
        "S above the group order": _above_the_order(signed()),
        "signed for another log": signed(log_id=seed("another log id")),
        "signed for another index": signed(index=8),
        "signed for another entry": signed(entry=b"another entry"),
        "signed for a key that stays": signed(next_write_key=None),
        "signed for a token that stays": signed(next_read_token_hash=None),
    }
    return [
        {
            "why": why,
            "log_id": log_id.hex(),
            "index": 7,
            "entry": entry.hex(),
            "write_key": bytes(key.verify_key).hex(),
            "next_write_key": following.hex(),
            "next_read_token": seed("next read token").hex(),
            "signature": signature.hex(),
            "error": "not_allowed",
        }
        for why, signature in cases.items()
    ]


def _recovery_requests() -> Cases:
    nonce = seed("recovery nonce", 16)

    def signed(key: SigningKey = ROOT, **other: Any) -> bytes:
        fields: dict[str, Any] = {"origin": ORIGIN, "account_id": ACCOUNT_ID, "time_ms": TIME_MS}
        return key.sign(recovery_request_transcript(**{**fields, "nonce": nonce, **other})).signature

    late = TIME_MS + limits.MAX_CLOCK_SKEW_MS + 1
    cases = [
        ("a changed signature", _flipped(signed()), TIME_MS),
        ("signed by a device", signed(DEVICE), TIME_MS),
        ("S above the group order", _above_the_order(signed()), TIME_MS),
        ("signed for another relay", signed(origin="http://127.0.0.1:8081"), TIME_MS),
        ("signed for another account", signed(account_id=bytes(32)), TIME_MS),
        ("signed at another time", signed(time_ms=TIME_MS + 1), TIME_MS),
        ("signed with another nonce", signed(nonce=bytes(16)), TIME_MS),
        ("more than 90 s late", signed(), late),
    ]
    return [
        {
            "why": why,
            "account_id": ACCOUNT_ID.hex(),
            "time_ms": TIME_MS,
            "nonce": nonce.hex(),
            "now_ms": now_ms,
            "signature": signature.hex(),
            "error": "unauthenticated",
        }
        for why, signature, now_ms in cases
    ]
