"""The worked example of docs/protocol.md, "Authentication": two requests of tests/vectors/wire.json, field by field."""

import json
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parents[1] / "tests" / "vectors" / "wire.json"
LABEL: Final = b"tokenim/v1 http-request\0"
FIELDS: Final = (
    "method",
    "request target",
    "SHA-256 of the body",
    "origin",
    "device id",
    "time",
    "nonce",
    "Upload-Offset",
)


def signed_requests() -> str:
    """A GET with a query and the PATCH of an upload: what is sent, and each field of what was signed."""
    told: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    identity, requests = told["identity"], told["authentication"]["http"]
    with_query = next(one for one in requests if "?" in one["target"])
    streamed = next(one for one in requests if one["upload_offset"] is not None)
    return "\n".join(
        [
            f"The device {identity['device_id_text']} (seed of its signing key: `{identity['signing_seed']}`) asks for its mail:",
            "",
            *_request(with_query),
            "",
            f"and goes on with an upload at byte {streamed['upload_offset']:,}, whose whole hash was signed at its creation:",
            "",
            *_request(streamed),
            "",
        ]
    )


def _request(one: dict[str, Any]) -> list[str]:
    offset = [f"Upload-Offset: {one['upload_offset']}"] if one["upload_offset"] is not None else []
    sent = [f"{one['method']} {one['target']}", f"Authorization: {one['authorization']}", *offset]
    told = [f"    {line}" for line in sent]
    return [
        *told,
        "",
        "Its transcript in hex, label, suite byte, and each field behind its length:",
        "",
        *_transcript(one),
    ]


def _transcript(one: dict[str, Any]) -> list[str]:
    """The lines of it; raises ValueError if it has other fields than the table says."""
    rest = bytes.fromhex(one["transcript"])
    lines = [f"    {LABEL.hex()} {rest[len(LABEL) : len(LABEL) + 1].hex()}"]
    rest = rest[len(LABEL) + 1 :]
    for name in FIELDS:
        end = 4 + int.from_bytes(rest[:4], "big")
        lines.append(f"    {rest[:4].hex()} {rest[4:end].hex()}".rstrip() + f"   {name}")
        rest = rest[end:]
    if rest:
        raise ValueError("the transcript of the vectors has more fields than the example names")
    return lines
