"""Frames, links and what devices sign for the relay; docs/protocol.md, "Authentication", "Links", "The WebSocket
protocol". The shapes of frames are read out of the document's own tables.
"""

import base64
import re
from pathlib import Path
from typing import Any

from tests.oracle import message_pack
from tests.oracle.refusals import require
from tests.oracle.transcripts import sha256, transcript, u64

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
FRAME = re.compile(r"^\| (\d+) \| `(\w+)` \| (→ relay|→ client) \| (.*?) \| .* \|$", re.MULTILINE)
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

Field = tuple[str, str, bool]  # name, type, may be left out


def fields_in(text: str) -> list[Field]:
    found = []
    for part in [] if text == "–" else text.split("; "):
        optional = part.startswith("[`")
        name, kind = re.fullmatch(r"`(\w+)` (.*)", part[1:-1] if optional else part).groups()  # type: ignore[union-attr]
        found.append((name, kind, optional))
    return found


FRAMES = {int(row[0]): (row[1], row[2], fields_in(row[3])) for row in FRAME.findall(DOCUMENT)}
"""Name, direction and fields by type."""


def _section(anchor: str) -> str:
    return re.split(r"^#{2,4} ", DOCUMENT.split(f"#### {anchor}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _number(text: str) -> int:
    """`2,592,000`, or a power of two such as `2⁶³ − 1`."""
    power = re.fullmatch(r"2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)( − 1)?", text)
    if power:
        return 2 ** int(power[1].translate(SUPERSCRIPTS)) - bool(power[2])
    return int(text.replace(",", ""))


def _bounds(text: str) -> tuple[int, int]:
    first, _, last = text.partition("–")
    return _number(first), _number(last or first)


def check_value(value: Any, kind: str) -> None:
    """Refused unless a value has the type that the document gives."""
    if kind.startswith("array of "):
        many = re.match(r"array of (?:([\d,–]+) × )?(.*)", kind)
        assert many is not None
        low, high = _bounds(many[1]) if many[1] else (0, 2**32)
        require(isinstance(value, list) and low <= len(value) <= high, "array")
        for each in value:
            check_value(each, many[2])
    elif kind.startswith("["):
        _check_named(value, kind[1:].partition("]")[0])
    elif kind == "int or bin":
        require(type(value) in (int, bytes), "int or bin")
    elif kind == "bool":
        require(type(value) is bool, "bool")
    elif kind.startswith("int"):
        require(type(value) is int, "int")
        low, high = (_number(kind[6:]), 2**64) if kind.startswith("int ≥ ") else _bounds(kind[4:])
        require(low <= value <= high, "int")
    else:
        family, size = kind.split(" ", 1)
        require(type(value) is {"bin": bytes, "str": str}[family], family)
        low, high = _bounds(size.removesuffix(" B"))
        require(low <= len(value if family == "bin" else value.encode()) <= high, "length")


def _check_named(value: Any, name: str) -> None:
    section = _section(name)
    if "An array of: " in section:
        check_fields(value, fields_in(section.split("An array of: ", 1)[1].splitlines()[0]))
    else:
        require(
            type(value) is int and value in map(int, re.findall(r"^\| (\d+) \|", section, re.MULTILINE)), name
        )


def check_fields(values: Any, fields: list[Field]) -> None:
    needed = [field for field in fields if not field[2]]
    require(isinstance(values, list) and len(needed) <= len(values) <= len(fields), "fields")
    for value, (_, kind, _) in zip(values, fields, strict=False):
        check_value(value, kind)


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


def websocket(origin: str, device: bytes, challenge: bytes) -> bytes:
    return transcript(b"tokenim/v1 websocket\0", origin.encode(), device, challenge)


def relay_document(body: bytes) -> bytes:
    return transcript(b"tokenim/v1 relay-document\0", sha256(body))
