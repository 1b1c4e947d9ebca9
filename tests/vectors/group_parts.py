"""Parts of group_derivations.json: what members hand out and ask for, and what of it must be refused.

`generate_groups.py` writes them into the file.
"""

from typing import Any

from client.groups.upkeep import turn_order
from crypto.group_changes import Request, RequestKind, sign_request
from crypto.group_epoch import EpochHandOut, EpochKeys
from crypto.group_log import _entry_ad
from crypto.keys import IdentityKeyPair, LocalDevice, SigningKeyPair
from crypto.padding import pad
from crypto.primitives import RandomBytes, sha256
from crypto.sender_chains import ChainHandOut

IMPOSSIBLE = 2**53
"""An epoch that is never reached."""
IN_ENTRY = 256 - 1 - 12 - 16
"""What is sealed in the smallest log entry."""


def request(group_id: bytes, random: RandomBytes) -> dict[str, Any]:
    """A member asks to get text alone."""
    signing = SigningKeyPair.generate(random)
    device = LocalDevice(random(32), random(16), signing, IdentityKeyPair.generate(random))
    asked = Request(group_id, device.account_id, device.device_id, 3, RequestKind.WANT, 5, 1_764_000_000_000)
    signed = sign_request(asked, device)
    return {
        "group_id": group_id.hex(),
        "account": asked.account.hex(),
        "device": asked.device.hex(),
        "since": asked.since,
        "kind": int(asked.kind),
        "value": asked.value,
        "asked_at_ms": asked.asked_at_ms,
        "signing_seed": signing.seed.hex(),
        "transcript": signed.body.hex(),
        "signature": signed.signature.hex(),
        "encoded": signed.encode().hex(),
    }


def turns(group_id: bytes, random: RandomBytes) -> dict[str, Any]:
    """Who commits that a member's device list is newer, one after the other."""
    member, accounts = random(32), [random(32) for _ in range(4)]
    ordered = turn_order(group_id, member, accounts)
    return {
        "group_id": group_id.hex(),
        "member": member.hex(),
        "accounts": [one.hex() for one in ordered],
        "hashes": [sha256(group_id + member + one).hex() for one in ordered],
    }


def chain_hand_out(keys: EpochKeys, random: RandomBytes) -> tuple[dict[str, Any], ChainHandOut]:
    """A chain that stands at its sixth message, as told and as it is."""
    signing = SigningKeyPair.generate(random)
    given = ChainHandOut(keys.group_id, keys.epoch, keys.cut_hash, random(12), 5, random(32), signing.public)
    told = {
        "group_id": given.group_id.hex(),
        "epoch": given.epoch,
        "cut_hash": given.cut_hash.hex(),
        "chain_id": given.chain_id.hex(),
        "iteration": given.iteration,
        "chain_key": given.chain_key.hex(),
        "signing_public": given.signing_public.hex(),
        "encoded": given.encode().hex(),
    }
    return told, given


def must_fail(
    keys: EpochKeys, secret: EpochHandOut, chain: ChainHandOut, random: RandomBytes
) -> dict[str, list[dict[str, Any]]]:
    """What is no hand-out, and entries of the log that open for nobody."""
    return {
        "epoch_hand_outs": _cases(
            [
                *_of_another_form(secret.encode()),
                ("an impossible epoch", _impossible(secret.encode()), "InvalidEncoding"),
            ]
        ),
        "chain_hand_outs": _cases(
            [
                *_of_another_form(chain.encode()),
                ("an impossible epoch", _impossible(chain.encode()), "InvalidEncoding"),
                ("a signing key of small order", chain.encode()[:-32] + bytes(32), "InvalidKey"),
                ("a signing key that is no point", chain.encode()[:-32] + b"\2" + bytes(31), "InvalidKey"),
                ("a signing key that is not canonical", chain.encode()[:-32] + b"\xff" * 32, "InvalidKey"),
            ]
        ),
        "entries": _cases(_entries(keys, random)),
    }


def _cases(cases: list[tuple[str, bytes, str]]) -> list[dict[str, Any]]:
    return [{"name": name, "encoded": encoded.hex(), "error": kind} for name, encoded, kind in cases]


def _of_another_form(good: bytes) -> list[tuple[str, bytes, str]]:
    return [
        ("another suite", b"\2" + good[1:], "InvalidEncoding"),
        ("cut short", good[:-1], "InvalidEncoding"),
        ("a byte behind the end", good + b"\0", "InvalidEncoding"),
        ("nothing", b"", "InvalidEncoding"),
    ]


def _impossible(good: bytes) -> bytes:
    """In both the epoch follows suite and group id."""
    return good[:33] + IMPOSSIBLE.to_bytes(8, "big") + good[41:]


def _entries(keys: EpochKeys, random: RandomBytes) -> list[tuple[str, bytes, str]]:
    """Each as the entry of index 7."""
    content = random(64) + b"a commit that nobody gets to read"

    def sealed(padded: bytes, index: int = 7) -> bytes:
        nonce = random(12)
        return b"\1" + nonce + keys.entries.seal(nonce, padded, _entry_ad(keys, index))

    padded = pad(content, IN_ENTRY)
    good = sealed(padded)
    return [
        ("another suite", b"\2" + good[1:], "InvalidEncoding"),
        ("no bucket", good + b"\0", "InvalidEncoding"),
        ("sealed for another place", sealed(padded, index=8), "Undecryptable"),
        ("a changed nonce", _flipped(good, 1), "Undecryptable"),
        ("a changed byte", _flipped(good, 100), "Undecryptable"),
        ("a changed tag", _flipped(good, len(good) - 1), "Undecryptable"),
        ("padding that is not zeros", sealed(padded[:-1] + b"\1"), "InvalidEncoding"),
        ("a length beyond the end", sealed(IN_ENTRY.to_bytes(4, "big") + padded[4:]), "InvalidEncoding"),
    ]


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
