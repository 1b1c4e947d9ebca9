"""Judges a signed head by all that this client knows of the relay's log; what contradicts is an alarm that keeps both.

Functions of a Transaction; they touch no network. docs/protocol.md, "Transparency".
"""

from dataclasses import dataclass
from itertools import pairwise

from client.account import Account
from client.message import Warned
from client.store import notices
from client.store.database import Transaction
from client.store.log_rows import KnownLog, add_unconnected, keep_evidence, keep_head, known_logs
from crypto.errors import CryptoError, LogSplit
from crypto.transparency import SignedHead, advance, compare_heads, verify_head
from relay.wire.links import encode_id


@dataclass(frozen=True, slots=True)
class Judged:
    """What a head is: a contradiction, if `wrong` says so; else known as it is, or in need of a consistency proof."""

    wrong: str | None = None
    needs_proof: bool = False


def alarm(
    tx: Transaction, kind: str, detail: str, account_id: bytes, known: bytes, other: bytes, now_ms: int
) -> None:
    """Keep both objects and tell the user; the very same is told once. `account_id` is empty where it is about the relay."""
    if keep_evidence(tx, kind, account_id, known, other, now_ms):
        notices.tell(tx, Warned(kind, detail, encode_id(account_id) if account_id else None))


def present_head(tx: Transaction) -> SignedHead | None:
    """The largest head of the log that the relay has now."""
    logs = known_logs(tx)
    return logs[0].head if logs else None


def hear_head(tx: Transaction, account: Account, head: SignedHead, source: bytes, now_ms: int) -> bool:
    """A head that came inside an envelope of the account `source`; whether the relay has to be asked about it.

    One that the relay did not sign says nothing. Contradictions are told.
    """
    try:
        verify_head(head, account.relay_key)
    except CryptoError:
        return False
    judged = judge_head(tx, head, now_ms, from_relay=False)
    if judged.needs_proof:
        add_unconnected(tx, source, head, now_ms)
    return judged.needs_proof


def judge_head(tx: Transaction, head: SignedHead, now_ms: int, *, from_relay: bool) -> Judged:
    """Compare a head whose signature was verified; one that needs no proof is kept."""
    logs = known_logs(tx)
    returned = _returns(logs, head)
    if returned is not None:
        return _split(tx, "the relay goes on with a log that it had replaced", returned, head, now_ms)
    same = next((each for each in logs if each.head.log_id == head.log_id), None)
    if same is None:
        if logs and not from_relay:
            return Judged(needs_proof=True)
        keep_head(tx, head)
        if logs:
            detail = (
                "the relay began a new log: it says that it came back from a backup; device lists that were"
                " changed since that backup may be missing there, what is known here stays"
            )
            notices.tell(tx, Warned("log_restored", detail))
        return Judged()
    try:
        compare_heads(same.head, head)
    except LogSplit as error:
        return _split(tx, str(error), same.head, head, now_ms)
    if head.size != same.head.size:
        return Judged(needs_proof=True)
    if head.time_ms > same.head.time_ms:
        keep_head(tx, head)
    return Judged()


def connect(
    tx: Transaction, account: Account, head: SignedHead, proof: tuple[bytes, ...], now_ms: int
) -> Judged:
    """Take the relay's proof between this head and the known one of its log; the larger is kept."""
    known = next((each.head for each in known_logs(tx) if each.head.log_id == head.log_id), None)
    if known is None:
        keep_head(tx, head)
        return Judged()
    try:
        keep_head(tx, advance(known, head, proof, account.relay_key))
    except LogSplit as error:
        return _split(tx, str(error), known, head, now_ms)
    return Judged()


def verdict_on_another_log(tx: Transaction, head: SignedHead, present: SignedHead, now_ms: int) -> Judged:
    """Of a head of a log that the relay, asked after it was heard of, does not have: one before a restore, or one for others."""
    logs = known_logs(tx)
    mine = next((each for each in logs if each.head.log_id == present.log_id), None)
    if mine is not None and mine.first_ms < head.time_ms:
        return _split(tx, "the relay shows others another log at the same time", present, head, now_ms)
    return Judged()


def _returns(logs: list[KnownLog], head: SignedHead) -> SignedHead | None:
    """A log that took the place of the head's own before that head was signed."""
    oldest_first = logs[::-1]
    for place, (earlier, _) in enumerate(pairwise(oldest_first)):
        if earlier.head.log_id == head.log_id:
            later = next((one for one in oldest_first[place + 1 :] if one.first_ms < head.time_ms), None)
            return None if later is None else later.head
    return None


def _split(tx: Transaction, why: str, known: SignedHead, other: SignedHead, now_ms: int) -> Judged:
    detail = f"the relay signed two heads of its log that cannot both be true ({why}): it may show others something else"
    alarm(tx, "log_split", detail, b"", known.encode(), other.encode(), now_ms)
    return Judged(wrong=detail)
