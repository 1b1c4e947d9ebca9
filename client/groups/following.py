"""What the entries of a group's log mean for what is kept: the view moves on, and all that hangs on it.

Functions of a Transaction; asking the relay is for `care`. docs/protocol.md, "Groups", "The log".
"""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, replace

from client.account import Account, load_account
from client.message import Warned
from client.store import notices
from client.store.database import Transaction
from client.store.group_added import forget_added, note_added
from client.store.group_doors import forget_uses, shut_to
from client.store.group_senders import forget_chains
from client.store.group_sending import drop_sending
from client.store.group_tokens import note_gone, rotate_within_a_day
from client.store.group_wants import (
    Pending,
    Stage,
    find_pending,
    remove_pending,
    remove_wants,
    save_pending,
    wants,
)
from client.store.group_welcomes import forget_welcomes
from client.store.groups import (
    GroupRow,
    Status,
    find_group,
    make_due,
    note_cut,
    note_left,
    note_missing,
    note_secret,
    save_view,
    set_status,
    told_entry,
)
from client.system import System
from crypto.errors import ChainMissing, GroupTooNew, ManifestGap
from crypto.group_changes import Add, Answer, Ban, RequestKind
from crypto.group_commits import CommitHead, CommitKind, SignedCommit
from crypto.group_epoch import EpochHandOut
from crypto.group_exclusion import exclusion, may_take_out
from crypto.group_log import Followed, GroupView, follow, learn_secret
from crypto.group_needed import still_needed
from crypto.group_state import GroupState

from .changed import tell_changes, tell_out
from .invitations import let_returning_in
from .lists import KnownLists


@dataclass(frozen=True, slots=True)
class Applied:
    """How far reading came. `list_needed`: an account whose device list must be fetched before the next entry is judged."""

    next_entry: int
    list_needed: bytes | None = None
    stopped: bool = False
    """The rest cannot be read now: a secret is missing, or the group is too new, or this account is out."""


def apply_entries(
    tx: Transaction,
    group_id: bytes,
    entries: Sequence[tuple[int, bytes]],
    system: System,
    *,
    fetched: Collection[bytes] = (),
) -> Applied:
    """Read entries (index, bytes), in order; what was read before is passed over. `fetched`: lists that are newest now."""
    row = find_group(tx, group_id)
    if row is None or row.status not in (Status.MEMBER, Status.CREATING):
        return Applied(0, stopped=True)
    reading = _Reading(tx, row, load_account(tx), system, frozenset(fetched))
    outcome = None
    for index, entry in entries:
        outcome = reading.take(index, entry)
        if outcome is not None:
            break
    reading.finish()
    return outcome or Applied(reading.view.next_entry)


def learn(tx: Transaction, group_id: bytes, given: Sequence[EpochHandOut], now_ms: int) -> bool:
    """Take secrets that came; whether that changed anything. Raises InvalidEncoding."""
    row = find_group(tx, group_id)
    if row is None:
        return False
    view = row.view
    for one in given:
        view = learn_secret(view, one)
    if view is row.view:
        return False
    save_view(tx, view)
    note_secret(tx, group_id, now_ms)
    note_whether_missing(tx, group_id, now_ms)
    make_due(tx, group_id)
    return True


def has_secret(view: GroupView) -> bool:
    """Whether the present epoch's secret is here."""
    try:
        return bool(view.keys)
    except ChainMissing:
        return False


