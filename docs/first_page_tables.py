"""The first page of docs/protocol.md: registered, sent one message, received one, by tests/vectors/first_message.json."""

import json
import textwrap
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parents[1] / "tests" / "vectors" / "first_message.json"


def block(*lines: str) -> str:
    """A block of code: what is longer than 120 characters goes on in the next line."""
    cut = [part for line in lines for part in (textwrap.wrap(line, 120, break_on_hyphens=False) or [""])]
    return "\n".join(f"    {line}".rstrip() for line in cut) + "\n"


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
                f"**Sent.** `GET /v1/connect` as a WebSocket with the subprotocol `{way['subprotocol']}`. "
                f"The relay speaks first (`challenge`):"
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
            "**Received.** The device connects, by a WebSocket of its own. The relay, `challenge`:",
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
