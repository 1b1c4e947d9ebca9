"""What wire.json holds that must be refused for its form: texts, links, messages. `generate_wire.py` writes it into the file.

Kinds in small letters are codes of the relay (docs/protocol.md, "Errors").
"""

from typing import Any

import msgspec

from relay.wire import limits
from relay.wire.links import encode_id
from tests.vectors.wire_keys import ACCOUNT_ID, DEVICE_ID, ORIGIN, TIME_MS, seed

Cases = list[dict[str, Any]]


def must_fail(links: dict[str, Any]) -> dict[str, Cases]:
    """The cases of all forms; `links` are the good ones of the file."""
    return {
        "base64url": _base64url(),
        "base32": _base32(),
        "links": _links({kind: one["link"] for kind, one in links.items()}),
        "messages": _messages(),
    }


# Text forms


def _base64url() -> Cases:
    texts = {
        "padding": "AA==",
        "padding of another length": "AAA=",
        "a character that is left over": "AAAAA",
        "one unused bit that is not zero": "AAB",
        "four unused bits that are not zero": "AP",
        "the alphabet of base64: +": "AA+A",
        "the alphabet of base64: /": "AA/A",
        "a line end": "AAAA\n",
        "a line end inside": "AA\r\nAA",
        "a space before it": " AAAA",
        "a letter that is not ASCII": "AAAé",
        "a digit of another script": "AAA\u0661",
        "a zero byte": "AAA\0",
    }
    return [{"why": why, "text": text, "error": "InvalidEncoding"} for why, text in texts.items()]


def _base32() -> Cases:
    good = encode_id(DEVICE_ID)
    texts = {
        "capitals": good.upper(),
        "one capital": good.capitalize(),
        "padding": good + "======",
        "unused bits that are not zero": good[:-1] + next_letter(good[-1]),
        "the digit 0": "0" + good[1:],
        "the digit 1": "1" + good[1:],
        "the digit 8": "8" + good[1:],
        "a character too few": good[:-1],
        "a character too many": good + "a",
        "a byte too few": encode_id(DEVICE_ID[:-1]),
        "a byte too many": encode_id(DEVICE_ID + b"\0"),
        "a line end": good + "\n",
        "a space before it": " " + good,
        "hyphens": good[:13] + "-" + good[13:],
        "a letter that is not ASCII": "ä" + good[1:],
        "nothing": "",
    }
    return [
        {"why": why, "text": text, "length": 16, "error": "InvalidEncoding"} for why, text in texts.items()
    ]


