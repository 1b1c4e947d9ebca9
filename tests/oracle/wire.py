"""Messages, links and what devices sign for the relay; docs/protocol.md, "Authentication", "Links", "Reach", "Sealed logs"."""

import base64

from tests.oracle import message_pack
from tests.oracle.document_tables import FRAMES, check_fields
from tests.oracle.refusals import require
from tests.oracle.transcripts import sha256, transcript, u64


def read_message(message: bytes, direction: str) -> list[str]:
    """The names of the frames in a message that goes this way, each of exactly its shape."""
    frames = message_pack.decode(message)
    require(isinstance(frames, list) and 1 <= len(frames) <= 64, "frames")
    names = []
    for frame in frames:
        require(isinstance(frame, list) and frame and frame[0] in FRAMES, "type")
        name, goes, fields = FRAMES[frame[0]]
        require(goes == direction, "direction")
        check_fields(frame[1:], fields)
        names.append(name)
    return names


# Text forms and links


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def invite_link(origin: str, secret: bytes, signing_key: bytes) -> str:
    return f"{origin}/invite#v1.{base64url(secret + signing_key)}"


def contact_link(origin: str, account: bytes, token: bytes) -> str:
    return f"{origin}/contact#v1.{base64url(account + token)}"


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


def recovery_request(origin: str, account: bytes, time_ms: int, nonce: bytes) -> bytes:
    return transcript(b"tokenim/v1 recovery request\0", origin.encode(), account, u64(time_ms), nonce)


def websocket(origin: str, device: bytes, challenge: bytes) -> bytes:
    return transcript(b"tokenim/v1 websocket\0", origin.encode(), device, challenge)


def relay_document(body: bytes) -> bytes:
    return transcript(b"tokenim/v1 relay-document\0", sha256(body))
