"""Commits of this device, step by step: wanted, prepared with its hand-outs, in the log, told to all.

Each step is one transaction that says what comes next, so a client that is killed goes on where it was. Functions of a
Transaction; asking the relay is for `care`. docs/protocol.md, "Groups", "Committing".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from client.account import Account, load_account
from client.contents import ContentType
from client.errors import CommitImpossible, GroupTooNew, NotEntitled
from client.signals import draft_signal
from client.store import queue
from client.store.database import Transaction
from client.store.group_wants import (
    Pending,
    Stage,
    Want,
    find_pending,
    refuse_want,
    remove_pending,
    remove_wants,
    save_pending,
    wants,
)
from client.store.groups import Status, find_group, note_cut, note_list_told, save_view, set_status
from client.system import Step, System
from crypto import errors as refusals
from crypto.group_changes import Change, NewManifest
from crypto.group_log import GroupView, seal_entry
from crypto.group_needed import still_needed
from crypto.group_proposals import Proposal, begin_group, first_view, propose
from crypto.group_rights import Right
from crypto.group_rules import WHO_MAY
from crypto.group_state import GroupState, Member, Setting

from .bodies import MAX_TOLD_ENTRY_BYTES, CommitBody, SecretsBody, encode
from .hand_outs import AT_ONCE, StateBlob, draft_secrets, draft_welcome, needs_blob
from .lists import KnownLists
from .member_tokens import tell_newcomers, tell_tokens
from .sending import draft_group_signal

MAX_CHANGES_AT_ONCE = 500  # of one commit of this client


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` did. `list_needed`: an account whose device list has to be fetched first."""

    is_made: bool = False
    list_needed: bytes | None = None


def begin_creation(tx: Transaction, settings: Iterable[Setting], system: System) -> bytes:
    """A new group with this account as its owner, on its way to the relay; its 32 B id."""
    account = load_account(tx)
    made = begin_group(
        account.local, account.own, (), settings, system.random, system.now_ms(), KnownLists(tx)
    )
    group_id = made.state.group_id
    save_view(tx, first_view(made), status=Status.CREATING)
    note_cut(tx, group_id, system.now_ms(), is_own=True)
    note_list_told(tx, group_id, account.own.version)
    entry = seal_entry(made.keys, 0, made.signed, system.random)
    own = account.account_id if len(account.own.manifest.devices) > 1 else b""
    save_pending(tx, Pending(group_id, Stage.CREATING, 0, entry, made.hand_out, own, b"", (), b""))
    return group_id


def created(tx: Transaction, group_id: bytes) -> None:
    """The relay has the log: the other own devices are welcomed next."""
    pending = find_pending(tx, group_id)
    if pending is not None and pending.stage is Stage.CREATING:
        save_pending(tx, replace(pending, stage=Stage.SPREADING))
        set_status(tx, group_id, Status.MEMBER)


def prepare(tx: Transaction, group_id: bytes, system: System) -> Prepared:
    """Make a commit of what is wanted and due, with all that hangs on it, unless one is under way.

    What cannot be committed is refused; of a cut, the secret is on its way to the other devices that may commit.
    """
    row, account = find_group(tx, group_id), load_account(tx)
    if row is None or row.status is not Status.MEMBER or find_pending(tx, group_id) is not None:
        return Prepared()
    waiting = wants(tx, group_id)
    if not any(want.not_before_ms <= system.now_ms() for want in waiting):
        return Prepared()
    waiting = _needed(tx, row.view.state, waiting)[:MAX_CHANGES_AT_ONCE]
    if not waiting:
        return Prepared()
    lists = KnownLists(tx)
    try:
        made = _propose_all(tx, row.view, account, waiting, system, lists)
    except refusals.ManifestGap:
        return Prepared(list_needed=lists.asked)
    except refusals.ChainMissing:
        return Prepared()
    if made is None:
        return Prepared()
    _keep(tx, account, row.view, made, system)
    return Prepared(is_made=True)


def _needed(tx: Transaction, state: GroupState, waiting: Sequence[Want]) -> list[Want]:
    """Without what the state has already, and without repeats."""
    seen: set[Change | None] = set()
    left, gone = [], []
    for want in waiting:
        is_done = want.change is not None and not still_needed(state, (want.change,))
        if is_done or want.change in seen:
            gone.append(want.n)
        else:
            seen.add(want.change)
            left.append(want)
    remove_wants(tx, gone)
    return left


