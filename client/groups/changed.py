"""What a commit changed, in the words that an application is told."""

from collections.abc import Iterator

from client.account import Account
from client.message_groups import GroupChange, GroupChanged
from client.store import notices
from client.store.database import Transaction
from client.store.peers import find_peer
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
    Unban,
)
from crypto.group_commits import SignedCommit
from crypto.group_requests import is_signed
from crypto.group_rights import Right
from crypto.group_state import GroupState
from relay.wire.links import encode_id

from .lists import KnownLists

MAX_TOLD_CHANGES = 100  # of one commit; of a larger one the first ones are told, and how many more there are


def tell_changes(
    tx: Transaction, account: Account, before: GroupState | None, after: GroupState, signed: SignedCommit
) -> None:
    """Keep an event about this commit for the application; one about device lists alone is none."""
    changes = [
        named
        for change in signed.commit.changes[:MAX_TOLD_CHANGES]
        for named in _named(tx, account, before, after, change)
    ]
    more = len(signed.commit.changes) - MAX_TOLD_CHANGES
    if more > 0:
        changes.append(GroupChange("more", None, "", str(more)))
    if changes:
        author = signed.head.account
        notices.tell(
            tx,
            GroupChanged(
                encode_id(after.group_id),
                encode_id(author),
                name_of(tx, account, author),
                tuple(changes),
                signed.head.made_at_ms,
            ),
        )


def tell_out(tx: Transaction, account: Account, state: GroupState, teller: bytes, now_ms: int) -> None:
    """An event for the application: this account is out, as that member says; by whom, and when, is not known."""
    own = account.account_id
    out = GroupChange("removed", encode_id(own), name_of(tx, account, own), "")
    group, by = encode_id(state.group_id), encode_id(teller)
    notices.tell(tx, GroupChanged(group, by, name_of(tx, account, teller), (out,), now_ms))


def name_of(tx: Transaction, account: Account, account_id: bytes) -> str:
    """How to call an account."""
    if account_id == account.account_id:
        return account.handle or encode_id(account_id)
    peer = find_peer(tx, account_id)
    return encode_id(account_id) if peer is None else peer.name


def _named(
    tx: Transaction, account: Account, before: GroupState | None, after: GroupState, change: Change
) -> Iterator[GroupChange]:
    match change:
        case ChangeSetting():
            setting = change.setting
            yield GroupChange("setting", None, setting.name, setting.value.decode("utf-8", "replace"))
            return
        case NewManifest():
            return
        case Answer():
            request = change.signed.request
            target = request.account
            if request.kind is RequestKind.LEAVE:
                # The rules let who may remove a member grant a leave that nobody signed: that is a removal.
                kind, detail = "removed" if _is_forged(tx, before, change) else "left", ""
            else:
                kind, detail = "wants", rights_in_words(request.value)
        case _:
            target = change.account
            kind, detail = _kind(change)
    yield GroupChange(kind, encode_id(target), name_of(tx, account, target), detail)


def _is_forged(tx: Transaction, before: GroupState | None, answer: Answer) -> bool:
    member = before.by_account.get(answer.signed.request.account) if before is not None else None
    return member is not None and is_signed(answer.signed, member.manifest_version, KnownLists(tx)) is False


def _kind(change: Add | Remove | SetRole | Give | Ban | Unban) -> tuple[str, str]:
    match change:
        case Add():
            return "added", change.role.name.lower()
        case SetRole():
            return "role", change.role.name.lower()
        case Give():
            return "rights", rights_in_words(change.given)
        case Ban():
            return "banned", ""
        case Unban():
            return "unbanned", ""
        case Remove():
            return "removed", ""


def rights_in_words(bits: int) -> str:
    """`hear, send`."""
    return ", ".join((right.name or "").lower() for right in Right if right & bits)
