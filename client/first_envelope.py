"""Opens the envelope that begins a session: who it is from, by the device lists that come with it, and what it shows.

docs/protocol.md, "Session set-up".
"""

from crypto.errors import CopiedState, CryptoError, ManifestFork, ManifestGap, SplitView
from crypto.limits import DAY_MS
from crypto.local_prekeys import LocalPrekeys
from crypto.manifest_chain import VerifiedManifest
from crypto.prekeys import KeyClass, KeyKind
from crypto.sealed_first_message import SetupContent, open_setup
from crypto.session_start import receive_setup
from crypto.sessions import PeerSessions
from crypto.transparency import Inclusion, verify_head, verify_manifest_logged

from .account import load_account
from .contents import direct_conversation
from .mailbox_batch import Batch, DeviceListNeeded, Opened, warn, warn_of_copy
from .store import facts
from .store.database import Transaction
from .store.gossip_rows import Claim
from .store.peers import ensure_peer, find_peer, keep_fork
from .transparency.claims import tell_split_view
from .transparency.known_log import hear_head
from .trust import adopt


def open_first_envelope(tx: Transaction, batch: Batch, envelope: bytes) -> Opened:
    """The content of a set-up envelope, judged by the device lists inside it. Raises DeviceListNeeded, CryptoError."""
    account = batch.account
    content = open_setup(envelope, batch.prekeys, *batch.own)
    key = content.values.account_id, content.values.device_id
    peer = find_peer(tx, key[0])
    before = batch.sessions.find(key) or PeerSessions(*key)
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
        raise DeviceListNeeded(account.account_id if is_own else key[0]) from error
    except ManifestFork as error:
        ensure_peer(tx, key[0])
        keep_fork(tx, key[0], error.known, error.other)
        warn(tx, "devices_forked", "two device lists of one version are shown for this account", key[0])
        raise
    except SplitView:
        named = content.values.peer_manifest
        claim = Claim(account.account_id, named.version, named.hash, key[0])
        tell_split_view(tx, account, account.own, claim, batch.now_ms)
        batch.look_at_log = True
        raise
    except CopiedState:
        warn_of_copy(tx, key[0])
        raise
    _check_proof(tx, batch, key[0], content)
    if peer is None or peer.chain is None or opened.peer_manifest.version > peer.chain.version:
        # What a removed device had goes with the older list; this batch must not write it back.
        adopt(tx, account, opened.peer_manifest, batch.now_ms)
        batch.account = load_account(tx)
        if peer is not None and peer.chain is not None:
            _drop_removed(batch, opened.peer_manifest)
    is_new = opened.sessions.replays != before.replays
    if is_new and content.values.kem_class is KeyClass.LAST_RESORT and _has_stock(batch.prekeys):
        _tell_last_resort(tx, batch.now_ms, key[0])
    if opened.reset:
        warn(tx, "session_reset", "a new session took the place of one on which both had spoken", key[0])
    batch.prekeys = opened.prekeys
    batch.sessions.put(key, opened.sessions)
    return Opened(key, opened.plaintext, direct_conversation(account.account_id, key[0]))


def _drop_removed(batch: Batch, newest: VerifiedManifest) -> None:
    """Of what the batch has changed: `adopt` did the same to what is kept."""
    listed = {entry.device_id for entry in newest.manifest.devices}
    for key, sessions in list(batch.sessions.changed.items()):
        if key[0] == newest.account_id and key[1] not in listed and sessions.sessions():
            batch.sessions.put(key, sessions.without_sessions())


def _tell_last_resort(tx: Transaction, now_ms: int, account_id: bytes) -> None:
    """Once a day: where many who never talked write at once, as in a large group, budgets alone bring this about."""
    told_at_ms = facts.number(tx, facts.LAST_RESORT_TOLD_AT_MS)
    if told_at_ms <= now_ms < told_at_ms + DAY_MS:
        return
    facts.set_number(tx, facts.LAST_RESORT_TOLD_AT_MS, now_ms)
    detail = "reached by a last-resort key though one-time keys are left: the relay keeps them back, or was asked often"
    warn(tx, "last_resort_key", detail, account_id)


def _check_proof(tx: Transaction, batch: Batch, account_id: bytes, content: SetupContent) -> None:
    """The proof that the sender's newest manifest is logged, if one came; its head is compared with the known one.

    Raises InvalidEncoding, InvalidSignature, LogRefused: the sender was to check it before it passed it on.
    """
    if not content.proof or not content.manifests:
        return
    try:
        inclusion = Inclusion.parse(content.proof)
        verify_head(inclusion.head, batch.account.relay_key)
        verify_manifest_logged(inclusion, content.manifests[-1])
    except CryptoError as error:
        warn(tx, "log_refused", f"a new session came with a proof that does not hold: {error}", account_id)
        raise
    batch.look_at_log |= hear_head(tx, batch.account, inclusion.head, account_id, batch.now_ms)


def _has_stock(prekeys: LocalPrekeys) -> bool:
    """Whether one-time ML-KEM keys lie at the relay, as far as this device knows."""
    return any(
        key.kind is KeyKind.KEM
        and key.key_class is KeyClass.ONE_TIME
        and key.uploaded
        and key.retired_at_ms is None
        for key in prekeys.keys
    )