def _propose_all(
    tx: Transaction,
    view: GroupView,
    account: Account,
    waiting: Sequence[Want],
    system: System,
    lists: KnownLists,
) -> Proposal | None:
    """A proposal of all that can be committed together; what cannot be is refused, one by one."""
    attempt = _Attempt(view, account, system, lists)
    try:
        accepted = attempt.acceptable((), waiting)
    except refusals.GroupTooNew:
        refuse_all(tx, waiting, GroupTooNew.code)
        return None
    except refusals.NotEntitled:
        refuse_all(tx, waiting, NotEntitled.code)
        return None
    for want in waiting:
        if want not in accepted:
            refuse_want(tx, want.n, attempt.reasons.get(want.n, CommitImpossible.code))
    return attempt.proposal(accepted) if accepted else None


def refuse_all(tx: Transaction, waiting: Iterable[Want], reason: str) -> None:
    """None of these can be committed."""
    for want in waiting:
        refuse_want(tx, want.n, reason)


class _Attempt:
    """Tries which changes can be committed together."""

    def __init__(self, view: GroupView, account: Account, system: System, lists: KnownLists) -> None:
        self._view = view
        self._account = account
        self._system = system
        self._lists = lists
        self.reasons: dict[int, str] = {}
        self._last: tuple[tuple[Want, ...], Proposal] | None = None

    def acceptable(self, before: tuple[Want, ...], more: Sequence[Want]) -> tuple[Want, ...]:
        """`before`, and all of `more` that can be committed with it; halves are tried where the whole is refused."""
        together = (*before, *more)
        try:
            self.proposal(together)
        except refusals.CommitRefused as error:
            if len(more) == 1:
                code = CommitImpossible.code if self._is_entitled(more[0]) else NotEntitled.code
                self.reasons[more[0].n] = f"{code}: {error}"
                return before
            half = len(more) // 2
            return self.acceptable(self.acceptable(before, more[:half]), more[half:])
        return together

    def _is_entitled(self, one: Want) -> bool:
        """Whether the own account has the right that the change needs."""
        mine = self._view.state.by_account.get(self._account.account_id)
        needed = Right(0) if one.change is None else WHO_MAY[type(one.change)]
        return mine is not None and mine.may_commit and not needed & ~mine.rights

    def proposal(self, chosen: Sequence[Want]) -> Proposal:
        """A commit of these; a cut too if somebody gets the right to commit by it, who then needs the write key."""
        if self._last is not None and self._last[0] == tuple(chosen):
            return self._last[1]
        changes = [want.change for want in chosen if want.change is not None]
        is_cut = any(want.change is None for want in chosen)
        made = self._propose(changes, is_cut)
        if made.hand_out is None:
            before = {member.account for member in self._view.state.entitled()}
            members = self._view.state.by_account
            raised = [m for m in made.state.entitled() if m.account in members and m.account not in before]
            if raised:
                made = self._propose(changes, True)
        self._last = tuple(chosen), made
        return made

    def _propose(self, changes: Sequence[Change], is_cut: bool) -> Proposal:
        return propose(
            self._view,
            self._account.local,
            changes,
            self._system.random,
            self._system.now_ms(),
            self._lists,
            cut=is_cut,
        )


def _keep(tx: Transaction, account: Account, view: GroupView, made: Proposal, system: System) -> None:
    """The commit with its entry, and of a cut the secret on its way to the other devices that may commit."""
    before, after = view.state.by_account, made.state
    entry = seal_entry(view.keys, view.next_entry, made.signed, system.random)
    numbers = []
    if made.hand_out is not None:
        entitled = [member.account for member in after.entitled() if member.account in before]
        body = encode(SecretsBody((made.hand_out.encode(),)))
        numbers = [draft_signal(tx, account, entitled, ContentType.GROUP_SECRETS, body, system)]
    renewed = {change.account for change in made.signed.commit.changes if isinstance(change, NewManifest)}
    newcomers = [
        member.account
        for member in after.members
        if member.hears
        and (member.account in renewed or member.account not in before or not before[member.account].hears)
    ]
    removed = sorted(before.keys() - after.by_account.keys())
    raised = [
        member.account
        for member in after.members
        if after.is_broadcast
        and member.speaks
        and member.account in before
        and not before[member.account].speaks
    ]
    pending = Pending(
        after.group_id,
        Stage.HANDING_OUT,
        view.next_entry,
        entry,
        made.hand_out,
        b"".join(newcomers),
        b"".join(removed),
        tuple(numbers),
        b"",
        b"".join(raised),
    )
    save_pending(tx, pending)
    system.reached(Step.COMMIT_PREPARED)