def note_whether_missing(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """Keep since when the present secret is missing."""
    row = find_group(tx, group_id)
    if row is None:
        return
    if has_secret(row.view):
        note_missing(tx, group_id, None)
    elif row.missing_since_ms is None:
        note_missing(tx, group_id, now_ms)


def quit_group(tx: Transaction, group_id: bytes, since: int) -> None:
    """This account, which was in since this epoch, is out: nothing of it goes into the group any more."""
    drop_sending(tx, group_id)
    forget_welcomes(tx, group_id)
    remove_pending(tx, group_id)
    remove_wants(tx, [want.n for want in wants(tx, group_id)])
    note_left(tx, group_id, since)
    make_due(tx, group_id)


def leave_if_told_out(tx: Transaction, *, group_id: bytes, now_ms: int) -> bool:
    """Whether this account is out, as an entry says that does not connect to what was read, or without one somebody who may
    take it out; to be asked once the log is shut.

    A log that is read says more: only who cannot read it any more believes less than all entries.
    """
    row, told = find_group(tx, group_id), told_entry(tx, group_id)
    if row is None or row.status is not Status.MEMBER or told is None:
        return False
    index, by_account, entry = told
    account, state = load_account(tx), row.view.state
    if not entry:
        if not may_take_out(state, by_account, account.account_id):
            return False
        tell_out(tx, account, state, by_account, now_ms)
        quit_group(tx, group_id, state.member(account.account_id).since)
        return True
    signed = exclusion(row.view, index, entry, KnownLists(tx), account.account_id)
    if signed is None or signed.head.account != by_account:
        return False
    tell_changes(tx, account, state, state, signed)
    quit_group(tx, group_id, state.member(account.account_id).since)
    return True


class _Reading:
    """One transaction's reading of one log."""

    def __init__(
        self, tx: Transaction, row: GroupRow, account: Account, system: System, fetched: frozenset[bytes]
    ) -> None:
        self.tx = tx
        self.row = row
        self.view = row.view
        self.account = account
        self.system = system
        self.fetched = fetched
        self.lists = KnownLists(tx)
        self.pending = find_pending(tx, row.group_id)

    def take(self, index: int, entry: bytes) -> Applied | None:
        """Read one entry; None if the next one may follow."""
        view, group_id = self.view, self.row.group_id
        if index < view.next_entry:
            return None
        if index > view.next_entry:
            set_status(self.tx, group_id, Status.BEHIND)
            return Applied(view.next_entry, stopped=True)
        own = self._own(index, entry)
        if own is not None and own.hand_out is not None:
            view = learn_secret(view, own.hand_out)
        try:
            followed = self._follow(view, index, entry)
        except ChainMissing:
            return Applied(view.next_entry, stopped=True)
        except ManifestGap:
            return Applied(view.next_entry, list_needed=self.lists.asked)
        except GroupTooNew as error:
            set_status(self.tx, group_id, Status.TOO_NEW)
            notices.tell(self.tx, Warned("group_too_new", str(error), None))
            return Applied(view.next_entry, stopped=True)
        before, self.view = self.view.state, followed.view
        if followed.commit is not None:
            self._heed(before, followed.view.state, followed.commit, own)
        self._settle_pending(index, own)
        if self.account.account_id not in followed.view.state.by_account:
            mine = before.by_account.get(self.account.account_id)
            quit_group(self.tx, self.row.group_id, 0 if mine is None else mine.since)
            return Applied(index + 1, stopped=True)
        return None

    def _follow(self, view: GroupView, index: int, entry: bytes) -> Followed:
        try:
            return follow(view, index, entry, self.lists)
        except ManifestGap:
            if self.lists.asked not in self.fetched:
                raise
            return follow(view, index, entry, self.lists, manifests_are_newest=True)

    def _own(self, index: int, entry: bytes) -> Pending | None:
        """The commit under way, if this entry is it."""
        pending = self.pending
        if pending is None or pending.stage is Stage.SPREADING:
            return None
        return pending if (pending.entry_index, pending.entry) == (index, entry) else None

    def _settle_pending(self, index: int, own: Pending | None) -> None:
        """The commit under way is in the log now, or its place is taken: its secret opens nothing."""
        pending = self.pending
        if own is not None:
            self.pending = replace(own, stage=Stage.SPREADING, after=b"")
            save_pending(self.tx, self.pending)
        elif pending is not None and pending.stage is not Stage.SPREADING and pending.entry_index <= index:
            self.tx.many("DELETE FROM drafts WHERE message_n = ?", [(n,) for n in pending.before])
            remove_pending(self.tx, self.row.group_id)
            self.pending = None

    def _heed(self, before: GroupState, after: GroupState, signed: SignedCommit, own: Pending | None) -> None:
        """What a commit means for this device."""
        group_id, now_ms = self.row.group_id, self.system.now_ms()
        removed = before.by_account.keys() - after.by_account.keys()
        forget_chains(self.tx, group_id, removed)
        note_gone(self.tx, group_id, removed)
        self._mind_doors(removed, signed)
        is_cut = signed.commit.kind is CommitKind.CUT
        if is_cut:
            note_cut(self.tx, group_id, now_ms, is_own=own is not None)
            drop_sending(self.tx, group_id)
            if self._is_listed(signed.head):
                forget_added(self.tx, group_id)
            remove_wants(self.tx, [want.n for want in wants(self.tx, group_id) if want.change is None])
        if removed:
            rotate_within_a_day(self.tx, group_id, now_ms, self.system.random)
        added = [change.account for change in signed.commit.changes if isinstance(change, Add)]
        note_added(self.tx, group_id, added, signed.head.account, signed.head.device)
        tell_changes(self.tx, self.account, before, after, signed)

    def _mind_doors(self, removed: Set[bytes], signed: SignedCommit) -> None:
        """Who was taken out or banned does not come in by what was given out before; who left, by a further use alone."""
        left = {
            change.signed.request.account
            for change in signed.commit.changes
            if isinstance(change, Answer) and change.signed.request.kind is RequestKind.LEAVE
        }
        banned = {change.account for change in signed.commit.changes if isinstance(change, Ban)}
        shut_to(self.tx, self.row.group_id, (removed - left) | banned)
        forget_uses(self.tx, self.row.group_id, removed & left)
        let_returning_in(self.tx, self.row.group_id, self.view.state)

    def _is_listed(self, head: CommitHead) -> bool:
        """Whether the committing device is in its account still, as far as is known here."""
        known = self.lists.get(head.account)
        return known is not None and any(entry.device_id == head.device for entry in known.manifest.devices)

    def finish(self) -> None:
        """Write the view, and drop what nobody needs any more."""
        if self.view is self.row.view:
            return
        group_id = self.row.group_id
        save_view(self.tx, self.view)
        note_whether_missing(self.tx, group_id, self.system.now_ms())
        waiting = [want for want in wants(self.tx, group_id) if want.change is not None]
        needed = still_needed(self.view.state, [want.change for want in waiting if want.change is not None])
        left = {id(change) for change in needed}
        remove_wants(self.tx, [want.n for want in waiting if id(want.change) not in left])
