"""From drafts to finished envelopes, in one transaction: the new session state and the envelope, or neither (B13).

Plain functions of a Transaction; they run in the store's thread and touch no network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from crypto.errors import InvalidKey, InvalidSignature, StaleKey
from crypto.limits import MAX_UNANSWERED_SESSION_MS
from crypto.manifest import DeviceEntry
from crypto.manifest_chain import VerifiedManifest
from crypto.session_start import start_session
from crypto.sessions import PeerSessions, encrypt
from relay.wire.limits import ENVELOPE_ID_BYTES
from relay.wire.links import encode_id

from . import expiry
from .account import Account, load_account
from .archive.giving import receivers, sealed_body
from .contents import OF_GROUPS, ContentType, Introduction, content_hash, direct_conversation
from .devices.copies import copy_to_own
from .devices.shared_items import share_changes
from .errors import DevicesForked, Refused
from .first_contact import Fetched, Missing
from .message import State, Warned
from .next_content import next_content
from .store import facts, history, log_rows, notices, peers, queue, sent_contents
from .store.contact_rows import note_token_told
from .store.database import Transaction
from .store.peers import CONTACT, Peer, find_peer, note_sent
from .store.session_rows import all_sessions, save_sessions
from .system import Step, System
from .transparency.backups import told_backups
from .transparency.gossip import due_gossip


@dataclass(frozen=True, slots=True)
class Encrypted:
    """Message numbers: finished for the network; complete without more; and refused for good."""

    messages: list[int]
    done: list[int]
    refused: list[int]


@dataclass(slots=True)
class _Work:
    """One transaction's work for one recipient: sessions change in here first."""

    account: Account
    peer: Peer
    chain: VerifiedManifest
    sessions: dict[bytes, PeerSessions]
    now_ms: int
    fetched: Fetched
    encrypted: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    is_personal: bool = False
    """Something of these two is among the drafts: what only groups need makes nobody a contact."""
    left_out: tuple[str, str] | None = None
    """Kind and detail of the last warning about a device that gets nothing."""

    @property
    def own(self) -> tuple[bytes, bytes]:
        return self.account.account_id, self.account.device_id


def encrypt_drafts(
    tx: Transaction, account_id: bytes, drafts: list[queue.Draft], fetched: Fetched, system: System
) -> Missing | Encrypted:
    """Encrypt drafts for one account, in order; or say what has to be fetched first (then nothing changed).

    Raises DevicesForked, and Refused if no device of the recipient has keys to start with: `no_prekeys`,
    `dormant_device` (they are too old), `bad_prekeys`.
    """
    account = load_account(tx)
    peer = find_peer(tx, account_id)
    if peer is not None and peer.forked:
        raise DevicesForked(
            f"{peer.name} is shown with two device lists: nothing is sent until you have talked"
        )
    if peer is None or peer.chain is None or peer.stale:
        return Missing(account_id, chain=True)
    drafts = [draft for draft in drafts if queue.draft_is_there(tx, draft.n)]
    if not drafts:
        return Encrypted([], [], [])
    work = _Work(account, peer, peer.chain, {}, system.now_ms(), fetched)
    wanted = _wanted_devices(work, drafts)
    missing = _ready_sessions(tx, work, wanted, fetched, system)
    if account_id == account.account_id:
        sealed_to = receivers(tx, drafts) & work.sessions.keys()
        missing += sorted(sealed_to - fetched.bundles.keys())
    if missing:
        return Missing(account_id, devices=tuple(missing))
    if wanted and not work.sessions:
        # Nothing of this transaction stays, so the error itself says what a warning would.
        kind, detail = work.left_out or ("no_prekeys", f"{peer.name} has published no keys to begin with")
        raise Refused(kind, detail, retryable=True)
    for draft in drafts:
        _encrypt_one(tx, work, draft, system)
        system.reached(Step.ENCRYPTED)
    save_sessions(
        tx,
        work.own,
        {(account_id, device_id): sessions for device_id, sessions in work.sessions.items()},
        work.now_ms,
    )
    queue.remove_drafts(tx, [draft.n for draft in drafts])
    work.done = [number for number in work.done if not queue.is_waiting(tx, number)]
    if work.is_personal:
        by_user = any(not history.is_hidden(tx, draft.message_n) for draft in drafts)
        note_sent(tx, account_id, work.now_ms, by_user=by_user)
    share_changes(tx, system)
    return Encrypted(work.encrypted, work.done, work.refused)


