"""From delivered envelopes to messages, in one transaction: the new session state, the plaintext and how far we are.

Plain functions of a Transaction; they run in the store's thread and touch no network. What does not open changes
nothing but the count of such envelopes, and is acknowledged like the rest; repeats are counted and not told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from crypto.errors import (
    CopiedState,
    CryptoError,
    InvalidEncoding,
    ManifestFork,
    ManifestGap,
    Replayed,
    SplitView,
    Undecryptable,
    UnknownDevice,
)
from crypto.limits import DAY_MS
from crypto.local_prekeys import LocalPrekeys
from crypto.prekeys import KeyClass, KeyKind
from crypto.sealed_first_message import KIND_SETUP, open_setup
from crypto.session_start import receive_setup
from crypto.sessions import PeerSessions, locate_among, receive
from relay.wire.frames import Deliver, MissedReason
from relay.wire.frames import Missed as MissedFrame
from relay.wire.links import encode_id

from .account import Account, load_account
from .contents import (
    EMPTY_BODY,
    MESSAGE_ID_BYTES,
    ContentType,
    content_hash,
    decode_content,
    direct_conversation,
)
from .message import Missed, Warned
from .recipients import is_handle
from .store import facts, history, queue, tidings
from .store.database import Transaction
from .store.peers import (
    ensure_peer,
    find_by_handle,
    find_peer,
    keep_fork,
    learn_claim,
    learn_token,
    note_answer_due,
    note_received,
)
from .store.prekey_rows import load_prekeys, save_prekeys
from .store.session_rows import all_sessions, save_sessions
from .system import Step, System
from .trust import adopt

ANSWER_AFTER_MESSAGES: Final = 100
ANSWER_AFTER_MS: Final = 7 * DAY_MS
_KIND_RATCHET: Final = 2
_REASONS: Final = {
    MissedReason.EXPIRED: "expired",
    MissedReason.REMOVED: "removed",
    MissedReason.RESTORED: "restored",
}

Key = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch did. `up_to`: acknowledge so far. `gap_of`: an account whose device list must be fetched before the rest."""

    up_to: int
    messages: int
    answers_due: bool
    gap_of: bytes | None = None


@dataclass(slots=True)
class _Batch:
    """The state that one transaction works on; written at its end."""

    account: Account
    sessions: dict[Key, PeerSessions]
    prekeys: LocalPrekeys
    now_ms: int
    own_is_current: bool
    up_to: int
    changed: dict[Key, PeerSessions] = field(default_factory=dict)
    received: dict[bytes, int] = field(default_factory=dict)

    @property
    def own(self) -> Key:
        return self.account.account_id, self.account.device_id

    def put(self, key: Key, sessions: PeerSessions) -> None:
        """This peer's sessions changed; it is tried first from here on."""
        self.changed[key] = sessions
        self.sessions.pop(key, None)
        self.sessions = {key: sessions, **self.sessions}


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
    account = load_account(tx)
    before = load_prekeys(tx)
    committed = facts.number(tx, facts.COMMITTED_SEQUENCE)
    batch = _Batch(
        account,
        dict(all_sessions(tx, (account.account_id, account.device_id))),
        before,
        system.now_ms(),
        own_is_current=account.account_id in fetched,
        up_to=committed,
    )
    gap_of = None
    for frame in frames:
        if isinstance(frame, MissedFrame):
            if frame.to_sequence > batch.up_to:
                first = max(frame.from_sequence, batch.up_to + 1)
                tidings.tell(tx, Missed(frame.to_sequence - first + 1, _REASONS[frame.reason]))
                batch.up_to = frame.to_sequence
            continue
        if frame.sequence <= batch.up_to:
            continue  # delivered again: it is here already
        gap_of = _take_one(tx, batch, frame, fetched)
        if gap_of is not None:
            break
        batch.up_to = frame.sequence
        system.reached(Step.DECRYPTED)
    if batch.changed:
        save_sessions(tx, batch.own, batch.changed, batch.now_ms)
    if batch.prekeys is not before:
        save_prekeys(tx, before, batch.prekeys)
    for account_id, count in batch.received.items():
        note_received(tx, account_id, count)
    if batch.up_to > committed:
        facts.set_number(tx, facts.COMMITTED_SEQUENCE, batch.up_to)
    due = [account_id for account_id in batch.received if _owes_answer(tx, account_id, batch.now_ms)]
    for account_id in due:
        note_answer_due(tx, account_id, batch.now_ms)
        _draft_empty(tx, account, account_id, system)
    return Taken(batch.up_to, sum(batch.received.values()), bool(due), gap_of)


