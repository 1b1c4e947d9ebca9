"""What a commit says to whom it takes out, if the commits before it were not read and cannot be: the log is shut to who is out.

Such a commit does not connect to the state that is known here, so it cannot be applied. What can be judged of it is who
signed it, and whether that member may take this one out in the state that is known. docs/protocol.md, "Groups", "Who is out".
"""

from collections.abc import Iterator, Mapping

from .errors import CryptoError, InvalidEncoding, Undecryptable
from .group_changes import Answer, Ban, Change, Remove, RequestKind
from .group_commits import SignedCommit
from .group_epoch import EpochKeys
from .group_log import GroupView, open_entry
from .group_requests import speaks_for
from .group_rules import WHO_MAY
from .group_state import GroupState, Member
from .manifest_chain import VerifiedManifest
from .primitives import ed25519_verify

__all__ = ["exclusion", "may_take_out"]


def exclusion(
    view: GroupView, index: int, entry: bytes, manifests: Mapping[bytes, VerifiedManifest], account: bytes
) -> SignedCommit | None:
    """The commit in the log's entry `index`, if it takes this 32 B account out; None if it does not, or cannot be believed.

    Believed is a commit of this group, sealed under a secret that is here, signed by a device in the newest known manifest
    of a member who, in the state that is known, may remove or ban, and outranks the account.
    """
    for keys in _secrets(view):
        try:
            signed = open_entry(keys, index, entry)
        except (InvalidEncoding, Undecryptable):
            continue
        try:
            return signed if _takes_out(view.state, signed, manifests, account) else None
        except CryptoError:  # of another format, or signed by nobody who is known
            return None
    return None


def may_take_out(state: GroupState, committer: bytes, account: bytes) -> bool:
    """Whether the committer could remove or ban the account in this state; both 32 B ids."""
    able, own = state.by_account.get(committer), state.by_account.get(account)
    if able is None or own is None:
        return False
    return _is_within_rights(Remove(account), able, own) or _is_within_rights(Ban(account), able, own)


def _secrets(view: GroupView) -> Iterator[EpochKeys]:
    """Of the epochs that were read, and of cuts that were not."""
    yield from view.epochs
    for given in view.waiting:
        yield given.keys()


def _takes_out(
    state: GroupState, signed: SignedCommit, manifests: Mapping[bytes, VerifiedManifest], account: bytes
) -> bool:
    head, own = signed.head, state.member(account)
    committer = state.by_account.get(head.account)
    known = manifests.get(head.account)
    if head.group_id != state.group_id or committer is None or known is None:
        return False
    if not committer.manifest_version <= head.manifest_version <= known.version:
        return False
    key = known.manifest.device(head.device).signing_public
    ed25519_verify(key, signed.body, signed.signature)
    return any(_is_within_rights(change, committer, own) for change in signed.commit.changes)


def _is_within_rights(change: Change, committer: Member, own: Member) -> bool:
    if isinstance(change, Answer):
        request = change.signed.request
        is_leave = request.kind is RequestKind.LEAVE and request.account == own.account
        return is_leave and speaks_for(committer, own, request.kind)
    if not isinstance(change, Remove | Ban) or change.account != own.account:
        return False
    return committer.role.outranks(own.role) and bool(committer.rights & WHO_MAY[type(change)])
