"""Writes group_derivations.json and group_life.json: derivations of groups, and one group's log and messages.

python -m tests.vectors.generate_groups
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crypto import group_log, labels, sender_keys
from crypto.errors import CryptoError
from crypto.group_changes import (
    Answer,
    Ban,
    Change,
    ChangeSetting,
    Give,
    NewManifest,
    Remove,
    Request,
    RequestKind,
    SetRole,
    Unban,
    encode_change,
    sign_request,
)
from crypto.group_epoch import EpochHandOut, EpochKeys, derive_epoch, epoch_commitment, next_step
from crypto.group_proposals import add
from crypto.group_rights import ROLE_RIGHTS, Right, Role
from crypto.group_state import Setting
from crypto.sender_chains import chain_step, hand_out
from crypto.skipped_keys import KEY_BYTES
from crypto.transcript import u32
from tests.crypto_people import SeededRandom
from tests.group_people import GroupMember, group_of
from tests.vectors import group_parts

FOLDER = Path(__file__).parent
NAMES = ("GROUP_STATE", "GROUP_COMMIT", "GROUP_REQUEST", "GROUP_ENTRY", "GROUP_MESSAGE", "GROUP_SIGNATURE")
DERIVING = ("EPOCH_COMMITMENT", "EPOCH_KEYS", "EPOCH_STEP", "GROUP_CHAIN")


def keys_of(keys: EpochKeys) -> dict[str, Any]:
    return {
        "epoch": keys.epoch,
        "step": keys.step,
        "cut_hash": keys.cut_hash.hex(),
        "secret": keys.secret.hex(),
        "header_key": keys.headers.key_bytes.hex(),
        "entry_key": keys.entries.key_bytes.hex(),
        "read_token": keys.read_token.hex(),
    }


def derivations() -> dict[str, Any]:
    """Each derivation alone."""
    random = SeededRandom("group vectors")
    group_id, cut_hash, secret, state_hash, chain_key, seed = (random(KEY_BYTES) for _ in range(6))
    keys = derive_epoch(group_id, 7, 0, cut_hash, secret)
    message_key, following = chain_step(chain_key)
    given = EpochHandOut(group_id, 7, 0, cut_hash, secret, seed)
    chain, handed = group_parts.chain_hand_out(keys, random)
    return {
        "about": "docs/protocol.md, chapter Groups; bytes in hexadecimal; made by tests/vectors/generate_groups.py",
        "labels": {name: getattr(labels, name).hex() for name in (*NAMES, *DERIVING)},
        "roles": {role.name.lower(): [int(role), int(rights)] for role, rights in ROLE_RIGHTS.items()},
        "epoch": {
            "group_id": group_id.hex(),
            "commitment": epoch_commitment(group_id, secret).hex(),
            **keys_of(keys),
        },
        "step": {"state_hash": state_hash.hex(), **keys_of(next_step(keys, state_hash))},
        "chain_step": {
            "chain_key": chain_key.hex(),
            "message_key": message_key.hex(),
            "next": following.hex(),
        },
        "epoch_hand_outs": [
            {"write_seed": seed.hex(), "encoded": given.encode().hex()},
            {"write_seed": "", "encoded": EpochHandOut(group_id, 7, 0, cut_hash, secret).encode().hex()},
        ],
        "chain_hand_out": chain,
        "request": group_parts.request(group_id, random),
        "must_fail": group_parts.must_fail(keys, given, handed, random),
        "turns": group_parts.turns(group_id, random),
    }


class Life:
    """A group, told as a list of entries and messages."""

    def __init__(self) -> None:
        log, members = group_of(
            "ann", "bob", "cem", roles={"bob": Role.ADMIN}, settings=[Setting("name", b"Climbers")]
        )
        self.log, self.members = log, {member.name: member for member in members}
        self.ann = members[0]
        self.entries: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        created = group_log.open_entry(self.ann.known.keys, 0, log.entries[0])
        self.record(0, created.body, created.signature, self.ann, "creates the group")

    def record(self, index: int, body: bytes, signature: bytes, by: GroupMember, does: str) -> None:
        state = by.known.state
        self.entries.append(
            {
                "index": index,
                "does": does,
                "by": by.name,
                "body": body.hex(),
                "signature": signature.hex(),
                "entry": self.log.entries[index].hex(),
                "associated_data": group_log._entry_ad(by.known.keys, index).hex(),
                "state": state.encode().hex(),
                "state_hash": state.hash.hex(),
                "epoch": state.epoch,
                "step": state.step,
                "secret": by.known.keys.secret.hex(),
            }
        )

    def commit(self, by: str, changes: list[Change], does: str, *, cut: bool = False) -> None:
        member = self.members[by]
        made = member.commit(self.log, changes, cut=cut)
        member.spread(self.members.values())
        for other in self.members.values():
            if other.view is None and other.account in member.known.state.by_account:
                member.invite(other)
            elif other.view is not None:
                other.catch_up(self.log)
        index = len(self.log.entries) - 1
        self.record(index, made.signed.body, made.signed.signature, member, does)
        self.entries[-1]["changes"] = [encode_change(change).hex() for change in changes]

    def junk(self, entry: bytes, does: str) -> None:
        assert self.log.append(len(self.log.entries), entry)
        followed = self.ann.catch_up(self.log)[-1]
        assert followed.commit is None
        for other in self.members.values():
            if other.view is not None:
                other.catch_up(self.log)
        index = len(self.log.entries) - 1
        self.entries.append(
            {
                "index": index,
                "does": does,
                "entry": entry.hex(),
                "skipped": True,
                "state_hash": self.ann.known.state.hash.hex(),
            }
        )

    def say(self, name: str, text: bytes) -> None:
        member = self.members[name]
        chain = member.fresh_chain()
        given = hand_out(chain)
        others = [other for other in self.members.values() if other is not member and other.view is not None]
        member.hand_to(others)
        message_key, following = chain_step(chain.chain_key)
        envelope = member.send(text)
        opened = [other.name for other in others if opens(other, envelope, text)]
        self.messages.append(
            {
                "from": name,
                "epoch": chain.opening.epoch,
                "chain_hand_out": given.encode().hex(),
                "iteration": chain.iteration,
                "message_key": message_key.hex(),
                "next_chain_key": following.hex(),
                "signing_seed": chain.signing_private[:32].hex(),
                "nonce": envelope[2:14].hex(),
                "header": (chain.opening.device + chain.opening.chain_id + u32(chain.iteration)).hex(),
                "associated_data": sender_keys._body_ad(
                    chain.opening, u32(chain.iteration), envelope[:62]
                ).hex(),
                "signed": sender_keys._signed(chain.opening, u32(chain.iteration), envelope[:-64]).hex(),
                "plaintext": text.hex(),
                "envelope": envelope.hex(),
                "opens_for": opened,
            }
        )

    def must_fail(self, name: str, reader: str, change: Callable[[bytes], bytes], does: str) -> None:
        self.say(name, b"must not open as it stands")
        message = self.messages.pop()
        envelope = change(bytes.fromhex(message["envelope"]))
        member = self.members[reader]
        try:
            member.open(envelope)
        except CryptoError as error:
            failure = type(error).__name__
        else:
            raise AssertionError(does)
        for name_of_good in ("header", "associated_data", "signed"):
            del message[name_of_good]
        self.messages.append(
            {**message, "envelope": envelope.hex(), "does": does, "reader": reader, "error": failure}
        )


def opens(member: GroupMember, envelope: bytes, text: bytes) -> bool:
    try:
        return member.open(envelope) == text
    except CryptoError:
        return False


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda envelope: envelope[:at] + bytes((envelope[at] ^ 1,)) + envelope[at + 1 :]


def life() -> dict[str, Any]:
    """A group with every kind of change, and messages between."""
    told = Life()
    ann, bob, cem = (told.members[name] for name in ("ann", "bob", "cem"))
    told.say("ann", b"hello")
    told.say("ann", b"")
    told.say("cem", b"x" * 2_000)
    dee = told.members["dee"] = GroupMember("dee", ann.town)
    eve = told.members["eve"] = GroupMember("eve", ann.town)
    told.commit("bob", [add(dee.account, 1), add(eve.account, 1, Role.LISTENER)], "two join, plain")
    told.say("dee", b"hello all")
    told.must_fail("ann", "dee", flipped(20), "a byte of the header changed")
    told.must_fail("ann", "dee", flipped(80), "a byte of the body changed")
    told.must_fail("ann", "dee", flipped(-1), "a byte of the signature changed")
    told.must_fail("ann", "dee", lambda envelope: envelope + b"\0", "no bucket")
    told.junk(b"\x01" + bytes(255), "junk of a bucket's size")
    asked = Request(
        ann.known.state.group_id, cem.account, cem.device.device_id, 1, RequestKind.WANT, int(Right.HEAR), 5
    )
    wants = Answer(sign_request(asked, cem.device))
    told.commit(
        "ann", [wants, SetRole(dee.account, Role.MODERATOR)], "a request, a role; a right goes: a cut"
    )
    told.say("dee", b"in the second epoch")
    changes = [ChangeSetting(Setting("polls", b"\x01")), NewManifest(eve.account, 2, device_left=False)]
    told.commit("ann", changes, "an unknown optional setting, a newer manifest")
    late = bob.account
    told.commit(
        "ann", [Remove(late), Give(eve.account, 0), Ban(bytes(32))], "one out, one unheard, one banned"
    )
    told.say("ann", b"without bob")
    told.commit("dee", [Unban(bytes(32))], "a ban is lifted")
    told.commit("ann", [], "a cut for its age", cut=True)
    told.say("dee", b"in the fourth epoch")
    return {
        "about": "docs/protocol.md, chapter Groups; bytes in hexadecimal; made by tests/vectors/generate_groups.py",
        "group_id": ann.known.state.group_id.hex(),
        "members": {
            name: {
                "account": member.account.hex(),
                "device": member.device.device_id.hex(),
                "signing_public": member.device.signing.public.hex(),
                "manifest": member.person.manifest.newest.encode().hex(),
            }
            for name, member in told.members.items()
        },
        "entries": told.entries,
        "messages": told.messages,
    }


FILES = {"group_derivations.json": derivations, "group_life.json": life}

if __name__ == "__main__":
    for name, make in FILES.items():
        (FOLDER / name).write_text(json.dumps(make(), indent=1) + "\n")
