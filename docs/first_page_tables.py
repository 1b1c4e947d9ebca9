"""The first page of docs/protocol.md: registered, sent one message, received one, by tests/vectors/first_message.json."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parents[1] / "tests" / "vectors" / "first_message.json"


WIDTH: Final = 120
UPGRADE: Final = ("Upgrade: websocket", "Connection: Upgrade")
# Key and answer to it are those of RFC 6455, section 1.3.
KEY: Final = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
ACCEPT: Final = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def pieces(line: str) -> Iterator[str]:
    """The line, cut where it is too long, best behind a comma: each piece that goes on ends in a backslash, and loses nothing."""
    if "\\" in line:
        raise ValueError("a backslash of its own would be read as one that says that the line goes on")
    while len(line) > WIDTH:
        end = line.rfind(",", WIDTH // 2, WIDTH) + 1 or WIDTH
        yield f"{line[:end]}\\"
        line = line[end:]
    yield line


def block(*lines: str) -> str:
    """A block of code."""
    return "".join(f"    {piece}\n" if piece else "\n" for line in lines for piece in pieces(line))


def upgraded(subprotocol: str) -> tuple[list[str], list[str]]:
    """How a connection becomes a WebSocket: what is asked, and the answer."""
    protocol = f"Sec-WebSocket-Protocol: {subprotocol}"
    asked = ["GET /v1/connect HTTP/1.1", "Host: 127.0.0.1:8080", *UPGRADE, *KEY, protocol]
    return asked, ["HTTP/1.1 101 Switching Protocols", *UPGRADE, ACCEPT, protocol]


def asked(exchange: dict[str, Any]) -> list[str]:
    """A request, of its headers those that mean something here."""
    body = ["", exchange["body"]] if exchange["body"] else []
    return [f"{exchange['method']} {exchange['target']}", *exchange["headers"], *body]


def answered(exchange: dict[str, Any]) -> list[str]:
    """Its answer: status, headers, body."""
    body = ["", exchange["answer"]] if exchange["answer"] else []
    return [str(exchange["status"]), *exchange["answer_headers"], *body]


def first_page() -> str:
    """Every byte of the way, from the vectors; a test plays what is shown against a relay."""
    way: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    document, registration, token = way["http"]
    upgrade, switched = upgraded(way["subprotocol"])
    challenge, nobody, ready, submit, accepted = (one["message"] for one in way["anonymous"])
    device = [one["message"] for one in way["device"]["messages"]]
    steps: list[tuple[str, list[str]]] = [
        (
            "The invite, as its owner sent it. Behind `#v1.` stand its secret and the relay's signing key.",
            [way["invite"]],
        ),
        ("**The relay.** What it says of itself is fetched first,", asked(document)),
        ("and comes with a signature:", answered(document)),
        (
            "The signature is by the key that the invite named, over this transcript; it ends with SHA-256 of the body.",
            [way["document"]["transcript"]],
        ),
        (
            (
                "**Registered.** The account's root key and the device's keys are made; manifest 1 "
                "lists the device and is signed by the root key."
            ),
            asked(registration),
        ),
        ("The account is there:", answered(registration)),
        (
            (
                "**Can be written to.** A delivery token is made, 16 random bytes, and SHA-256 of it goes to the relay; "
                "before that every submit to the account is `not_allowed`. From here on a request is signed by the device. "
                "The transcript:"
            ),
            [way["delivery_token"]["transcript"]],
        ),
        ("The request, whose header has the signature over it:", asked(token)),
        ("It is taken, and nothing is to be told:", answered(token)),
        (
            (
                f"**Sent.** A connection becomes a WebSocket with the subprotocol `{way['subprotocol']}` (RFC 6455, here with "
                "the key that it has as an example; each line ends in CR LF, the last is empty):"
            ),
            upgrade,
        ),
        ("The relay:", switched),
        (
            (
                "From here on each message is a binary one of the WebSocket; shown is what is in it. "
                "The relay speaks first (`challenge`):"
            ),
            [challenge],
        ),
        ("Who sends need not say who it is: `anonymous`.", [nobody]),
        ("The relay: `ready`, with SHA-256 of its limits.", [ready]),
        (
            (
                "`submit`, with one ciphertext of 256 B, the smallest [bucket](#envelopes-and-padding) (here zeros behind "
                "its first bytes: the relay reads none), for one "
                f"device, and the delivery token of its account, `{way['delivery_token']['token']}`. Here that is the account "
                "from above, which writes to itself; who writes to another one was given its token:"
            ),
            [submit],
        ),
        ("`accepted`: it is stored (outcome 1).", [accepted]),
        (
            "**Received.** The device connects in the same way, by a WebSocket of its own. The relay, `challenge`:",
            [device[0]],
        ),
        ("The device signs this transcript", [way["device"]["transcript"]]),
        ("and answers `authenticate`:", [device[1]]),
        ("The relay: `ready`; the next sequence of the mailbox is 2.", [device[2]]),
        ("The device says `resume` with the sequence that it has stored, 0:", [device[3]]),
        ("It gets `deliver`, sequence 1,", [device[4]]),
        ("stores what it opened, and only then says `ack` up to 1; the relay deletes it.", [device[5]]),
        ("With that nothing is left (`caught_up`).", [device[6]]),
    ]
    return "\n".join(f"{told}\n\n{block(*lines)}" for told, lines in steps)
