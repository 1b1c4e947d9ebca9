"""From delivered envelopes to messages, in one transaction: the new session state, the plaintext and how far we are.

Plain functions of a Transaction; they run in the store's thread and touch no network. What does not open changes
nothing but the count of such envelopes, and is acknowledged like the rest; repeats are counted and not told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.errors import (
    CopiedState,
    CryptoError,
    InvalidEncoding,
    Replayed,
    Undecryptable,
)
from crypto.limits import DAY_MS
from crypto.sealed_first_message import KIND_SETUP
from crypto.sender_keys import KIND_GROUP
from crypto.sessions import locate_among, receive
from relay.wire.frames import Deliver, MissedReason
from relay.wire.frames import Missed as MissedFrame

from .account import Account, load_account
from .contacts import is_cut_off
from .content_handlers import handle
from .contents import EMPTY_BODY, ContentType, content_hash, decode_content, direct_conversation
from .devices.shared_items import share_changes
from .first_envelope import open_first_envelope
from .groups.opening import open_group_envelope
from .incoming import Incoming
from .mailbox_batch import (
    Batch,
    DeviceListNeeded,
    HeldForLater,
    Opened,
    Redirected,
    Released,
    warn,
    warn_of_copy,
)
from .message import Missed
from .recipients import is_handle
from .signals import draft_signal
from .store import absent_rows, facts, history, notices
from .store.contact_rows import count_dropped, note_introduced
from .store.database import Transaction
from .store.peers import (
    find_by_handle,
    find_peer,
    learn_claim,
    learn_token,
    note_answer_due,
    note_received,
)
from .store.prekey_rows import load_prekeys, save_prekeys
from .store.session_rows import Trial, all_sessions, save_sessions
from .system import Step, System
from .transparency.backups import hear_backups
from .transparency.gossip import hear_gossip

ANSWER_AFTER_MESSAGES: Final = 100
ANSWER_AFTER_MS: Final = 7 * DAY_MS
_KIND_RATCHET: Final = 2
_REASONS: Final = {
    MissedReason.EXPIRED: "expired",
    MissedReason.REMOVED: "removed",
    MissedReason.RESTORED: "restored",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch did. `up_to`: acknowledge so far. `gap_of`: an account whose device list must be fetched before the rest."""

    up_to: int
    messages: int
    drafted: bool
    """Something was put on its way: wake the outbox."""
    gap_of: bytes | None = None
    errands: bool = False
    """A group has to be looked at."""
    look_at_log: bool = False
    """What contacts said has to be compared with what the relay shows."""


def take(
    tx: Transaction,
    frames: Sequence[Deliver | MissedFrame],
    system: System,
    *,
    fetched: frozenset[bytes] = frozenset(),
) -> Taken:
    """Open a batch of the mailbox, in order. `fetched`: accounts whose device lists were just fetched.

    Stops before an envelope that needs a device list first; what came before it is done and may be acknowledged.
    """
    batch = _begin(tx, system, fetched)
    committed = batch.up_to
    gap_of = None
    for frame in frames:
        if isinstance(frame, MissedFrame):
            if frame.to_sequence > batch.up_to:
                _take_missed(tx, batch, frame)
            continue
        if frame.sequence <= batch.up_to:
            continue  # delivered again: it is here already
        gap_of = _take_one(
            tx, batch, frame.envelope_id, Released(frame.ciphertext, frame.received_at_ms), fetched
        )
        if gap_of is not None:
            break
        _take_released(tx, batch, fetched)
        batch.up_to = frame.sequence
        system.reached(Step.DECRYPTED)
    if batch.up_to > committed:
        facts.set_number(tx, facts.COMMITTED_SEQUENCE, batch.up_to)
    return _finish(tx, batch, system, gap_of)


def take_quarantined(
    tx: Transaction, frame: Deliver, system: System, *, fetched: frozenset[bytes] = frozenset()
) -> Taken:
    """Open an envelope that the mailbox skipped: it is older than what is committed, which stays as it is."""
    batch = _begin(tx, system, fetched)
    one = Released(frame.ciphertext, frame.received_at_ms)
    gap_of = _take_one(tx, batch, frame.envelope_id, one, fetched)
    if gap_of is None:
        _take_released(tx, batch, fetched)
    return _finish(tx, batch, system, gap_of)


