"""Messages, links and what devices sign for the relay; docs/protocol.md, "Authentication", "Links", "Reach", "Sealed logs"."""

import re
from typing import Any

from tests.oracle import ed25519, message_pack
from tests.oracle.document_tables import FRAMES, check_fields
from tests.oracle.refusals import Refused, require
from tests.oracle.transcripts import sha256, split, transcript, u64


def read_message(message: bytes, direction: str) -> list[str]:
    """The names of the frames in a message that goes this way, each of exactly its shape."""
    try:
        frames = message_pack.decode(message)
        require(isinstance(frames, list) and 1 <= len(frames) <= 64, "frames")
        return [_name_of(frame, direction) for frame in frames]
    except Refused as refused:
        raise Refused(str(refused), "malformed_frame") from None


def _name_of(frame: Any, direction: str) -> str:
    require(isinstance(frame, list) and frame and frame[0] in FRAMES, "type")
    name, goes, fields = FRAMES[frame[0]]
    require(goes == direction, "direction")
    check_fields(frame[1:], fields)
    return name


# Text forms and links

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
LINKS = {"invite": (16, 32), "contact": (32, 16), "group": (32, 32, 16, 16), "link": (16, 32)}
"""Lengths of what stands in each."""


def _to_text(data: bytes, alphabet: str) -> str:
    bits = len(alphabet).bit_length() - 1
    count = -(-8 * len(data) // bits)
    number = int.from_bytes(data, "big") << bits * count - 8 * len(data)
    return "".join(alphabet[number >> bits * at & 2**bits - 1] for at in reversed(range(count)))


def _from_text(text: str, alphabet: str) -> bytes:
    """The inverse, of one text for one value."""
    require(set(text) <= set(alphabet), "another alphabet")
    bits, number = len(alphabet).bit_length() - 1, 0
    for letter in text:
        number = number << bits | alphabet.index(letter)
    unused = bits * len(text) % 8
    require(unused < bits and not number & 2**unused - 1, "unused bits")
    return (number >> unused).to_bytes(bits * len(text) // 8, "big")


def base64url(data: bytes) -> str:
    return _to_text(data, BASE64URL)


def base32(data: bytes) -> str:
    return _to_text(data, BASE32)


def read_base64url(text: str) -> bytes:
    return _from_text(text, BASE64URL)


def read_base32(text: str, length: int) -> bytes:
    """An id of this length."""
    data = _from_text(text, BASE32)
    require(len(data) == length, "length")
    return data


def link(kind: str, origin: str, *parts: bytes) -> str:
    return f"{origin}/{kind}#v1.{base64url(b''.join(parts))}"


def read_link(kind: str, text: str) -> tuple[str, ...]:
    """Origin, and in hexadecimal what stands in a link of this kind."""
    found = re.fullmatch(r"(https?://[^\s/?#]+)/(\w+)#v1\.(.*)", text, re.DOTALL)
    require(found and found[2] == kind, "no such link")
    assert found is not None
    return found[1], *(part.hex() for part in split(read_base64url(found[3]), *LINKS[kind]))


# What is signed


def http_request(
    method: str,
    target: str,
    body: bytes | None,
    origin: str,
    device: bytes,
    time_ms: int,
    nonce: bytes,
    offset: int | None,
) -> bytes:
    """`body` is None for the PATCH of an upload."""
    return transcript(
        b"tokenim/v1 http-request\0",
        method.encode(),
        target.encode(),
        b"streamed" if body is None else sha256(body),
        origin.encode(),
        device,
        u64(time_ms),
        nonce,
        b"" if offset is None else u64(offset),
    )


def authorization(device: bytes, time_ms: int, nonce: bytes, signature: bytes) -> str:
    return (
        f'TokenIM-Ed25519 device="{base32(device)}", time="{time_ms}", '
        f'nonce="{base64url(nonce)}", signature="{base64url(signature)}"'
    )


def read_authorization(header: str) -> tuple[bytes, int, bytes, bytes]:
    """Device id, time, nonce, signature."""
    found = re.fullmatch(
        'TokenIM-Ed25519 device="([^"]*)", time="([0-9]+)", nonce="([^"]*)", signature="([^"]*)"', header
    )
    require(found, "header")
    assert found is not None
    nonce, signature = read_base64url(found[3]), read_base64url(found[4])
    require((len(nonce), len(signature)) == (16, 64), "lengths")
    return read_base32(found[1], 16), int(found[2]), nonce, signature


def verify(code: str, key: bytes | None, signed: bytes, signature: bytes) -> None:
    """As a relay does, which says the same whatever is wrong, also where there is no such key."""
    try:
        require(key is not None, "unknown")
        ed25519.verify(key or b"", signed, signature)
    except Refused as refused:
        raise Refused(str(refused), code) from None


def require_in_time(time_ms: int, now_ms: int) -> None:
    require(abs(time_ms - now_ms) <= 90_000, "time", "unauthenticated")


def check_request(
    keys: dict[bytes, bytes], origin: str, now_ms: int, sent: tuple[str, str, bytes], header: str
) -> None:
    """A request (method, target, body) at a relay that knows these devices."""
    try:
        device, time_ms, nonce, signature = read_authorization(header)
    except Refused as refused:
        raise Refused(str(refused), "unauthenticated") from None
    require_in_time(time_ms, now_ms)
    signed = http_request(*sent, origin, device, time_ms, nonce, None)
    verify("unauthenticated", keys.get(device), signed, signature)


def log_append(log_id: bytes, index: int, entry: bytes, next_key: bytes, next_token_hash: bytes) -> bytes:
    """What the write key of a group log signs; empty where key and token stay."""
    return transcript(
        b"tokenim/v1 log append\0", log_id, u64(index), sha256(entry), next_key, next_token_hash
    )


def registration_work(origin: str, account: bytes, manifest_hash: bytes, time_ms: int, found: bytes) -> bytes:
    return transcript(
        b"tokenim/v1 registration work\0", origin.encode(), account, manifest_hash, u64(time_ms), found
    )


def work(envelope_id: bytes, account: bytes, token: bytes, found: bytes) -> bytes:
    return transcript(b"tokenim/v1 work\0", envelope_id, account, sha256(token), found)


def zero_bits(digest: bytes) -> int:
    """How many bits a hash begins with that are zero."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()


def require_work(hashed: bytes, found: bytes, bits: int) -> None:
    """8 B that make the hash begin with so many zero bits."""
    require(len(found) == 8 and zero_bits(sha256(hashed)) >= bits, "work", "work_required")


def recovery_request(origin: str, account: bytes, time_ms: int, nonce: bytes) -> bytes:
    return transcript(b"tokenim/v1 recovery request\0", origin.encode(), account, u64(time_ms), nonce)


def websocket(origin: str, device: bytes, challenge: bytes) -> bytes:
    return transcript(b"tokenim/v1 websocket\0", origin.encode(), device, challenge)


def relay_document(body: bytes) -> bytes:
    return transcript(b"tokenim/v1 relay-document\0", sha256(body))