class Spread(Enum):
    """How far the telling of a commit is."""

    DONE = 1
    MORE = 2  # call again
    NEEDS_BLOB = 3  # nothing happened: call again with a blob of the present state


def spread(tx: Transaction, group_id: bytes, system: System, *, blob: StateBlob | None = None) -> Spread:
    """Tell the next AT_ONCE accounts of the commit that is in the log. `blob`: see `needs_blob`."""
    pending, row, account = find_pending(tx, group_id), find_group(tx, group_id), load_account(tx)
    if pending is None or row is None or pending.stage is not Stage.SPREADING:
        return Spread.DONE
    view, is_cut = row.view, pending.hand_out is not None
    new = _accounts(pending.newcomers)
    members = [m for m in view.state.members if m.account > pending.after and m.hears]
    if not is_cut:
        # Nobody but newcomers is told in a session of its own.
        members = [m for m in members if m.account in new]
    part = members[:AT_ONCE]
    newcomers = [m.account for m in part if m.account in new]
    if newcomers:
        if needs_blob(view, blob):
            return Spread.NEEDS_BLOB
        draft_welcome(tx, account, row, newcomers, system, blob=blob)
    if pending.hand_out is not None:
        # The one before, too: its committer may have been stopped before it told everybody.
        others = [m.account for m in part if not m.may_commit and m.account not in new]
        draft_secrets(tx, account, view, others, system, since_epoch=max(1, pending.hand_out.epoch - 1))
    if len(part) < len(members):
        save_pending(tx, replace(pending, after=part[-1].account))
        return Spread.MORE
    if new:
        tell_newcomers(tx, account, group_id, new, system)
    if raised := [one for one in _accounts(pending.raised) if one in view.state.by_account]:
        tell_tokens(tx, account, view.state, raised, system)
    _tell(tx, account, view, pending, system)
    remove_pending(tx, group_id)
    return Spread.DONE


def _accounts(joined: bytes) -> frozenset[bytes]:
    return frozenset(joined[at : at + 32] for at in range(0, len(joined), 32))


def _tell(tx: Transaction, account: Account, view: GroupView, pending: Pending, system: System) -> None:
    """That there is a commit: in a group to all at once, in a broadcast group to those alone who speak or commit."""
    group_id, state = view.state.group_id, view.state
    body = encode(CommitBody(group_id, pending.entry_index))
    mine = state.by_account.get(account.account_id)
    entitled = [member.account for member in state.entitled()]
    if pending.hand_out is not None:
        # Those who may commit had its secret before: that it stands, they hear now. The others have it by their secret.
        draft_signal(tx, account, entitled, ContentType.GROUP_COMMIT, body, system)
    elif mine is None or state.is_broadcast or not _may_write(state, mine):
        speak = [m.account for m in state.members if m.speaks and (m.may_commit or m.rights & Right.SEND)]
        draft_signal(tx, account, speak, ContentType.GROUP_COMMIT, body, system)
    else:
        draft_group_signal(tx, account, group_id, ContentType.GROUP_COMMIT, body, system)
    if pending.removed and len(pending.entry) <= MAX_TOLD_ENTRY_BYTES:
        # Who is out reads the log no more: it gets the entry, to see by whom and that it was so.
        told = encode(CommitBody(group_id, pending.entry_index, pending.entry))
        draft_signal(tx, account, sorted(_accounts(pending.removed)), ContentType.GROUP_COMMIT, told, system)


def _may_write(state: GroupState, mine: Member) -> bool:
    """Whether this client can tell all at once, by a message of the group."""
    try:
        state.require_known()
    except refusals.GroupTooNew:
        return False
    return bool(mine.bits & Right.SEND)


def is_handed_out(tx: Transaction, pending: Pending) -> bool:
    """Whether the devices that may commit have the secret, or are past waiting for."""
    return not any(queue.is_on_its_way(tx, number) for number in pending.before)
