"""The state of a group: who is in it with which role and rights, its settings, its epoch; hash-chained.

A state is made by a commit (`group_rules`) from the one before, never edited. Its hash stands in the next commit, in
every sender chain and in every message, so members who see different groups cannot talk unnoticed.
docs/protocol.md, "Groups", "State".
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from struct import Struct
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from . import labels, limits
from .errors import GroupTooNew, InvalidEncoding, NotEntitled
from .group_rights import COMMITTING, ROLE_RIGHTS, Right, Role
from .manifest_chain import VerifiedManifest
from .primitives import sha256
from .transcript import parse_transcript, transcript, u32, u64

__all__ = ["BROADCAST", "KNOWN_SETTINGS", "GroupState", "Member", "Setting", "audience", "parse_state"]

_MEMBER: Final = Struct(">32sQBIIQQ")
MEMBER_BYTES: Final = _MEMBER.size  # 65
_SETTING_HEAD: Final = Struct(">BBH")  # length of the name, critical, length of the value
_FIELDS: Final = 11
# As plain numbers: `&` with an IntFlag takes 2 µs, and thousands of members are looked at.
_HEAR: Final = Right.HEAR.value
_COMMITTING: Final = COMMITTING.value
_SPEAKING: Final = COMMITTING.value | Right.SEND.value

NAME, ABOUT, PICTURE, JOINING, EXPIRY, BROADCAST = (
    "name",
    "about",
    "picture",
    "joining",
    "expiry",
    "broadcast",
)
KNOWN_SETTINGS: Final = frozenset({NAME, ABOUT, PICTURE, JOINING, EXPIRY, BROADCAST})
"""What this build understands; others are kept and passed on, or stop writing if they are critical."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """One account in a group. Of thousands each is a value that the garbage collector need not look at."""

    account: bytes
    """32 B."""
    manifest_version: int
    """The version that the group goes by; it only rises."""
    role: Role
    wants: int
    """Rights that the member wants; 32 bits."""
    given: int
    """Rights that it is given, within its role."""
    since: int
    """Epoch in which it was added: its requests are bound to it, and messages of earlier epochs are not shown."""
    asked_at_ms: int = 0
    """Time of its newest request that was committed: none is taken twice."""
    bits: int = 0
    """Made of the others: `rights` as a plain number, checked with each message."""
    encoded: bytes = b""
    """Made of the others: 65 B, once, as a group of thousands is hashed at each commit."""

    def __post_init__(self) -> None:
        force_setattr(self, "bits", self.wants & self.given & ROLE_RIGHTS[self.role].value)
        fields = (self.account, self.manifest_version, self.role, self.wants, self.given)
        force_setattr(self, "encoded", _MEMBER.pack(*fields, self.since, self.asked_at_ms))

    @property
    def rights(self) -> Right:
        """What it wants and is given."""
        return Right(self.bits)

    @property
    def hears(self) -> bool:
        """Whether it is in the audience."""
        return self.bits & _HEAR != 0

    @property
    def may_commit(self) -> bool:
        """Whether its devices hold the write key: it has a right that needs commits, and hears."""
        return self.bits & _COMMITTING != 0 and self.bits & _HEAR != 0

    @property
    def speaks(self) -> bool:
        """Whether it sends or commits: only then it has to reach the others of a broadcast group."""
        return self.bits & _SPEAKING != 0

    @classmethod
    def parse(cls, data: bytes) -> "Member":
        """Inverse of `encoded`, or InvalidEncoding."""
        account, version, role, wants, given, since, asked_at_ms = _MEMBER.unpack(data)
        try:
            known = Role(role)
        except ValueError as error:
            raise InvalidEncoding("a member with an unknown role") from error
        if given & ~ROLE_RIGHTS[known] or not 1 <= version <= limits.MAX_MANIFEST_VERSION:
            raise InvalidEncoding("a member with impossible rights or manifest version")
        return cls(account, version, known, wants, given, since, asked_at_ms)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: a name of at most 64 B of UTF-8, at most 4,096 B, and whether nobody may write who does not know it."""

    name: str
    value: bytes
    critical: bool = False

    def encode(self) -> bytes:
        """Length of the name u8 ‖ critical u8 ‖ length of the value u16 ‖ name ‖ value."""
        name = self.name.encode()
        if not 0 < len(name) <= limits.MAX_SETTING_NAME_BYTES:
            raise InvalidEncoding(f"a setting's name has 1 to {limits.MAX_SETTING_NAME_BYTES} bytes")
        if len(self.value) > limits.MAX_SETTING_VALUE_BYTES:
            raise InvalidEncoding(f"a setting has at most {limits.MAX_SETTING_VALUE_BYTES} bytes")
        return _SETTING_HEAD.pack(len(name), self.critical, len(self.value)) + name + self.value

    @classmethod
    def parse_from(cls, data: bytes, at: int) -> tuple["Setting", int]:
        """(The setting that begins at `at`, where the next one would), or InvalidEncoding."""
        start = at + _SETTING_HEAD.size
        if start > len(data):
            raise InvalidEncoding("a setting ends early")
        name_bytes, critical, value_bytes = _SETTING_HEAD.unpack_from(data, at)
        end = start + name_bytes + value_bytes
        if end > len(data) or critical > 1:
            raise InvalidEncoding("a setting ends early or has an unknown flag")
        try:
            name = data[start : start + name_bytes].decode()
        except UnicodeDecodeError as error:
            raise InvalidEncoding("a setting's name is not UTF-8") from error
        setting = cls(name, data[start + name_bytes : end], bool(critical))
        setting.encode()
        return setting, end


