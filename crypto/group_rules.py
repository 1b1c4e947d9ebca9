"""The rules of a group: from a state and a commit to the next state, the same for every member, or CommitRefused.

What a commit may do depends on the state before it and on the manifests that the state names, on nothing else: not on
time, nor on what one client has heard and another has not. docs/protocol.md, "Groups", "Rules".
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from msgspec.structs import replace

from . import limits
from .errors import (
    CommitOutdated,
    CommitRefused,
    InvalidEncoding,
    InvalidKey,
    InvalidSignature,
    ManifestGap,
    ManifestRefused,
    NotEntitled,
    UnknownDevice,
)
from .group_changes import (
    Add,
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
)
from .group_commits import CommitHead, CommitKind, SignedCommit
from .group_requests import speaks_for
from .group_rights import ROLE_RIGHTS, Right, Role
from .group_state import GroupState, Member
from .manifest_chain import VerifiedManifest
from .primitives import ed25519_verify

__all__ = ["WHO_MAY", "Draft", "apply_commit", "begin_draft", "verify_committer"]

Manifests = Mapping[bytes, VerifiedManifest]

WHO_MAY: Final[dict[type[Change], Right]] = {
    Add: Right.ADD,
    Remove: Right.REMOVE,
    SetRole: Right.PROMOTE,
    Give: Right.GIVE,
    Ban: Right.BAN,
    Unban: Right.BAN,
    ChangeSetting: Right.SETTINGS,
    NewManifest: Right(0),
    Answer: Right(0),
}
"""The right that each kind of change needs, beside one that lets a member commit at all."""


class Draft:
    """A state that is being changed: the members, bans and settings of it, and what the changes mean for the epoch."""

    def __init__(self, state: GroupState | None, head: CommitHead) -> None:
        self.before = state
        self.head = head
        self.members = dict(state.by_account) if state else {}
        self.banned = list(state.banned) if state else []
        self.settings = {setting.name: setting for setting in state.settings} if state else {}
        self.epoch = (state.epoch if state else 0) + (head.kind == CommitKind.CUT)
        self.must_cut = state is None
        self.joined = False

    @property
    def committer(self) -> Member:
        """The committing member before the commit; the creator begins as owner."""
        if self.before is None:
            everything = ROLE_RIGHTS[Role.OWNER]
            return Member(self.head.account, 1, Role.OWNER, everything, everything, 1)
        return self.before.member(self.head.account)

    def target(self, account: bytes) -> Member:
        """The member that a change is about, or CommitRefused."""
        if (member := self.members.get(account)) is None:
            raise CommitRefused("a change of somebody who is not in the group")
        return member

    def outranked(self, account: bytes) -> Member:
        """The target, if the committer outranks it: it has a higher role, or is an owner."""
        member = self.target(account)
        if not self.committer.role.outranks(member.role):
            raise CommitRefused("a change of a member whom the committer does not outrank")
        return member

    def put(self, member: Member) -> None:
        """The member is as given; a right that it loses needs a cut."""
        before = self.members.get(member.account)
        if before is not None and before.rights & ~member.rights:
            self.must_cut = True
        if member.rights & Right.HEAR and (before is None or not before.rights & Right.HEAR):
            self.joined = True
        self.members[member.account] = member

    def drop(self, account: bytes) -> None:
        """The member is out: whoever cuts knows the next secret, so nobody takes itself out."""
        if account == self.head.account:
            raise CommitRefused("nobody takes itself out: who leaves asks another to commit")
        del self.members[account]
        self.must_cut = True

    def may_appoint(self, role: Role) -> bool:
        """Whether the committer may make somebody this: below itself, unless it is an owner."""
        return self.committer.role.outranks(role)

    @property
    def kind(self) -> CommitKind:
        """What the changes so far need; a cut is always allowed."""
        if self.must_cut:
            return CommitKind.CUT
        if self.joined and self.before is not None and self.before.is_broadcast:
            return CommitKind.STEP
        return CommitKind.PLAIN

    def state(self, kind: CommitKind, commitment: bytes) -> GroupState:
        """The state that the changes make, or CommitRefused if it cannot be."""
        if kind is not self.kind and kind is not CommitKind.CUT:
            raise CommitRefused(f"a commit of kind {kind.name}, where {self.kind.name} is needed")
        if not any(member.role is Role.OWNER for member in self.members.values()):
            raise CommitRefused("a group has an owner")
        if len(self.members) > limits.MAX_GROUP_MEMBERS or len(self.banned) > limits.MAX_BANNED:
            raise CommitRefused("more members or bans than a group can have")
        if len(self.settings) > limits.MAX_GROUP_SETTINGS:
            raise CommitRefused("more settings than a group can have")
        before, is_cut = self.before, kind is CommitKind.CUT
        return GroupState(
            group_id=self.head.group_id,
            index=before.index + 1 if before else 0,
            previous_hash=before.hash if before else b"",
            epoch=self.epoch,
            step=0 if is_cut or before is None else before.step + (kind is CommitKind.STEP),
            epoch_at_ms=self.head.made_at_ms if is_cut or before is None else before.epoch_at_ms,
            commitment=commitment if is_cut or before is None else before.commitment,
            earlier_cut_hash=b"" if is_cut or before is None else before.cut_hash,
            members=tuple(sorted(self.members.values(), key=_by_account)),
            banned=tuple(self.banned),
            settings=tuple(sorted(self.settings.values(), key=lambda setting: setting.name.encode())),
        )


def _by_account(member: Member) -> bytes:
    return member.account


def begin_draft(
    state: GroupState | None, head: CommitHead, changes: Iterable[Change], manifests: Manifests
) -> Draft:
    """The draft after all changes; raises CommitRefused or ManifestGap."""
    draft = Draft(state, head)
    changes = tuple(changes)
    if state is None and not (changes and _begins(changes[0], head)):
        raise CommitRefused("the commit that creates a group begins by adding its committer as owner")
    with _refusing():
        for change in changes:
            needed = WHO_MAY[type(change)]
            if needed & ~draft.committer.rights:
                raise CommitRefused("the committer lacks the right for one of the changes")
            _RULES[type(change)](draft, change, manifests)
    own = draft.target(head.account)
    if not own.may_commit:
        raise CommitRefused(
            "nobody gives up the right to commit in its own commit: it knows the next write key"
        )
    if own.manifest_version != head.manifest_version:
        raise CommitRefused("the committer's manifest version is not the one of the group")
    return draft


def _begins(first: Change, head: CommitHead) -> bool:
    return isinstance(first, Add) and first.account == head.account and first.role is Role.OWNER


def _add(draft: Draft, change: Any, manifests: Manifests) -> None:
    if change.account in draft.members or change.account in draft.banned:
        raise CommitRefused("who is added is a member already, or banned")
    creates = draft.before is None and change.account == draft.head.account
    appoints = bool(draft.committer.rights & Right.PROMOTE) and draft.may_appoint(change.role)
    if not (creates or appoints or change.role <= Role.MEMBER):
        raise CommitRefused("the committer may not add somebody with this role")
    if (
        change.given & ~ROLE_RIGHTS[change.role]
        or not 1 <= change.manifest_version <= limits.MAX_MANIFEST_VERSION
    ):
        raise CommitRefused("who is added has impossible rights or an impossible manifest version")
    added = change.account, change.manifest_version, change.role, change.wants, change.given
    member = Member(*added, since=draft.epoch)
    _require_list(member, manifests)
    draft.put(member)


def _remove(draft: Draft, change: Any, manifests: Manifests) -> None:
    draft.outranked(change.account)
    draft.drop(change.account)


def _set_role(draft: Draft, change: Any, manifests: Manifests) -> None:
    is_own = change.account == draft.head.account
    member = draft.target(change.account) if is_own else draft.outranked(change.account)
    if not draft.may_appoint(change.role) or (is_own and change.role > member.role):
        raise CommitRefused("the committer may not give this role")
    promoted = replace(member, role=change.role, given=int(ROLE_RIGHTS[change.role]))
    _require_list(promoted, manifests)
    draft.put(promoted)


def _give(draft: Draft, change: Any, manifests: Manifests) -> None:
    member = draft.outranked(change.account)
    if change.given & ~ROLE_RIGHTS[member.role]:
        raise CommitRefused("more rights than the role can have")
    given = replace(member, given=change.given)
    _require_list(given, manifests)
    draft.put(given)


def _ban(draft: Draft, change: Any, manifests: Manifests) -> None:
    if change.account in draft.banned:
        raise CommitRefused("banned already")
    if change.account in draft.members:
        draft.outranked(change.account)
        draft.drop(change.account)
    insort(draft.banned, change.account)


def _unban(draft: Draft, change: Any, manifests: Manifests) -> None:
    if change.account not in draft.banned:
        raise CommitRefused("not banned")
    draft.banned.remove(change.account)


def _change_setting(draft: Draft, change: Any, manifests: Manifests) -> None:
    setting = change.setting
    if setting.value:
        draft.settings[setting.name] = setting
    elif draft.settings.pop(setting.name, None) is None:
        raise CommitRefused("no such setting to take away")


def _new_manifest(draft: Draft, change: Any, manifests: Manifests) -> None:
    member = draft.target(change.account)
    if not member.manifest_version < change.version <= limits.MAX_MANIFEST_VERSION:
        raise CommitRefused("a manifest version of a member only rises")
    renewed = replace(member, manifest_version=change.version)
    _require_list(renewed, manifests)
    draft.members[change.account] = renewed
    draft.must_cut = draft.must_cut or change.device_left
    draft.joined = draft.joined or bool(member.rights & Right.HEAR)


def _answer(draft: Draft, change: Any, manifests: Manifests) -> None:
    request: Request = change.signed.request
    member = draft.target(request.account)
    if (request.group_id, request.since) != (draft.head.group_id, member.since):
        raise CommitRefused("a request from another group or an earlier membership")
    if request.asked_at_ms <= member.asked_at_ms:
        raise CommitRefused("a request that is not newer than the last one")
    if not speaks_for(draft.committer, member, request.kind):
        if not member.may_commit:
            raise CommitRefused(
                "a request whose signature not all members can judge, of somebody not outranked"
            )
        key = _signing_key(manifests, request.account, member.manifest_version, request.device)
        ed25519_verify(key, change.signed.body, change.signed.signature)
    if request.kind is RequestKind.LEAVE:
        draft.drop(request.account)
    else:
        draft.put(replace(member, wants=request.value, asked_at_ms=request.asked_at_ms))


_RULES: Final[dict[type[Change], Callable[[Draft, Any, Manifests], None]]] = {
    Add: _add,
    Remove: _remove,
    SetRole: _set_role,
    Give: _give,
    Ban: _ban,
    Unban: _unban,
    ChangeSetting: _change_setting,
    NewManifest: _new_manifest,
    Answer: _answer,
}


def _require_list(member: Member, manifests: Manifests) -> None:
    """ManifestGap unless the version of a member that may commit is there.

    Versions only rise: one that there is not would shut out who could take back whatever the committer did.
    """
    known = manifests.get(member.account)
    if member.may_commit and (known is None or known.signed(member.manifest_version) is None):
        raise ManifestGap(
            f"version {member.manifest_version} of a member's manifest is needed",
            known.version if known else 0,
        )


def _signing_key(manifests: Manifests, account: bytes, version: int, device: bytes) -> bytes:
    """The device's 32 B key in this version; ManifestGap if the version has to be fetched first."""
    known = manifests.get(account)
    signed = known.signed(version) if known is not None else None
    if signed is None:
        raise ManifestGap(
            f"version {version} of a member's manifest is needed", known.version if known else 0
        )
    return signed.manifest.device(device).signing_public


