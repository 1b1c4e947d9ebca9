"""Making commits: a proposal is a commit on the present state, with the state and the secret that it would bring.

It is good until somebody else's entry takes its place in the log: who loses the race proposes anew, with a new secret.
docs/protocol.md, "Groups", "Committing".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from . import limits
from .group_changes import Add, Change, ChangeSetting, NewManifest
from .group_commits import FORMAT, Commit, CommitHead, CommitKind, SignedCommit, sign_commit
from .group_epoch import EpochHandOut, EpochKeys, epoch_commitment, next_step
from .group_log import GroupView, Welcome
from .group_rights import EVERY_RIGHT, ROLE_RIGHTS, Right, Role
from .group_rules import apply_commit, begin_draft
from .group_state import GroupState, Setting
from .keys import LocalDevice
from .manifest_chain import VerifiedManifest
from .primitives import RandomBytes
from .secret_value import replace

__all__ = ["Proposal", "add", "begin_group", "first_view", "hand_outs", "propose", "welcome"]


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What is stored before the append: with it a committer that was killed goes on where it was."""

    signed: SignedCommit
    state: GroupState
    """After the commit."""
    hand_out: EpochHandOut | None = field(repr=False)
    """Of a cut: to the devices that may commit before the append, to all others after it. With the write seed."""
    keys: EpochKeys = field(repr=False)
    """After the commit."""


def add(account: bytes, manifest_version: int, role: Role = Role.MEMBER) -> Add:
    """A new member that gets all that its role gives, and wants whatever it may be given later."""
    return Add(account, manifest_version, role, EVERY_RIGHT, int(ROLE_RIGHTS[role]))


def begin_group(
    device: LocalDevice,
    own: VerifiedManifest,
    others: Iterable[Add],
    settings: Iterable[Setting],
    random: RandomBytes,
    now_ms: int,
    manifests: Mapping[bytes, VerifiedManifest],
) -> Proposal:
    """The commit that creates a group, with its creator as owner; draws group id 32, secret 32, write seed 32."""
    group_id = random(limits.GROUP_ID_BYTES)
    creator = add(device.account_id, own.version, Role.OWNER)
    changes: tuple[Change, ...] = (creator, *others, *map(ChangeSetting, settings))
    head = _head(CommitKind.CUT, group_id, b"", device, own.version, now_ms)
    return _finish(None, head, changes, device, manifests, random)


def propose(
    view: GroupView,
    device: LocalDevice,
    changes: Iterable[Change],
    random: RandomBytes,
    now_ms: int,
    manifests: Mapping[bytes, VerifiedManifest],
    *,
    cut: bool = False,
) -> Proposal:
    """A commit of these changes on the present state: a cut if they need one, or if `cut` asks for it.

    Draws secret 32 and write seed 32 for a cut. Raises CommitRefused for what the rules forbid, NotEntitled,
    GroupTooNew, ChainMissing while the present secret is not here, ManifestGap.
    """
    changes, state, account = tuple(changes), view.state, device.account_id
    state.require_known()
    view.keys  # noqa: B018 - raises: without the secret nobody could read the entry
    version = state.member(account).manifest_version
    for change in changes:
        if isinstance(change, NewManifest) and change.account == account:
            version = change.version
    head = _head(CommitKind.PLAIN, state.group_id, state.hash, device, version, now_ms)
    kind = CommitKind.CUT if cut else begin_draft(state, head, changes, manifests).kind
    head = _head(kind, state.group_id, state.hash, device, version, now_ms)
    return _finish(view, head, changes, device, manifests, random)


def _head(
    kind: CommitKind, group_id: bytes, previous: bytes, device: LocalDevice, version: int, now_ms: int
) -> CommitHead:
    return CommitHead(FORMAT, kind, group_id, previous, device.account_id, device.device_id, version, now_ms)


def _finish(
    view: GroupView | None,
    head: CommitHead,
    changes: tuple[Change, ...],
    device: LocalDevice,
    manifests: Mapping[bytes, VerifiedManifest],
    random: RandomBytes,
) -> Proposal:
    """Signed and applied: what a member would skip is not proposed."""
    is_cut = head.kind == CommitKind.CUT
    secret = random(limits.EPOCH_SECRET_BYTES) if is_cut else b""
    commitment = epoch_commitment(head.group_id, secret) if is_cut else b""
    signed = sign_commit(Commit(head, commitment, changes), device)
    state = apply_commit(view.state if view else None, signed, manifests)
    if is_cut or view is None:
        seed = random(limits.ED25519_SEED_BYTES)
        hand_out = EpochHandOut(state.group_id, state.epoch, 0, state.hash, secret, seed)
        return Proposal(signed, state, hand_out, hand_out.keys())
    keys = next_step(view.keys, state.hash) if head.kind == CommitKind.STEP else view.keys
    return Proposal(signed, state, None, keys)


def first_view(proposal: Proposal) -> GroupView:
    """The creator's view once the proposal of `begin_group` is entry 0 of the log."""
    seed = proposal.hand_out.write_seed if proposal.hand_out else b""
    return GroupView(proposal.state, 1, (proposal.keys,), write_seed=seed)


def hand_outs(view: GroupView, account: bytes, *, since_epoch: int = 0) -> tuple[EpochHandOut, ...]:
    """The secrets of the newest cuts from `since_epoch` on, oldest first, as they go to a device of this member.

    The write seed goes along with the present one if the member may commit. Who finishes the work of a committer that
    was killed sends all that the others may lack. Raises NotEntitled for who is out or may not hear.
    """
    state = view.state
    may_commit = state.require_right(account, Right.HEAR).may_commit
    given = [one for one in view.cuts if one.epoch >= since_epoch][-limits.MAX_KEPT_EPOCHS :]
    return tuple(
        replace(one, write_seed=view.write_seed) if may_commit and one.epoch == state.epoch else one
        for one in given
    )


def welcome(view: GroupView, account: bytes) -> Welcome:
    """What a new member or new device of one is told: the present state and secret, nothing older.

    Raises NotEntitled for who is out or may not hear, ChainMissing.
    """
    state, keys = view.state, view.keys
    may_commit = state.require_right(account, Right.HEAR).may_commit
    seed = view.write_seed if may_commit else b""
    given = EpochHandOut(keys.group_id, keys.epoch, keys.step, keys.cut_hash, keys.secret, seed)
    return Welcome(given, view.next_entry, state)