def _take_one(tx: Transaction, batch: _Batch, frame: Deliver, fetched: frozenset[bytes]) -> bytes | None:
    """Open one envelope; the account whose device list has to be fetched first, if so."""
    envelope = frame.ciphertext
    try:
        if envelope[0] == KIND_SETUP:
            key, plaintext = _open_setup(tx, batch, envelope)
        elif envelope[0] == _KIND_RATCHET:
            key, plaintext = _open_ratchet(tx, batch, envelope)
        else:
            raise InvalidEncoding("an envelope of an unknown kind")
        _keep(tx, batch, key, plaintext, frame.received_at_ms)
    except _Gap as gap:
        if gap.account_id in fetched:
            _keep_unopened(tx, frame, gap.__cause__ or gap)
            return None
        return gap.account_id
    except Replayed:
        # It did its work when it was opened; if its content is not here after all, the author's count shows the gap.
        facts.add_one(tx, facts.REPEATS)
    except CryptoError as error:
        _keep_unopened(tx, frame, error)
    return None


class _Gap(Exception):
    """A device list has to be fetched before this envelope can be judged."""

    def __init__(self, account_id: bytes) -> None:
        super().__init__()
        self.account_id = account_id


def _open_setup(tx: Transaction, batch: _Batch, envelope: bytes) -> tuple[Key, bytes]:
    account = batch.account
    content = open_setup(envelope, batch.prekeys, *batch.own)
    key = content.values.account_id, content.values.device_id
    if key[0] == account.account_id:
        raise UnknownDevice("a set-up from another device of this account")
    peer = find_peer(tx, key[0])
    before = batch.sessions.get(key) or PeerSessions(*key)
    try:
        opened = receive_setup(
            before,
            content,
            account.local,
            account.own,
            None if peer is None else peer.chain,
            batch.prekeys,
            own_is_current=batch.own_is_current,
            now_ms=batch.now_ms,
        )
    except ManifestGap as error:
        # Which of the two chains it was, the pair of versions tells.
        is_own = content.values.peer_manifest.version > account.own.version
        raise _Gap(account.account_id if is_own else key[0]) from error
    except ManifestFork as error:
        ensure_peer(tx, key[0])
        keep_fork(tx, key[0], error.known, error.other)
        _warn(tx, "devices_forked", "two device lists of one version are shown for this account", key[0])
        raise
    except SplitView as error:
        _warn(tx, "split_view", f"{error}: somebody shows others a device list that is not yours", key[0])
        raise
    except CopiedState:
        _warn_of_copy(tx, key[0])
        raise
    if peer is None or peer.chain is None or opened.peer_manifest.version > peer.chain.version:
        # What a removed device had goes with the older list; this batch must not write it back.
        adopt(tx, account, opened.peer_manifest, batch.now_ms)
        listed = {entry.device_id for entry in opened.peer_manifest.manifest.devices}
        for other, sessions in list(batch.sessions.items()):
            if other[0] == key[0] and other[1] not in listed and sessions.sessions():
                batch.put(other, sessions.without_sessions())
    is_new = opened.sessions.replays != before.replays
    if is_new and content.values.kem_class is KeyClass.LAST_RESORT and _has_stock(batch.prekeys):
        detail = "reached by a last-resort key though one-time keys are left: the relay keeps them back, or was asked often"
        _warn(tx, "last_resort_key", detail, key[0])
    if opened.reset:
        _warn(tx, "session_reset", "a new session took the place of one on which both had spoken", key[0])
    batch.prekeys = opened.prekeys
    batch.put(key, opened.sessions)
    return key, opened.plaintext