def verify_committer(state: GroupState | None, signed: SignedCommit, manifests: Manifests) -> None:
    """Raise unless an entitled device signed this commit on this state.

    CommitRefused, CommitOutdated for another state's; ManifestGap if the committer's manifest has to be fetched.
    Good for every format, so a commit that is too new is told from one that is made up.
    """
    head = signed.head
    if head.previous_hash != (state.hash if state else b""):
        raise CommitOutdated("a commit on another state")
    if state is not None:
        if head.group_id != state.group_id:
            raise CommitRefused("a commit of another group")
        member = state.member(head.account)
        if not member.may_commit:
            raise NotEntitled("the committer may not commit")
        if head.manifest_version < member.manifest_version:
            raise CommitRefused("the committer goes by an older manifest than the group")
    key = _signing_key(manifests, head.account, head.manifest_version, head.device)
    ed25519_verify(key, signed.body, signed.signature)


def apply_commit(state: GroupState | None, signed: SignedCommit, manifests: Manifests) -> GroupState:
    """The next state; `state` is None for the commit that creates the group.

    Raises CommitRefused for what every member skips, CommitOutdated for a commit on another state, ManifestGap when a
    manifest has to be fetched before anybody can say, GroupTooNew when this build cannot follow.
    """
    with _refusing():
        verify_committer(state, signed, manifests)
        commit = signed.commit
    return begin_draft(state, commit.head, commit.changes, manifests).state(commit.kind, commit.commitment)


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever is wrong with a commit, every member skips it; what only this client lacks passes."""
    try:
        yield
    except (CommitRefused, ManifestGap):
        raise
    except (
        InvalidEncoding,
        InvalidKey,
        InvalidSignature,
        NotEntitled,
        UnknownDevice,
        ManifestRefused,
    ) as error:
        raise CommitRefused(str(error)) from error
