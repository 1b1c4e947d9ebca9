"""The commits of group_commits.json: what each is about, by the numbers of the rules in docs/protocol.md, "Rules"."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from crypto.group_changes import (
    Add,
    Answer,
    Ban,
    Change,
    ChangeSetting,
    Give,
    NewManifest,
    Remove,
    RequestKind,
    SetRole,
    SignedRequest,
    Unban,
    encode_change,
)
from crypto.group_commits import CommitKind
from crypto.group_proposals import add
from crypto.group_rights import ROLE_RIGHTS, Right, Role
from crypto.group_state import Setting

BANNED = bytes(range(32))
PLAIN, CUT, STEP = CommitKind.PLAIN, CommitKind.CUT, CommitKind.STEP


class Case(NamedTuple):
    """A commit, and the rule of docs/protocol.md that it is about."""

    rule: int
    does: str
    by: str
    changes: list[Change | bytes]
    error: str | None = None
    state: str = "group"
    kind: int | None = None
    """None: the one that the changes need."""
    fields: Mapping[int, bytes] = MappingProxyType({})
    """Fields of the commit that are others than they should be."""
    flip: bool = False
    """A bit of the signature is another."""


class Cast(Protocol):
    """Who takes part: owner, admin, moderator, member, listener, target; outside, new and stranger, of whom nobody has the list.

    `BANNED` is banned; the target asked for something at 5; the target and the moderator have two manifests.
    """

    def account(self, name: str) -> bytes: ...

    def request(self, name: str, kind: RequestKind, value: int = 0, **changed: Any) -> Answer: ...


def add_all(account: bytes, role: Role, given: int | None = None, version: int = 1) -> Add:
    return Add(account, version, role, 0xFFFF_FFFF, int(ROLE_RIGHTS[role]) if given is None else given)


def cases(cast: Cast) -> Iterator[Case]:
    yield from creating(cast)
    yield from who_commits(cast)
    yield from changes_that_make_sense(cast)
    yield from ranks(cast)
    yield from requests(cast)
    yield from kinds(cast)


def creating(cast: Cast) -> Iterator[Case]:
    owner, admin = cast.account("owner"), cast.account("admin")
    own = add(owner, 1, Role.OWNER)
    refused = {"error": "CommitRefused", "state": "none", "kind": CUT}
    yield Case(0, "creates a group, alone", "owner", [own], state="none")
    others = [add(admin, 1, Role.OWNER), ChangeSetting(Setting("name", b"x"))]
    yield Case(0, "creates a group with another owner and a name", "owner", [own, *others], state="none")
    yield Case(0, "creates a group without being in it", "owner", [add(admin, 1, Role.OWNER)], **refused)
    yield Case(0, "creates a group, but adds another first", "owner", [others[0], own], **refused)
    yield Case(0, "creates a group as an admin", "owner", [add(owner, 1, Role.ADMIN)], **refused)
    yield Case(0, "creates a group, plain", "owner", [own], **refused | {"kind": PLAIN})


def who_commits(cast: Cast) -> Iterator[Case]:
    name = ChangeSetting(Setting("name", b"Walkers"))
    new = add(cast.account("new"), 1)
    refused = "CommitRefused"
    yield Case(1, "changes the name", "admin", [name])
    yield Case(1, "no change at all", "admin", [])
    yield Case(1, "on another state", "admin", [name], "CommitOutdated", fields={2: bytes(32)})
    yield Case(1, "on no state", "admin", [name], "CommitOutdated", fields={2: b""})
    yield Case(1, "of another group", "admin", [name], refused, fields={1: bytes(32)})
    yield Case(1, "another signature", "admin", [name], refused, flip=True)
    yield Case(1, "signed by another device than it says", "admin", [name], refused, fields={4: bytes(16)})
    yield Case(
        1, "in the name of another member", "admin", [name], refused, fields={3: cast.account("owner")}
    )
    yield Case(1, "by a plain member", "member", [new], refused)
    yield Case(1, "by somebody outside", "new", [new], refused)
    one, two, three = (number.to_bytes(8, "big") for number in (1, 2, 3))
    yield Case(
        1, "by a version of the committer's list that nobody has", "admin", [], "ManifestGap", fields={5: two}
    )
    newer = NewManifest(cast.account("moderator"), 2, device_left=False)
    yield Case(1, "with the committer's own newer list", "moderator", [newer], fields={5: two})
    yield Case(1, "with a newer list that it does not tell", "moderator", [new], refused, fields={5: two})
    yield Case(1, "with an older list than it tells", "moderator", [newer], refused, fields={5: one})
    gap = NewManifest(cast.account("moderator"), 3, device_left=False)
    yield Case(
        1, "with a list of its own that there is not", "moderator", [gap], "ManifestGap", fields={5: three}
    )
    too_new = "GroupTooNew"
    yield Case(1, "of another format", "admin", [name], too_new, fields={0: b"\x02\x00"})
    yield Case(
        1, "of another format, badly signed", "admin", [name], refused, fields={0: b"\x02\x00"}, flip=True
    )
    yield Case(1, "of another kind", "admin", [name], too_new, kind=3)
    yield Case(1, "a change that nobody knows", "admin", [b"\x0a"], too_new, kind=PLAIN)
    role = b"\x03" + cast.account("target") + b"\x09"
    yield Case(1, "a role that nobody knows", "owner", [role], too_new, kind=PLAIN)
    yield Case(1, "an empty change", "admin", [b""], refused, kind=PLAIN)
    short = encode_change(Unban(BANNED))[:-1]
    yield Case(1, "a change that is cut short", "admin", [short], refused, kind=PLAIN)
    yield Case(1, "a cut without commitment", "admin", [name], refused, kind=CUT, fields={7: b""})
    yield Case(1, "a commitment without cut", "admin", [name], refused, kind=PLAIN, fields={7: bytes(32)})


def changes_that_make_sense(cast: Cast) -> Iterator[Case]:
    new, target, admin = (cast.account(name) for name in ("new", "target", "admin"))
    stranger, refused = cast.account("stranger"), "CommitRefused"
    yield Case(2, "adds a member", "moderator", [add(new, 1)])
    yield Case(2, "adds an account of which nobody has the list", "moderator", [add(stranger, 7)])
    yield Case(
        2, "adds an admin of whom nobody has the list", "owner", [add(stranger, 1, Role.ADMIN)], "ManifestGap"
    )
    yield Case(2, "adds a member once more", "owner", [add(target, 1)], refused)
    yield Case(2, "adds who is banned", "owner", [add(BANNED, 1)], refused)
    yield Case(2, "lifts a ban and adds", "owner", [Unban(BANNED), add(BANNED, 1)])
    yield Case(2, "adds, then lifts the ban", "owner", [add(BANNED, 1), Unban(BANNED)], refused)
    yield Case(2, "adds with manifest version 0", "owner", [add(new, 0)], refused)
    more = add_all(new, Role.MEMBER, int(Right.HEAR | Right.BAN))
    yield Case(2, "gives who is added more than the role has", "owner", [more], refused)
    yield Case(
        2, "adds with fewer rights than the role has", "owner", [add_all(new, Role.MEMBER, int(Right.HEAR))]
    )
    yield Case(2, "bans a stranger", "moderator", [Ban(stranger)])
    yield Case(2, "bans who is banned", "owner", [Ban(BANNED)], refused)
    yield Case(2, "lifts a ban that there is not", "owner", [Unban(stranger)], refused)
    for change in (Remove(new), SetRole(new, Role.MEMBER), Give(new, 0)):
        yield Case(2, f"{type(change).__name__} of somebody outside", "owner", [change], refused)
    yield Case(2, "takes a setting away", "admin", [ChangeSetting(Setting("name", b""))])
    yield Case(
        2, "takes away a setting that is not there", "admin", [ChangeSetting(Setting("gone", b""))], refused
    )
    critical = ChangeSetting(Setting("polls", b"\x01", critical=True))
    yield Case(
        2, "a critical setting that nobody knows: applied, then they write no more", "admin", [critical]
    )
    yield Case(2, "a member's newer list", "moderator", [NewManifest(target, 2, device_left=False)])
    yield Case(
        2, "the same list of a member", "moderator", [NewManifest(target, 1, device_left=False)], refused
    )
    yield Case(
        2,
        "an admin's list that there is not",
        "owner",
        [NewManifest(admin, 2, device_left=False)],
        "ManifestGap",
    )
    yield Case(2, "mutes", "moderator", [Give(target, int(Right.HEAR))])
    yield Case(2, "gives what the role does not have", "owner", [Give(target, int(Right.BAN))], refused)


def ranks(cast: Cast) -> Iterator[Case]:
    new, target, owner = (cast.account(name) for name in ("new", "target", "owner"))
    admin, moderator, refused = cast.account("admin"), cast.account("moderator"), "CommitRefused"
    for change in (Remove(moderator), Ban(moderator), Give(moderator, 0), SetRole(moderator, Role.MEMBER)):
        does = f"{type(change).__name__} of a moderator"
        yield Case(3, f"{does}, by an admin", "admin", [change])
        yield Case(3, f"{does}, by a moderator", "moderator", [change], refused)
    for change in (Remove(owner), Ban(owner), Give(owner, 0), SetRole(owner, Role.MEMBER)):
        yield Case(3, f"{type(change).__name__} of an owner, by an admin", "admin", [change], refused)
    yield Case(
        3,
        "an owner removes an owner that it has just made",
        "owner",
        [SetRole(admin, Role.OWNER), Remove(admin)],
    )
    yield Case(3, "makes a moderator", "admin", [SetRole(target, Role.MODERATOR)])
    yield Case(
        3, "makes a moderator, without the right", "moderator", [SetRole(target, Role.MODERATOR)], refused
    )
    yield Case(3, "makes an equal", "admin", [SetRole(target, Role.ADMIN)], refused)
    yield Case(3, "makes another owner", "owner", [SetRole(target, Role.OWNER)])
    yield Case(3, "adds a moderator, with the right", "admin", [add(new, 1, Role.MODERATOR)])
    yield Case(3, "adds a moderator, without the right", "moderator", [add(new, 1, Role.MODERATOR)], refused)
    yield Case(
        3, "changes a setting, without the right", "moderator", [ChangeSetting(Setting("a", b"b"))], refused
    )
    yield Case(3, "raises itself", "admin", [SetRole(admin, Role.OWNER)], refused)
    yield Case(3, "lowers itself", "admin", [SetRole(admin, Role.MODERATOR)])
    down = [SetRole(admin, Role.MODERATOR), SetRole(admin, Role.ADMIN)]
    yield Case(3, "lowers itself, and takes it back", "admin", down, refused)
    yield Case(4, "takes itself out", "owner", [SetRole(admin, Role.OWNER), Remove(owner)], refused)
    yield Case(4, "bans itself", "owner", [SetRole(admin, Role.OWNER), Ban(owner)], refused)
    yield Case(4, "gives up the right to commit", "admin", [SetRole(admin, Role.MEMBER)], refused)
    yield Case(5, "the only owner steps down", "owner", [SetRole(owner, Role.ADMIN)], refused)
    yield Case(
        5,
        "an owner steps down for another",
        "owner",
        [SetRole(admin, Role.OWNER), SetRole(owner, Role.ADMIN)],
    )


def requests(cast: Cast) -> Iterator[Case]:
    leave, want, refused = RequestKind.LEAVE, RequestKind.WANT, "CommitRefused"
    hear = int(Right.HEAR)
    yield Case(2, "grants a member's leave", "moderator", [cast.request("target", leave)])
    yield Case(2, "grants a wish", "moderator", [cast.request("target", want, hear)])
    yield Case(
        2, "grants the owner's wish: judged by its signature", "moderator", [cast.request("owner", want, 511)]
    )
    good = cast.request("owner", want, 511).signed
    forged = Answer(SignedRequest(good.body, bytes(64)))
    yield Case(2, "grants a wish that the owner did not sign", "moderator", [forged], refused)
    weak = cast.request("target", leave).signed
    unsigned = Answer(SignedRequest(weak.body, bytes(64)))
    yield Case(2, "an unsigned wish of whom it could remove anyhow", "moderator", [unsigned])
    for at_ms in (4, 5):
        old = cast.request("target", want, hear, at_ms=at_ms)
        yield Case(2, f"a wish of {at_ms}, after one of 5", "moderator", [old], refused)
    yield Case(
        2, "a wish for another group", "owner", [cast.request("target", leave, group_id=bytes(32))], refused
    )
    yield Case(2, "a wish of another membership", "owner", [cast.request("target", leave, since=9)], refused)
    yield Case(4, "grants its own leave", "admin", [cast.request("admin", leave)], refused)


def kinds(cast: Cast) -> Iterator[Case]:
    new, target, member = (cast.account(name) for name in ("new", "target", "member"))
    refused = "CommitRefused"
    join, name = add(new, 1), ChangeSetting(Setting("name", b"Walkers"))
    lower = SetRole(target, Role.LISTENER)
    for change in (Remove(target), lower, Give(target, 0), NewManifest(target, 2, device_left=True)):
        does = type(change).__name__
        yield Case(6, f"{does}: a cut", "owner", [change])
        yield Case(6, f"{does} without a cut", "owner", [change], refused, kind=PLAIN)
    yield Case(6, "a cut that nothing needs", "owner", [name], kind=CUT)
    yield Case(6, "a step in a group that is no broadcast", "owner", [join], refused, kind=STEP)
    for changes in ([Remove(member), add(member, 1)], [lower, SetRole(target, Role.MEMBER)]):
        does = f"{type(changes[0]).__name__}, taken back in the same commit"
        yield Case(6, f"{does}: a cut", "owner", changes)
        yield Case(6, f"{does}, without a cut", "owner", changes, refused, kind=PLAIN)
    opens = [ChangeSetting(Setting("broadcast", b"\x01")), join]
    yield Case(6, "becomes a broadcast: the state before counts", "owner", opens)
    yield Case(6, "becomes a broadcast, with a step", "owner", opens, refused, kind=STEP)
    yield Case(6, "joins a broadcast: a step", "admin", [join], state="broadcast")
    yield Case(6, "joins a broadcast, plain", "admin", [join], refused, state="broadcast", kind=PLAIN)
    yield Case(6, "joins a broadcast, with a cut", "admin", [join], state="broadcast", kind=CUT)
    yield Case(6, "a name in a broadcast: plain", "admin", [name], state="broadcast")
    yield Case(
        6, "a name in a broadcast, with a step", "admin", [name], refused, state="broadcast", kind=STEP
    )