def _has_stock(prekeys: LocalPrekeys) -> bool:
    """Whether one-time ML-KEM keys lie at the relay, as far as this device knows."""
    return any(
        key.kind is KeyKind.KEM
        and key.key_class is KeyClass.ONE_TIME
        and key.uploaded
        and key.retired_at_ms is None
        for key in prekeys.keys
    )


def _open_ratchet(tx: Transaction, batch: _Batch, envelope: bytes) -> tuple[Key, bytes]:
    found = locate_among(batch.sessions.items(), envelope)
    if found is None:
        raise Undecryptable("no session opens it")
    key, located = found
    try:
        opened = receive(batch.sessions[key], located, envelope, now_ms=batch.now_ms)
    except CopiedState:
        _warn_of_copy(tx, key[0])
        raise
    batch.put(key, opened.sessions)
    return key, opened.plaintext


def _keep(tx: Transaction, batch: _Batch, key: Key, plaintext: bytes, received_at_ms: int) -> None:
    """The content of an opened envelope: as a message, and what it says besides."""
    account_id, device_id = key
    content = decode_content(plaintext)
    if content.conversation_id != direct_conversation(batch.account.account_id, account_id):
        raise InvalidEncoding("a content for a conversation that is not known here")
    batch.received[account_id] = batch.received.get(account_id, 0) + 1
    if content.introduction is not None:
        learn_token(tx, account_id, content.introduction.token, "contact")
        _hear_claim(tx, batch.account, account_id, content.introduction.handle, is_first=content.counter == 1)
    follows = history.count_incoming(
        tx,
        account_id,
        device_id,
        content,
        content_hash(plaintext),
        from_first=batch.account.is_founding_device,
    )
    if not follows:
        _warn(tx, "sequence_broken", "a message does not follow the one before it", account_id)
    if content.type != ContentType.EMPTY:
        history.add_incoming(tx, account_id, device_id, content, received_at_ms)


def _hear_claim(tx: Transaction, account: Account, account_id: bytes, handle: str, *, is_first: bool) -> None:
    """What somebody claims to be called; a name that is known to be another's is not shown as theirs."""
    if not is_handle(handle):
        return
    holder = find_by_handle(tx, handle)
    if handle == account.handle or (holder is not None and holder.account_id != account_id):
        learn_claim(tx, account_id, None)
        if is_first:
            _warn(tx, "name_of_another", f"somebody else claims to be {handle}", account_id)
    else:
        learn_claim(tx, account_id, handle)


def _keep_unopened(tx: Transaction, frame: Deliver, error: BaseException) -> None:
    tidings.keep_unopened(
        tx,
        envelope_id=frame.envelope_id,
        envelope=frame.ciphertext,
        reason=_word(type(error).__name__),
        now_ms=frame.received_at_ms,
    )


def _word(name: str) -> str:
    """`CopiedState` as `copied_state`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _warn(tx: Transaction, kind: str, detail: str, account_id: bytes) -> None:
    tidings.tell(tx, Warned(kind, detail, encode_id(account_id)))


def _warn_of_copy(tx: Transaction, account_id: bytes) -> None:
    _warn(tx, "copied_state", "somebody uses a copy of the keys of a session with this account", account_id)


def _owes_answer(tx: Transaction, account_id: bytes, now_ms: int) -> bool:
    """Whether the ratchet with an accepted contact has not turned for 100 messages or 7 days."""
    peer = find_peer(tx, account_id)
    if peer is None or not peer.accepted or peer.forked or peer.token is None:
        return False
    return (
        peer.received_since_send >= ANSWER_AFTER_MESSAGES or now_ms - peer.last_sent_at_ms >= ANSWER_AFTER_MS
    )


def _draft_empty(tx: Transaction, account: Account, account_id: bytes, system: System) -> None:
    """A content with nothing to show: with it the ratchet turns."""
    number = history.add_outgoing(
        tx,
        account_id=account.account_id,
        message_id=system.random(MESSAGE_ID_BYTES),
        content_type=ContentType.EMPTY,
        body=EMPTY_BODY,
        sent_at_ms=system.now_ms(),
    )
    queue.add_draft(tx, number, encode_id(account_id), account_id)
