"""A group's state, and the commits that change it, from docs/protocol.md alone: "State", "Commits", "Rules".

States are dictionaries, changes are read where they are applied: naive, slow, and with no code of `crypto`.
"""

from typing import Any

from tests.oracle import ed25519
from tests.oracle.manifests import Manifest
from tests.oracle.refusals import Refused, Waiting, require
from tests.oracle.transcripts import fields_of, number, sha256, split, transcript, u16, u32, u64

HEAR, SEND, COMMITTING = 1, 2, 4 | 8 | 16 | 32 | 64 | 128
ROLE_RIGHTS = {1: 1, 2: 3, 3: 319, 4: 511, 5: 511}
MEMBER, OWNER = 2, 5
PLAIN, CUT, STEP = 0, 1, 2
ADD, REMOVE = 4, 8
LEAVE, WANT = 1, 2
NEEDED = {1: 4, 2: 8, 3: 64, 4: 32, 5: 16, 6: 16, 7: 128, 8: 0, 9: 0}
SIZES = {1: 49, 2: 32, 3: 33, 4: 36, 5: 32, 6: 32, 8: 41}
MEMBER_BYTES = (32, 8, 1, 4, 4, 8, 8)
Chains = dict[bytes, list[Manifest]]  # the manifests of each account


def encode_state(state: dict[str, Any]) -> bytes:
    members = b"".join(
        account
        + u64(each["version"])
        + bytes((each["role"],))
        + u32(each["wants"])
        + u32(each["given"])
        + u64(each["since"])
        + u64(each["asked"])
        for account, each in sorted(state["members"].items())
    )
    settings = b"".join(
        bytes((len(name), critical)) + u16(len(value)) + name + value
        for name, (value, critical) in sorted(state["settings"].items())
    )
    return transcript(
        b"tokenim/v1 group state\0",
        state["group_id"],
        u64(state["index"]),
        state["previous"],
        u64(state["epoch"]),
        u32(state["step"]),
        u64(state["cut_at"]),
        state["commitment"],
        state["cut_hash"],
        members,
        b"".join(sorted(state["banned"])),
        settings,
    )


def parse_state(data: bytes) -> dict[str, Any]:
    """The inverse: what a welcome tells."""
    fields = fields_of(b"tokenim/v1 group state\0", data)
    require(len(fields) == 11, "fields")
    state: dict[str, Any] = {"group_id": fields[0], "index": number(fields[1]), "previous": fields[2]}
    state |= {"epoch": number(fields[3]), "step": number(fields[4]), "cut_at": number(fields[5])}
    state |= {"commitment": fields[6], "cut_hash": fields[7], "members": {}, "banned": set(), "settings": {}}
    for at in range(0, len(fields[8]), 65):
        account, *values = split(fields[8][at : at + 65], *MEMBER_BYTES)
        names = "version", "role", "wants", "given", "since", "asked"
        state["members"][account] = dict(zip(names, map(number, values), strict=True))
    for at in range(0, len(fields[9]), 32):
        state["banned"].add(fields[9][at : at + 32])
    rest = fields[10]
    while rest:
        name, value = rest[4 : 4 + rest[0]], rest[4 + rest[0] : 4 + rest[0] + number(rest[2:4])]
        state["settings"][name] = value, rest[1]
        rest = rest[4 + len(name) + len(value) :]
    require(encode_state(state) == data, "not in order")
    return state


def request(
    group_id: bytes, account: bytes, device: bytes, since: int, kind: int, value: int, at_ms: int
) -> bytes:
    """What a member asks for itself, as its device signs it."""
    what = u64(since), bytes([kind]), u64(value), u64(at_ms)
    return transcript(b"tokenim/v1 group request\0", group_id, account, device, *what)


def state_hash(state: dict[str, Any]) -> bytes:
    return sha256(encode_state(state))


def hash_at_cut(state: dict[str, Any]) -> bytes:
    return state["cut_hash"] or state_hash(state)


def rights(member: dict[str, int]) -> int:
    return member["wants"] & member["given"] & ROLE_RIGHTS[member["role"]]


def may_commit(member: dict[str, int]) -> bool:
    return bool(rights(member) & COMMITTING and rights(member) & HEAR)


def signing_key(chains: Chains, account: bytes, version: int, device: bytes) -> bytes:
    """The device's key in that version of its account's manifest; Waiting if it has to be fetched."""
    for one in chains.get(account, []):
        if one.version == version:
            require(device in one.devices, "no such device")
            return one.devices[device].signing
    raise Waiting("a manifest", "ManifestGap")


