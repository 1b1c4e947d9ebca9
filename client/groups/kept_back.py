"""Whether the relay keeps a change of a group back: then this device sends nothing there, for a day at most.

Who may commit hands the secret of a cut to the others once it is in the log. A member who has it, and does not find the cut
there, would write under an epoch that others have left, and whoever was removed would read it. But a secret that is not
opened by its cut proves nothing, so nobody can stop another for longer. docs/protocol.md, "What travels in sessions".
"""

from collections.abc import Iterable
from typing import Final

from client.errors import GroupNotReady
from client.store import facts
from client.store.database import Transaction
from client.store.groups import GroupRow
from crypto.group_epoch import EpochHandOut
from crypto.limits import DAY_MS, EPOCH_SECRET_WAIT_MS
from relay.wire.links import encode_id

HELD_FOR_MS: Final = DAY_MS


def note_told(
    tx: Transaction, row: GroupRow, account_id: bytes, given: Iterable[EpochHandOut], now_ms: int
) -> None:
    """This account gave secrets; it counts if it may commit, and they are of a later epoch than the group has here."""
    member = row.view.state.by_account.get(account_id)
    if member is None or not member.may_commit:
        return
    epoch, known = max((one.epoch for one in given), default=0), row.view.state.epoch
    before = facts.number(tx, _epoch_key(row))
    if epoch <= max(known, before):
        return
    facts.set_number(tx, _epoch_key(row), epoch)
    if before <= known:  # else it lasts already, and is not made longer by yet another secret
        facts.set_number(tx, _since_key(row), now_ms)


def require_current(tx: Transaction, row: GroupRow, own_account: bytes, now_ms: int) -> None:
    """Raise GroupNotReady while a cut that was told of is not in the log that the relay shows."""
    if facts.number(tx, _epoch_key(row)) <= row.view.state.epoch:
        return
    if row.view.state.member(own_account).may_commit:
        return  # has secrets before their cut, and may make the next one itself
    since_ms = facts.number(tx, _since_key(row))
    if since_ms + EPOCH_SECRET_WAIT_MS <= now_ms < since_ms + HELD_FOR_MS:
        raise GroupNotReady(
            "the relay keeps back a change of the group that its members know of: the message goes out when it has come,"
            " or after a day"
        )


def _epoch_key(row: GroupRow) -> str:
    return f"told_epoch/{encode_id(row.group_id)}"


def _since_key(row: GroupRow) -> str:
    return f"told_since/{encode_id(row.group_id)}"