def _wanted_devices(work: _Work, drafts: Sequence[queue.Draft]) -> list[DeviceEntry]:
    """The listed devices that one of the drafts is for; this device writes nothing to itself."""
    return [
        entry
        for entry in work.chain.manifest.devices
        if entry.device_id != work.account.device_id
        and any(draft.is_for(entry.device_id) for draft in drafts)
    ]


def can_encrypt(tx: Transaction, account_id: bytes, drafts: Sequence[queue.Draft], now_ms: int) -> bool:
    """Whether `encrypt_drafts` needs nothing from the relay for these, so that many accounts fit in one transaction."""
    account = load_account(tx)
    peer = find_peer(tx, account_id)
    if peer is None or peer.chain is None or peer.stale or peer.forked:
        return False
    if account_id == account.account_id and receivers(tx, drafts):
        return False
    known = all_sessions(tx, (account.account_id, account.device_id))
    wanted = _wanted_devices(_Work(account, peer, peer.chain, {}, now_ms, Fetched()), drafts)
    found = (known.get((account_id, entry.device_id)) for entry in wanted)
    return all(sessions is not None and _can_send(sessions, now_ms) for sessions in found)


def _ready_sessions(
    tx: Transaction, work: _Work, wanted: Sequence[DeviceEntry], fetched: Fetched, system: System
) -> list[bytes]:
    """Put a session that can send for each wanted device into `work`; the devices whose bundle is missing.

    A device whose keys were no good is asked about once a day, unless no other is left.
    """
    missing: list[bytes] = []
    left_out: list[bytes] = []
    known = all_sessions(tx, work.own)
    for entry in wanted:
        key = work.chain.account_id, entry.device_id
        sessions = known.get(key) or PeerSessions(*key)
        if not _can_send(sessions, work.now_ms):
            if entry.device_id not in fetched.bundles:
                is_left_out = peers.is_left_out(tx, *key, work.now_ms)
                (left_out if is_left_out else missing).append(entry.device_id)
                continue
            bundle = fetched.bundles[entry.device_id]
            if bundle is None:
                continue
            try:
                sessions = start_session(
                    sessions,
                    work.account.local,
                    work.account.own,
                    work.chain,
                    bundle,
                    fetched_at_ms=fetched.at_ms,
                    now_ms=work.now_ms,
                    random=system.random,
                )
            except StaleKey as error:
                _warn(tx, "dormant_device", f"a device of {work.peer.name} is left out: {error}", work)
                peers.note_left_out(tx, *key, work.now_ms)
                continue
            except (InvalidKey, InvalidSignature) as error:
                _warn(tx, "bad_prekeys", f"the relay gave wrong keys for {work.peer.name}: {error}", work)
                peers.note_left_out(tx, *key, work.now_ms)
                continue
        work.sessions[entry.device_id] = sessions
    return missing if missing or work.sessions else left_out


def _can_send(sessions: PeerSessions, now_ms: int) -> bool:
    active = sessions.active
    if active is None:
        return False
    pending = active.pending
    return pending is None or now_ms <= pending.fetched_at_ms + MAX_UNANSWERED_SESSION_MS


def _warn(tx: Transaction, kind: str, detail: str, work: _Work) -> None:
    work.left_out = kind, detail
    notices.tell(tx, Warned(kind, detail, encode_id(work.peer.account_id)))