class Draft:
    """A state that is being changed, and what the changes so far mean for the epoch."""

    def __init__(
        self, state: dict[str, Any] | None, me: bytes, epoch: int, group_id: bytes, chains: Chains
    ) -> None:
        old = state["members"] if state else {}
        self.members = {account: dict(member) for account, member in old.items()}
        self.banned = set(state["banned"]) if state else set()
        self.settings = dict(state["settings"]) if state else {}
        self.me, self.epoch, self.group_id, self.chains = me, epoch, group_id, chains
        self.committer = dict(old[me]) if state else {"role": OWNER, "wants": 511, "given": 511}
        self.needs_cut, self.joined = state is None, False

    def outranks(self, account: bytes) -> bool:
        """Whether the committer has a higher role than this member, or is an owner."""
        role = self.committer["role"]
        return account in self.members and (role == OWNER or self.members[account]["role"] < role)

    def appoints(self, role: int) -> bool:
        return role < self.committer["role"] or self.committer["role"] == OWNER

    def put(self, account: bytes, **changed: int) -> None:
        before = rights(self.members[account]) if account in self.members else 0
        self.members[account] = self.members.get(account, {}) | changed
        after = rights(self.members[account])
        self.needs_cut |= bool(before & ~after)
        self.joined |= bool(after & ~before & HEAR)

    def drop(self, account: bytes) -> None:
        require(account != self.me, "itself")
        del self.members[account]
        self.needs_cut = True

    def kind(self, state: dict[str, Any] | None) -> int:
        """What a commit of these changes has to be at least."""
        broadcast = bool(state) and state["settings"].get(b"broadcast", (b"", 0))[0] == b"\x01"
        return CUT if self.needs_cut else STEP if self.joined and broadcast else PLAIN

    def check(self, version: int) -> None:
        """Of the group after all changes."""
        own = self.members[self.me]
        require(own["version"] == version and may_commit(own), "own")
        require(any(member["role"] == OWNER for member in self.members.values()), "owner")

    def apply(self, change: bytes) -> None:
        require(change, "empty")
        kind, body = change[0], change[1:]
        require(kind in NEEDED, "an unknown change", "GroupTooNew")
        require(len(body) == SIZES.get(kind, len(body)), "length")
        require(rights(self.committer) & NEEDED[kind] == NEEDED[kind], "right")
        getattr(self, f"change_{kind}")(body)

    def listed(self, account: bytes) -> None:
        """Waiting unless the version of who may commit is there."""
        member = self.members[account]
        if may_commit(member) and all(
            one.version != member["version"] for one in self.chains.get(account, [])
        ):
            raise Waiting("a manifest", "ManifestGap")

    def change_1(self, body: bytes) -> None:
        account, version, role, wants, given = split(body, 32, 8, 1, 4, 4)
        require(account not in self.members and account not in self.banned, "is there")
        require(role[0] in ROLE_RIGHTS, "an unknown role", "GroupTooNew")
        require(not number(given) & ~ROLE_RIGHTS[role[0]] and number(version), "impossible")
        appoints = rights(self.committer) & 64 and self.appoints(role[0])
        require(role[0] <= MEMBER or appoints, "role")
        numbers = {
            "version": number(version),
            "role": role[0],
            "wants": number(wants),
            "given": number(given),
        }
        self.put(account, **numbers, since=self.epoch, asked=0)
        self.listed(account)

    def change_2(self, account: bytes) -> None:
        require(self.outranks(account), "rank")
        self.drop(account)

    def change_3(self, body: bytes) -> None:
        account, role = body[:32], body[32]
        require(role in ROLE_RIGHTS, "an unknown role", "GroupTooNew")
        require(account in self.members and self.appoints(role), "role")
        own = account == self.me and role <= self.members[account]["role"]
        require(own or (account != self.me and self.outranks(account)), "rank")
        self.put(account, role=role, given=ROLE_RIGHTS[role])
        self.listed(account)

    def change_4(self, body: bytes) -> None:
        account, given = body[:32], number(body[32:])
        require(self.outranks(account) and not given & ~ROLE_RIGHTS[self.members[account]["role"]], "rank")
        self.put(account, given=given)
        self.listed(account)

    def change_5(self, account: bytes) -> None:
        require(account not in self.banned, "banned")
        if account in self.members:
            require(self.outranks(account), "rank")
            self.drop(account)
        self.banned.add(account)

    def change_6(self, account: bytes) -> None:
        require(account in self.banned, "not banned")
        self.banned.remove(account)

    def change_7(self, body: bytes) -> None:
        name, value = body[4 : 4 + body[0]], body[4 + body[0] :]
        require(len(value) == number(body[2:4]) and (value or name in self.settings), "no setting")
        self.settings[name] = value, body[1]
        if not value:
            del self.settings[name]

    def change_8(self, body: bytes) -> None:
        account, version = body[:32], number(body[32:40])
        require(account in self.members and self.members[account]["version"] < version, "version")
        self.members[account]["version"] = version
        self.listed(account)
        self.needs_cut |= bool(body[40])
        self.joined |= bool(rights(self.members[account]) & HEAR)

    def change_9(self, body: bytes) -> None:
        signature, request = body[:64], body[64:]
        group, asker, device, since, what, value, at = fields_of(b"tokenim/v1 group request\0", request)
        require(asker in self.members and group == self.group_id, "who")
        member = self.members[asker]
        require(number(since) == member["since"] and number(at) > member["asked"], "when")
        needed = {LEAVE: REMOVE, WANT: REMOVE | ADD}[what[0]]
        if not self.outranks(asker) or rights(self.committer) & needed != needed:
            require(may_commit(member), "who knows its list")
            ed25519.verify(signing_key(self.chains, asker, member["version"], device), request, signature)
        if what[0] == LEAVE:
            self.drop(asker)
        else:
            self.put(asker, wants=number(value), asked=number(at))