def note_came_back(tx: Transaction) -> None:
    """The relay came back from a backup: tell it, and look after what it has lost."""
    facts.set_number(tx, facts.RELAY_CAME_BACK, 1)
    notices.tell(tx, Missed(0, _REASONS[MissedReason.RESTORED]))


def _take_missed(tx: Transaction, batch: Batch, frame: MissedFrame) -> None:
    if frame.reason is MissedReason.RESTORED:
        note_came_back(tx)  # the sequences that it skips say nothing of how many envelopes were lost
    else:
        first = max(frame.from_sequence, batch.up_to + 1)
        notices.tell(tx, Missed(frame.to_sequence - first + 1, _REASONS[frame.reason]))
    batch.up_to = frame.to_sequence


def take_released(
    tx: Transaction,
    envelopes: Iterable[Released],
    system: System,
    *,
    current_groups: frozenset[bytes] = frozenset(),
) -> Taken:
    """Open envelopes that were held until a key came by another way than the mailbox.

    `current_groups`: their logs were just read to the end, so who is not in them is out.
    """

    def release(batch: Batch) -> None:
        batch.current_groups = current_groups
        batch.released.extend(envelopes)

    return in_batch(tx, system, release)


def in_batch(tx: Transaction, system: System, work: Callable[[Batch], None]) -> Taken:
    """Do something that may release held envelopes, and open those."""
    batch = _begin(tx, system, frozenset())
    work(batch)
    _take_released(tx, batch, frozenset())
    return _finish(tx, batch, system, None)


def _begin(tx: Transaction, system: System, fetched: frozenset[bytes]) -> Batch:
    account = load_account(tx)
    return Batch(
        account,
        Trial(all_sessions(tx, (account.account_id, account.device_id))),
        load_prekeys(tx),
        system,
        system.now_ms(),
        own_is_current=account.account_id in fetched,
        up_to=facts.number(tx, facts.COMMITTED_SEQUENCE),
    )


def _finish(tx: Transaction, batch: Batch, system: System, gap_of: bytes | None) -> Taken:
    """Write what the batch changed."""
    if batch.sessions.changed:
        save_sessions(tx, batch.own, batch.sessions.changed, batch.now_ms)
    before = load_prekeys(tx)
    if batch.prekeys is not before:
        save_prekeys(tx, before, batch.prekeys)
    for account_id, count in batch.received.items():
        note_received(tx, account_id, count)
    for account_id, count in batch.late.items():
        detail = f"{count} messages came after later ones of their device: the history shows them where they were sent"
        warn(tx, "reordered", detail, account_id)
    for account_id in batch.received:
        if _owes_answer(tx, batch.account, account_id, batch.now_ms):
            note_answer_due(tx, account_id, batch.now_ms)
            draft_signal(tx, batch.account, [account_id], ContentType.EMPTY, EMPTY_BODY, system)
            batch.drafted = True
    batch.drafted |= share_changes(tx, system)
    messages = sum(batch.received.values()) + batch.group_messages
    return Taken(batch.up_to, messages, batch.drafted, gap_of, batch.errands, look_at_log=batch.look_at_log)


def _take_released(tx: Transaction, batch: Batch, fetched: frozenset[bytes]) -> None:
    """What a content of the envelope before has released, and what that releases."""
    while batch.released:
        released = batch.released.pop(0)
        if _take_one(tx, batch, b"", released, fetched) is not None:
            _keep_unopened(tx, b"", released, Undecryptable("a device list is missing"))


def _take_one(
    tx: Transaction, batch: Batch, envelope_id: bytes, one: Released, fetched: frozenset[bytes]
) -> bytes | None:
    """Open one envelope; the account whose device list has to be fetched first, if so."""
    try:
        opener = _OPENERS.get(one.envelope[0])
        if opener is None:
            raise InvalidEncoding("an envelope of an unknown kind")
        _keep(tx, batch, opener(tx, batch, one), one.received_at_ms)
    except HeldForLater:
        return None
    except DeviceListNeeded as gap:
        if gap.account_id in fetched:
            _keep_unopened(tx, envelope_id, one, gap.__cause__ or gap)
            return None
        return gap.account_id
    except Replayed:
        # It did its work when it was opened; if its content is not here after all, the author's count shows the gap.
        facts.add_one(tx, facts.REPEATS)
    except CryptoError as error:
        _keep_unopened(tx, envelope_id, one, error)
    return None


def _open_setup(tx: Transaction, batch: Batch, one: Released) -> Opened:
    return open_first_envelope(tx, batch, one.envelope)