@dataclass(frozen=True, eq=False)
class GroupState:
    """A group at one moment. Members, bans and settings ascend by account and name."""

    group_id: bytes
    index: int
    """How many commits made it, less one."""
    previous_hash: bytes
    """32 B; empty at index 0."""
    epoch: int
    step: int
    epoch_at_ms: int
    """When the committer of the cut says it made it."""
    commitment: bytes
    """32 B, of the epoch's secret."""
    earlier_cut_hash: bytes
    """32 B: hash of the state at the cut; empty if this is that state."""
    members: tuple[Member, ...]
    banned: tuple[bytes, ...] = ()
    settings: tuple[Setting, ...] = ()

    def encode(self) -> bytes:
        """The transcript that is hashed, and handed to who joins."""
        return transcript(
            labels.GROUP_STATE,
            self.group_id,
            u64(self.index),
            self.previous_hash,
            u64(self.epoch),
            u32(self.step),
            u64(self.epoch_at_ms),
            self.commitment,
            self.earlier_cut_hash,
            b"".join([member.encoded for member in self.members]),
            b"".join(self.banned),
            b"".join([setting.encode() for setting in self.settings]),
        )

    @cached_property
    def hash(self) -> bytes:
        """32 B SHA-256 of the encoding."""
        return sha256(self.encode())

    @property
    def cut_hash(self) -> bytes:
        """32 B: hash of the state at this epoch's cut."""
        return self.earlier_cut_hash or self.hash

    @cached_property
    def by_account(self) -> Mapping[bytes, Member]:
        """Members by their 32 B account id."""
        return {member.account: member for member in self.members}

    def member(self, account: bytes) -> Member:
        """The member, or NotEntitled."""
        if (found := self.by_account.get(account)) is None:
            raise NotEntitled("the account is not in this group")
        return found

    def is_banned(self, account: bytes) -> bool:
        """Whether the account may not be added."""
        at = bisect_left(self.banned, account)
        return at < len(self.banned) and self.banned[at] == account

    def setting(self, name: str) -> bytes | None:
        """The value of a setting, if it is there."""
        return next((setting.value for setting in self.settings if setting.name == name), None)

    @property
    def is_broadcast(self) -> bool:
        """Whether a join takes a step instead of handing the epoch's secret to who joins."""
        return self.setting(BROADCAST) == b"\x01"

    def require_known(self) -> None:
        """Raise GroupTooNew if a critical setting is unknown here: then this client must not write."""
        if unknown := [s.name for s in self.settings if s.critical and s.name not in KNOWN_SETTINGS]:
            raise GroupTooNew(f"the group needs a newer version: it uses {', '.join(unknown)}")

    def require_right(self, account: bytes, right: Right) -> Member:
        """The member if it has all of `right`, else NotEntitled."""
        member = self.member(account)
        if int(right) & ~member.bits:
            raise NotEntitled("the member lacks the right")
        return member

    def entitled(self) -> tuple[Member, ...]:
        """Who may commit: their devices hold the write key, and get a new secret before the cut is appended."""
        return self._entitled

    @cached_property
    def _entitled(self) -> tuple[Member, ...]:
        return tuple([member for member in self.members if member.may_commit])


