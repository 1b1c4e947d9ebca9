"""Who may grant what a member asks for itself, and whether a request is its own. docs/protocol.md, "Groups", "Commits"."""

from collections.abc import Mapping

from .errors import InvalidSignature, ManifestRefused, UnknownDevice
from .group_changes import RequestKind, SignedRequest
from .group_rights import Right
from .group_state import Member
from .manifest_chain import VerifiedManifest
from .primitives import ed25519_verify

__all__ = ["is_signed", "may_answer", "speaks_for"]


def speaks_for(committer: Member, member: Member, kind: RequestKind) -> bool:
    """Whether the committer could do to the member, without its request, what the request asks for: remove it, and add it
    anew with other wants. Then nothing hangs on the signature, which members judge only who know the member's device list.
    """
    needed = Right.REMOVE if kind is RequestKind.LEAVE else Right.REMOVE | Right.ADD
    return committer.role.outranks(member.role) and not needed & ~committer.rights


def may_answer(committer: Member, member: Member, kind: RequestKind) -> bool:
    """Whether the rules let this committer grant such a request of this member, if it is signed well."""
    return committer.may_commit and (speaks_for(committer, member, kind) or member.may_commit)


def is_signed(
    signed: SignedRequest, version: int, manifests: Mapping[bytes, VerifiedManifest]
) -> bool | None:
    """Whether a device in this version of the account's list signed it; None if that version is not known."""
    request = signed.request
    known = manifests.get(request.account)
    listed = known.signed(version) if known is not None else None
    if listed is None:
        return None
    try:
        key = listed.manifest.device(request.device).signing_public
        ed25519_verify(key, signed.body, signed.signature)
    except (InvalidSignature, UnknownDevice, ManifestRefused):
        return False
    return True