def _open_ratchet(tx: Transaction, batch: Batch, one: Released) -> Opened:
    envelope = one.envelope
    found = locate_among(batch.sessions.newest_first(), envelope)
    if found is None:
        raise Undecryptable("no session opens it")
    key, located = found
    try:
        opened = receive(batch.sessions.existing(key), located, envelope, now_ms=batch.now_ms)
    except CopiedState:
        warn_of_copy(tx, key[0])
        raise
    if opened.info.ephemeral:
        raise InvalidEncoding("an ephemeral message in the mailbox")
    batch.sessions.put(key, opened.sessions)
    return Opened(key, opened.plaintext, direct_conversation(batch.account.account_id, key[0]))


_OPENERS: Final[Mapping[int, Callable[[Transaction, Batch, Released], Opened]]] = {
    KIND_SETUP: _open_setup,
    _KIND_RATCHET: _open_ratchet,
    KIND_GROUP: open_group_envelope,
}


def _keep(tx: Transaction, batch: Batch, opened: Opened, received_at_ms: int) -> None:
    """The content of an opened envelope: given to who handles its type, and what it says besides."""
    account_id, device_id = opened.key
    content = decode_content(opened.plaintext)
    if content.conversation_id != opened.conversation_id:
        raise Redirected("a content of another conversation than it came in")
    if opened.in_group:
        batch.group_messages += 1
    else:
        batch.received[account_id] = batch.received.get(account_id, 0) + 1
    is_cut = is_cut_off(find_peer(tx, account_id), content.type, in_group=opened.in_group)
    is_other = account_id != batch.account.account_id and not opened.in_group
    if content.introduction is not None and is_other and not is_cut:
        learn_token(tx, account_id, content.introduction.token, "contact")
        note_introduced(tx, account_id, batch.now_ms)
        _hear_claim(tx, batch.account, account_id, content.introduction.handle, is_first=content.counter == 1)
    times_asked = absent_rows.times_asked(tx, device_id, content)
    follows = history.count_incoming(
        tx,
        account_id,
        device_id,
        content,
        content_hash(opened.plaintext),
        from_first=batch.account.is_founding_device and not opened.in_group,
    )
    if is_cut:
        count_dropped(tx, account_id)
        return
    if times_asked == 0:
        batch.late[account_id] = batch.late.get(account_id, 0) + 1
    if not follows:
        warn(tx, "sequence_broken", "a message does not follow the one before it", account_id)
    is_direct = opened.conversation_id == direct_conversation(batch.account.account_id, account_id)
    if content.gossip and is_direct and account_id != batch.account.account_id:
        hear_gossip(tx, batch, account_id, content.gossip)
        if content.backups is not None:
            hear_backups(tx, batch.account, account_id, content.backups, batch.now_ms)
    handle(
        Incoming(
            tx,
            batch,
            account_id,
            device_id,
            content,
            opened.plaintext,
            received_at_ms,
            was_absent=times_asked is not None,
        )
    )


def _hear_claim(tx: Transaction, account: Account, account_id: bytes, handle: str, *, is_first: bool) -> None:
    """What somebody claims to be called; a name that is known to be another's is not shown as theirs."""
    if not is_handle(handle):
        return
    holder = find_by_handle(tx, handle)
    if handle == account.handle or (holder is not None and holder.account_id != account_id):
        learn_claim(tx, account_id, None)
        if is_first:
            warn(tx, "name_of_another", f"somebody else claims to be {handle}", account_id)
    else:
        learn_claim(tx, account_id, handle)


def _keep_unopened(tx: Transaction, envelope_id: bytes, one: Released, error: BaseException) -> None:
    notices.keep_unopened(
        tx,
        envelope_id=envelope_id,
        envelope=one.envelope,
        reason=_word(type(error).__name__),
        now_ms=one.received_at_ms,
    )


def _word(name: str) -> str:
    """`CopiedState` as `copied_state`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _owes_answer(tx: Transaction, account: Account, account_id: bytes, now_ms: int) -> bool:
    """Whether the ratchet with an accepted contact has not turned for 100 messages or 7 days."""
    peer = find_peer(tx, account_id)
    if peer is None or not peer.accepted or peer.forked or peer.token is None:
        return False
    if account_id == account.account_id:
        return False  # own devices write to each other with each message
    return (
        peer.received_since_send >= ANSWER_AFTER_MESSAGES or now_ms - peer.last_sent_at_ms >= ANSWER_AFTER_MS
    )