def _encrypt_one(tx: Transaction, work: _Work, draft: queue.Draft, system: System) -> None:
    row = history.find(tx, draft.message_n)
    if row is None:
        return
    work.is_personal = work.is_personal or row.type not in OF_GROUPS
    conversation_id = direct_conversation(work.account.account_id, work.peer.account_id)
    content = draft.content or _content(tx, work, row, conversation_id, system)
    envelopes = []
    for device_id, sessions in work.sessions.items():
        if not draft.is_for(device_id):
            continue
        work.sessions[device_id], ciphertext = encrypt(
            sessions,
            content,
            work.account.own,
            now_ms=work.now_ms,
            random=system.random,
            proof=log_rows.own_proof(tx, work.account.own.hash),
        )
        envelopes.append(queue.Envelope(device_id, ciphertext))
    if not envelopes:
        _file_without_envelope(tx, work, row)
        return
    sent_contents.add_devices(tx, content_hash(content), [one.device_id for one in envelopes])
    queue.add_outgoing(
        tx,
        envelope_id=system.random(ENVELOPE_ID_BYTES),
        message_n=row.n,
        account_id=work.peer.account_id,
        content=content,
        envelopes=tuple(envelopes),
        now_ms=work.now_ms,
        except_devices=draft.except_devices,
        only_devices=draft.only_devices,
    )
    history.set_encrypted(tx, row.n, conversation_id, work.account.device_id, content_hash(content))
    if row.expires_after_seconds:
        expiry.begin(tx, row.n, work.now_ms)
    work.encrypted.append(row.n)
    if draft.content is None:
        copy_to_own(tx, work.account, work.peer.account_id, row.type, content, system)


def _has_to_introduce(tx: Transaction, peer: Peer, row: history.MessageRow) -> bool:
    """Whether the next content says how to answer.

    Until something came back, and also when they may not know: they introduced themselves anew, or gave no contact token. A
    stranger, or who was cut off, is told nothing by what the client sends by itself.
    """
    if peer.blocked or (not peer.accepted and history.is_hidden(tx, row.n)):
        return False
    is_known = peer.last_sent_at_ms and peer.heard_since_send and peer.token_class == CONTACT
    return not is_known or peer.tell_token


def _introduction(tx: Transaction, work: _Work, system: System) -> Introduction | None:
    token, registered = facts.own_token(tx, CONTACT, system.random)
    if not registered:
        return None
    note_token_told(tx, work.peer.account_id, work.now_ms)
    return Introduction(token, work.account.handle or "")


def _file_without_envelope(tx: Transaction, work: _Work, row: history.MessageRow) -> None:
    """No device is left that lacks it: those that have it are all, or the relay knows none that is listed."""
    if row.state is State.ACCEPTED or work.peer.account_id == work.account.account_id:
        history.set_state(tx, [row.n], State.ACCEPTED)
        work.done.append(row.n)
    else:
        history.set_state(tx, [row.n], State.REFUSED, "unknown_device")
        work.refused.append(row.n)


def _gossip(tx: Transaction, work: _Work, row: history.MessageRow) -> bytes:
    """What goes to a contact besides; to others, and to the own devices, nothing."""
    if work.peer.account_id == work.account.account_id:
        return b""
    if not work.peer.accepted and history.is_hidden(tx, row.n):
        return b""
    return due_gossip(tx, work.account, work.peer, work.chain, work.now_ms)


def _content(
    tx: Transaction, work: _Work, row: history.MessageRow, conversation_id: bytes, system: System
) -> bytes:
    """The content of a message, as the next that this device counts in the conversation."""
    introduction = None
    if row.type not in OF_GROUPS and _has_to_introduce(tx, work.peer, row):
        introduction = _introduction(tx, work, system)
    if row.type == ContentType.HISTORY_KEYS:
        body = sealed_body(
            tx,
            work.account,
            row.body,
            chain=work.chain,
            sessions=work.sessions,
            bundles=work.fetched.bundles,
            now_ms=work.now_ms,
        )
        row = replace(row, body=body)
    gossip = _gossip(tx, work, row)
    made = next_content(
        tx,
        row,
        conversation_id,
        work.peer.account_id,
        introduction=introduction,
        gossip=gossip,
        backups=told_backups(tx, work.peer) if gossip else None,
    )
    sent_contents.keep(tx, conversation_id, made.counter, made.hash, made.encoded, row.n, work.now_ms)
    return made.encoded