def next_letter(letter: str) -> str:
    """The next one of the alphabet: of an id's last character the lowest bits are unused."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return alphabet[alphabet.index(letter) + 1]


def _links(links: dict[str, str]) -> Cases:
    cases: list[tuple[str, str, str]] = []
    for kind, link in links.items():
        head, payload = link.split("#v1.")
        cases += (
            (f"{kind}: a byte too few", kind, f"{head}#v1.{payload[:-4]}"),
            (f"{kind}: three bytes too many", kind, f"{link}AAAA"),
            (
                f"{kind}: a character that is left over",
                kind,
                f"{link}A" if len(payload) % 4 == 0 else link[:-1],
            ),
        )
    contact, group = links["contact"], links["group"]
    cases += (
        ("a contact where an invite belongs", "invite", contact),
        ("a device where an invite belongs", "invite", links["link"]),
        ("an invite where a device belongs", "link", links["invite"]),
        ("another version", "contact", contact.replace("#v1.", "#v2.")),
        ("no version", "contact", contact.replace("#v1.", "#")),
        ("the secret in the query", "contact", contact.replace("#v1.", "?v1.")),
        ("padding", "group", group + "="),
        ("the alphabet of base64", "group", group[:-1] + "+"),
        ("a line end inside", "group", group[:-4] + "\n" + group[-4:]),
        ("another scheme", "contact", contact.replace("http://", "ftp://")),
        ("no origin", "contact", contact.removeprefix(ORIGIN)),
        ("an origin without a host", "contact", contact.replace(ORIGIN, "http://")),
        ("an origin with a path", "contact", contact.replace(ORIGIN, ORIGIN + "/chat")),
        ("nothing", "contact", ""),
    )
    return [{"why": why, "kind": kind, "link": link, "error": "InvalidEncoding"} for why, kind, link in cases]


# Work


def work(good: dict[str, Any]) -> Cases:
    """What is no work for this envelope: found for less, or for something else."""
    found = bytes.fromhex(good["work"])
    zeros = 256 - int(good["sha256"], 16).bit_length()
    named = {name: good[name] for name in ("bits", "envelope_id", "account_id", "token", "work")}
    changed: dict[str, dict[str, Any]] = {
        "a bit too little": {"bits": zeros + 1},
        "for another envelope": {"envelope_id": seed("another envelope id", 16).hex()},
        "for another account": {"account_id": bytes(32).hex()},
        "for another token": {"token": bytes(16).hex()},
        "another number": {"work": (int.from_bytes(found, "big") + 1).to_bytes(8, "big").hex()},
        "7 bytes": {"work": found[1:].hex()},
        "9 bytes": {"work": (b"\0" + found).hex()},
        "none": {"work": ""},
    }
    return [{"why": why, **named, **other, "error": "work_required"} for why, other in changed.items()]


def registration_work(good: dict[str, Any]) -> Cases:
    """The same of the work for an account."""
    found = bytes.fromhex(good["work"])
    zeros = 256 - int(good["sha256"], 16).bit_length()
    named = {name: good[name] for name in ("bits", "account_id", "manifest_hash", "time_ms", "work")}
    changed: dict[str, dict[str, Any]] = {
        "a bit too little": {"bits": zeros + 1},
        "for another account": {"account_id": bytes(32).hex()},
        "for another manifest": {"manifest_hash": bytes(32).hex()},
        "for another time": {"time_ms": TIME_MS + 1},
        "another number": {"work": (int.from_bytes(found, "big") + 1).to_bytes(8, "big").hex()},
    }
    return [{"why": why, **named, **other, "error": "work_required"} for why, other in changed.items()]


# Messages


def _messages() -> Cases:
    pack, envelope_id, resume = msgspec.msgpack.encode, seed("envelope id", 16), [3, 0]
    from_client = {
        "no frame": pack([]),
        "65 frames": pack([resume] * 65),
        "nothing": b"",
        "no array": pack(3),
        "a frame that is no array": pack([3]),
        "an empty frame": pack([[]]),
        "unknown type": pack([[99]]),
        "a field too many": pack([[2, 1, [], 0]]),
        "a field too few": pack([[2]]),
        "a trailing byte": pack([resume]) + b"\0",
        "cut short": pack([resume])[:-1],
        "a negative number": pack([[3, -1]]),
        "a number that is a float": pack([[3, 1.0]]),
        "a map": pack([{"after": 0}]),
        "text where bytes belong": pack([[4, "d" * 16, b"s" * 64]]),
        "bytes of another length": pack([[4, b"d" * 15, b"s" * 64]]),
        "a frame that only the relay sends": pack([[12, 1]]),
        "a class that there is not": pack([_submit(envelope_id, envelope_class=9)]),
        "an envelope without a byte": pack([_submit(envelope_id, ciphertext=b"")]),
        "nobody to get it": pack([_submit(envelope_id, targets=[])]),
    }
    from_relay = {
        "no frame": pack([]),
        "unknown type": pack([[99]]),
        "a frame that only a client sends": pack([resume]),
        "a field too few": pack([[12]]),
        "a trailing byte": pack([[12, 1]]) + b"\0",
        "a negative number": pack([[12, -1]]),
        "a challenge of 31 bytes": pack([[16, bytes(31), TIME_MS]]),
        "text where bytes belong": pack([[16, "c" * 32, TIME_MS]]),
    }
    return [
        {"why": why, "from": side, "message": message.hex(), "error": "malformed_frame"}
        for side, group in (("client", from_client), ("relay", from_relay))
        for why, message in group.items()
    ]


def _submit(
    envelope_id: bytes,
    envelope_class: int = 1,
    ciphertext: bytes = bytes(64),
    targets: list[list[Any]] | None = None,
) -> list[Any]:
    to = [[DEVICE_ID, 0, 0]] if targets is None else targets
    grants = [[ACCOUNT_ID, seed("link token", 16), 1]]
    return [1, 1, envelope_id, envelope_class, False, limits.MAX_TTL_SECONDS, [ciphertext], to, grants]
