"""Writes group_commits.json: one commit after the other on the same states, and what the rules say of each.

python -m tests.vectors.generate_group_commits
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from crypto import labels
from crypto.errors import CryptoError
from crypto.group_changes import Answer, Ban, Request, RequestKind, encode_change, sign_request
from crypto.group_commits import CommitHead, CommitKind, SignedCommit
from crypto.group_epoch import epoch_commitment
from crypto.group_rights import Right, Role
from crypto.group_rules import apply_commit, begin_draft
from crypto.group_state import GroupState, Setting
from crypto.manifest_chain import verify_chain
from crypto.transcript import transcript
from tests.crypto_people import NOW_MS
from tests.group_people import GroupMember, Log, group_of
from tests.vectors.group_commit_cases import BANNED, CUT, PLAIN, Case, cases

FILE = Path(__file__).with_name("group_commits.json")
ROLES = {
    "owner": Role.OWNER,
    "admin": Role.ADMIN,
    "moderator": Role.MODERATOR,
    "member": Role.MEMBER,
    "listener": Role.LISTENER,
    "target": Role.MEMBER,
}
SECRET = bytes(range(100, 132))


class Cast:
    """Members of every role, in a group and in a broadcast, and accounts outside."""

    def __init__(self) -> None:
        names = [*ROLES]
        roles = {name: role for name, role in ROLES.items() if name != "owner"}
        log, members = group_of(*names, roles=roles, settings=[Setting("name", b"Climbers")])
        self.people = {member.name: member for member in members}
        self.town = members[0].town
        for name in ("new", "stranger"):
            self.people[name] = GroupMember(name, self.town)
        self.second_manifest("target")
        self.second_manifest("moderator")
        self.states: dict[str, GroupState | None] = {"none": None, "group": self.grown(log)}
        broadcast = self.people["owner"]
        broadcast.begin(Log(), [(self.people["admin"], Role.ADMIN)], [Setting("broadcast", b"\x01")])
        self.states["broadcast"] = broadcast.known.state
        del self.town.manifests[self.people["stranger"].account]

    def second_manifest(self, name: str) -> None:
        person = self.people[name].person
        chain = verify_chain(person.account, person.manifest, [person.next_manifest([person.device])])
        person.manifest = self.town.manifests[person.account] = chain

    def grown(self, log: Log) -> GroupState:
        owner, target = self.people["owner"], self.people["target"]
        wants = self.request(
            "target", RequestKind.WANT, int(Right.HEAR | Right.SEND), at_ms=5, state=owner.known.state
        )
        owner.commit(log, [Ban(BANNED), wants])
        assert owner.known.state.member(target.account).asked_at_ms == 5
        return owner.known.state

    def account(self, name: str) -> bytes:
        return self.people[name].account

    def request(
        self, name: str, kind: RequestKind, value: int = 0, *, state: GroupState | None = None, **changed: Any
    ) -> Answer:
        member, state = self.people[name], state or self.states["group"]
        assert state is not None
        since, at_ms = state.member(member.account).since, changed.pop("at_ms", 9)
        asked = Request(state.group_id, member.account, member.device.device_id, since, kind, value, at_ms)
        return Answer(sign_request(replace(asked, **changed), member.device))

    def commit(self, case: Case) -> SignedCommit:
        """The signed commit, whether it stands or not."""
        member, state = self.people[case.by], self.states[case.state]
        listed = state.by_account.get(member.account) if state else None
        head = CommitHead(
            1,
            PLAIN,
            state.group_id if state else bytes(range(200, 232)),
            state.hash if state else b"",
            member.account,
            member.device.device_id,
            listed.manifest_version if listed else 1,
            NOW_MS + 1_000,
        )
        kind = self.needed(case, head) if case.kind is None else case.kind
        fields = [*replace(head, kind=kind).encode()]
        fields.append(epoch_commitment(head.group_id, SECRET) if kind == CUT else b"")
        fields = [case.fields.get(at, field) for at, field in enumerate(fields)]
        changes = [each if isinstance(each, bytes) else encode_change(each) for each in case.changes]
        body = transcript(labels.GROUP_COMMIT, *fields, *changes)
        signature = member.device.signing.sign(body)
        return SignedCommit(body, bytes((signature[0] ^ case.flip,)) + signature[1:])

    def needed(self, case: Case, head: CommitHead) -> CommitKind:
        """What the changes need; a cut where they may not be made at all, as it is always allowed."""
        changes = [each for each in case.changes if not isinstance(each, bytes)]
        try:
            return begin_draft(self.states[case.state], head, changes, self.town.manifests).kind
        except CryptoError:
            return CUT


def judged(cast: Cast, case: Case) -> dict[str, Any]:
    """A case with what the rules say of it."""
    signed = cast.commit(case)
    following, failure = b"", None
    try:
        following = apply_commit(cast.states[case.state], signed, cast.town.manifests).encode()
    except CryptoError as error:
        failure = type(error).__name__
    assert failure == case.error, (case, failure)
    return {
        "rule": case.rule,
        "does": case.does,
        "by": case.by,
        "state": case.state,
        "signature": signed.signature.hex(),
        "body": signed.body.hex(),
        "error": failure,
        "following": following.hex(),
    }


def document() -> str:
    cast = Cast()
    states = {name: state.encode().hex() if state else "" for name, state in cast.states.items()}
    known = {
        name: {
            "account": member.account.hex(),
            "device": member.device.device_id.hex(),
            "manifests": [
                each.encode().hex()
                for each in (cast.town.manifests[member.account].chain if name != "stranger" else ())
            ],
        }
        for name, member in cast.people.items()
    }
    content = {
        "about": 'docs/protocol.md, chapter Groups, "Rules"; bytes in hexadecimal;'
        " made by tests/vectors/generate_group_commits.py",
        "accounts": known,
        "states": states,
        "commits": [judged(cast, case) for case in cases(cast)],
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