def parse_state(data: bytes) -> GroupState:
    """The state of exactly these bytes, or InvalidEncoding; where it comes from is for the caller to trust."""
    fields = parse_transcript(labels.GROUP_STATE, data, _FIELDS)
    group_id, index, previous, epoch, step, at_ms, commitment, cut, members, banned, settings = fields
    lengths = (len(group_id), len(index), len(epoch), len(step), len(at_ms), len(commitment))
    if lengths != (32, 8, 8, 4, 8, 32) or len(previous) not in (0, 32) or len(cut) not in (0, 32):
        raise InvalidEncoding("a group state with a field of another length")
    if len(members) % MEMBER_BYTES or len(banned) % limits.ACCOUNT_ID_BYTES:
        raise InvalidEncoding("a group state with a cut member or ban")
    state = GroupState(
        group_id=group_id,
        index=int.from_bytes(index, "big"),
        previous_hash=previous,
        epoch=int.from_bytes(epoch, "big"),
        step=int.from_bytes(step, "big"),
        epoch_at_ms=int.from_bytes(at_ms, "big"),
        commitment=commitment,
        earlier_cut_hash=cut,
        members=tuple(
            Member.parse(members[at : at + MEMBER_BYTES]) for at in range(0, len(members), MEMBER_BYTES)
        ),
        banned=tuple(banned[at : at + 32] for at in range(0, len(banned), 32)),
        settings=tuple(_settings(settings)),
    )
    if max(state.index, state.epoch) > limits.MAX_EPOCH or not 0 < state.epoch <= state.index + 1:
        raise InvalidEncoding("a group state with an impossible index or epoch")
    _check_order(state)
    return state


def _settings(data: bytes) -> Iterable[Setting]:
    at = 0
    while at < len(data):
        setting, at = Setting.parse_from(data, at)
        yield setting


def _check_order(state: GroupState) -> None:
    lists: tuple[list[bytes], ...] = (
        [member.account for member in state.members],
        list(state.banned),
        [setting.name.encode() for setting in state.settings],
    )
    if any(left >= right for names in lists for left, right in pairwise(names)):
        raise InvalidEncoding("members, bans and settings must strictly ascend")
    if bool(state.index) != bool(state.previous_hash):
        raise InvalidEncoding("every state but the first names the one before it")
    if len(state.members) > limits.MAX_GROUP_MEMBERS or len(state.banned) > limits.MAX_BANNED:
        raise InvalidEncoding("more members or bans than a group can have")
    if len(state.settings) > limits.MAX_GROUP_SETTINGS:
        raise InvalidEncoding("more settings than a group can have")


def audience(
    state: GroupState, manifests: Mapping[bytes, VerifiedManifest]
) -> frozenset[tuple[bytes, bytes]]:
    """(Account, device) of everybody whom a chain is handed to: devices of the newest manifests known.

    Nobody else gets one, whatever the relay says (B6). An account whose manifest is not in `manifests` has to be
    fetched first: it is left out. Who does not want or may not HEAR, such as most bots, is out of the audience.
    """
    return frozenset(
        (member.account, entry.device_id)
        for member in state.members
        if member.hears and member.account in manifests
        for entry in manifests[member.account].manifest.devices
    )