def as_skipped(refused: Refused) -> Refused:
    """What breaks a rule is skipped, whichever it is; of these two a client says more."""
    more = refused.kind in ("CommitOutdated", "GroupTooNew")
    return Refused(str(refused), refused.kind if more else "CommitRefused")


def needed_kind(state: dict[str, Any], me: bytes, changes: list[bytes], chains: Chains) -> int:
    """What a commit of `me` with these changes has to be at least; Refused if the rules forbid it."""
    require(me in state["members"] and may_commit(state["members"][me]), "entitled")
    kind = PLAIN
    for _ in range(2):  # as a cut the same changes are made in the next epoch
        draft = Draft(state, me, state["epoch"] + (kind == CUT), state["group_id"], chains)
        for change in changes:
            draft.apply(change)
        draft.check(version_of_commit(state, me, changes))
        kind = draft.kind(state)
    return kind


def version_of_commit(state: dict[str, Any], me: bytes, changes: list[bytes]) -> int:
    """Field 6: the committer's version in the state, or that of a change 8."""
    own = [change for change in changes if change[0] == 8 and change[1:33] == me]
    return number(own[-1][33:41]) if own else int(state["members"][me]["version"])


def apply_commit(
    state: dict[str, Any] | None, signature: bytes, body: bytes, chains: Chains
) -> dict[str, Any]:
    """The next state; Refused for what every member skips, Waiting while a manifest is missing."""
    try:
        return _applied(state, signature, body, chains)
    except Refused as refused:
        raise as_skipped(refused) from None


def _applied(state: dict[str, Any] | None, signature: bytes, body: bytes, chains: Chains) -> dict[str, Any]:
    fields = fields_of(b"tokenim/v1 group commit\0", body)
    require(len(fields) >= 8, "fields")
    (form, kind), group_id, previous, me, device, version, at, commitment, *changes = fields
    require(previous == (state_hash(state) if state else b""), "outdated", "CommitOutdated")
    if state:
        require(group_id == state["group_id"] and me in state["members"], "who")
        require(may_commit(state["members"][me]), "entitled")
        require(number(version) >= state["members"][me]["version"], "an older manifest")
    else:
        first = changes[0] if changes else b""
        require(
            first[:1] + first[1:33] + first[41:42] == b"\x01" + me + bytes([OWNER]), "begins with its owner"
        )
    ed25519.verify(signing_key(chains, me, number(version), device), body, signature)
    require(form == 1 and kind in (PLAIN, CUT, STEP), "form", "GroupTooNew")
    require((len(commitment) == 32) == (kind == CUT), "commitment")
    draft = Draft(state, me, (state["epoch"] if state else 0) + (kind == CUT), group_id, chains)
    for change in changes:
        draft.apply(change)
    draft.check(number(version))
    require(kind in (CUT, draft.kind(state)), "kind")
    anew = kind == CUT or not state
    return {
        "group_id": group_id,
        "index": state["index"] + 1 if state else 0,
        "previous": previous,
        "epoch": draft.epoch,
        "step": 0 if anew or not state else state["step"] + (kind == STEP),
        "cut_at": number(at) if anew or not state else state["cut_at"],
        "commitment": commitment if anew or not state else state["commitment"],
        "cut_hash": b"" if anew or not state else hash_at_cut(state),
        "members": draft.members,
        "banned": draft.banned,
        "settings": draft.settings,
    }
