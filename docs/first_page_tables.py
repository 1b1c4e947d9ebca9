"""The first page of docs/protocol.md: registered, sent one message, received one, with the bytes of tests/vectors/wire.json."""

import base64
import json
import textwrap
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parents[1] / "tests" / "vectors" / "wire.json"


def base64url(hexadecimal: str) -> str:
    """Without padding, as everywhere in the protocol's JSON."""
    return base64.urlsafe_b64encode(bytes.fromhex(hexadecimal)).decode().rstrip("=")


def block(*lines: str) -> str:
    """A block of code: what is longer than 120 characters goes on in the next line."""
    cut = [part for line in lines for part in (textwrap.wrap(line, 120, break_on_hyphens=False) or [""])]
    return "\n".join(f"    {line}" for line in cut) + "\n"


def first_page() -> str:
    """Every byte of the way, from the vectors; a test compares the messages with what the code makes of them."""
    wire: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    who, signed, sent = wire["identity"], wire["authentication"], wire["messages"]

    def message(frame: str, nth: int = 0) -> str:
        found = [one["message"] for one in sent if one["frames"] == [frame]]
        return str(found[nth])

    manifest = {
        "body": base64url(who["manifest_body"]),
        "signer": "",
        "signature": base64url(who["manifest_signature_by_root"]),
    }
    body = {"invite": base64url(wire["links"]["invite"]["secret"]), "manifest": manifest}
    request = signed["http"][0]
    steps = [
        (
            "The invite, as its owner sent it. Behind `#v1.` stand its secret and the relay's signing key.",
            wire["links"]["invite"]["link"],
        ),
        (
            (
                "**Registered.** The account's root key and the device's keys are made; manifest 1 "
                "lists the device and is signed by the root key. The body of `POST /v1/accounts`, answered by 201:"
            ),
            json.dumps(body, separators=(",", ":")),
        ),
        (
            (
                f"From here on a request is signed by the device. The transcript of `{request['method']} {request['target']}`, "
                f"which has no body:"
            ),
            request["transcript"],
        ),
        ("and the header with the signature over it:", f"Authorization: {request['authorization']}"),
        (
            "**Connected.** `GET /v1/connect` as a WebSocket; the relay speaks first (`challenge`):",
            message("challenge"),
        ),
        ("The device signs this transcript", signed["websocket"]["transcript"]),
        ("and answers `authenticate`:", message("authenticate")),
        ("The relay: `ready`.", message("ready")),
        (
            (
                "**Sent.** `submit`, with one ciphertext of 64 B (here zeros: the relay reads none) for one device, and the "
                "delivery token of its account; best on an `anonymous` connection:"
            ),
            message("submit"),
        ),
        (
            "`accepted`: it is stored (outcome 1), and that account has a newer manifest, version 2.",
            message("accepted"),
        ),
        (
            "**Received.** The device of the other end has said `resume` with the sequence that it has stored, 0:",
            message("resume"),
        ),
        ("It gets `deliver`, sequence 6,", message("deliver")),
        ("stores what it opened, and only then says `ack` up to 6:", message("ack", 1)),
        ("With that nothing is left (`caught_up`).", message("caughtup")),
    ]
    return "\n".join(f"{told}\n\n{block(line)}" for told, line in steps)
