"""How a session with a peer device begins: by an own set-up, or by one that arrives in a set-up envelope.

A set-up binds both accounts, devices, identity keys and manifests (A8), names each prekey with its class (A3), and is
opened once (A4). On any failure nothing changes: values come in, values go out. docs/protocol.md, "Sessions".
"""

from typing import NamedTuple

from . import double_ratchet, limits, ratchet_state
from .double_ratchet import MessageInfo
from .errors import (
    InvalidKey,
    ManifestGap,
    ManifestRefused,
    ManifestRollback,
    Replayed,
    SessionExpired,
    SplitView,
    TooFarAhead,
    UnknownDevice,
)
from .keys import LocalDevice, X25519PrekeyPair
from .local_prekeys import LocalPrekeys
from .manifest import SignedManifest
from .manifest_chain import VerifiedManifest, verify_chain
from .pqxdh import ManifestRef, Party, SetupValues, initiate, respond
from .prekeys import Bundle, KeyClass, KeyKind, verify_bundle
from .primitives import RandomBytes
from .ratchet_state import AssociatedData
from .sealed_first_message import SetupContent
from .secret_value import replace
from .sessions import PeerSessions, PendingSetup, ReplayEntry, Session, SessionFacts, place

__all__ = ["SetupReceived", "receive_setup", "start_session"]

_MAX_SETUP_NUMBER = 2**32 - 1


class SetupReceived(NamedTuple):
    """What a set-up envelope gives: store sessions, prekeys and manifest with the plaintext, in one transaction."""

    sessions: PeerSessions
    prekeys: LocalPrekeys
    """Without the one-time keys that the set-up used."""
    peer_manifest: VerifiedManifest
    plaintext: bytes
    info: MessageInfo
    reset: bool
    """It replaced a session on which both had spoken: show it to the user."""


def _facts(
    local: LocalDevice, peer: PeerSessions, session_id: bytes, number: int, initiated: bool
) -> SessionFacts:
    peer_names = peer.account_id, peer.device_id
    sending = AssociatedData(session_id, local.account_id, local.device_id, *peer_names)
    return SessionFacts(number, initiated, sending, sending.reversed())


def start_session(
    peer: PeerSessions,
    local: LocalDevice,
    own: VerifiedManifest,
    peer_manifest: VerifiedManifest,
    bundle: Bundle,
    *,
    fetched_at_ms: int,
    now_ms: int,
    random: RandomBytes,
) -> PeerSessions:
    """Begin a session with a fetched bundle; `encrypt` then gives set-up envelopes until an answer was opened.

    Raises UnknownDevice if the newest manifest does not list the peer (or this device), SessionExpired if the
    fetch is over 7 days old, and what `verify_bundle` raises.
    """
    if now_ms > fetched_at_ms + limits.MAX_UNANSWERED_SESSION_MS:
        raise SessionExpired("the bundle was fetched over 7 days ago")
    own.device(local.device_id)
    entry = peer_manifest.device(peer.device_id)
    seen = verify_bundle(bundle, peer.account_id, entry, now_ms=now_ms, seen=peer.seen_keys)
    if peer.highest_setup_number >= _MAX_SETUP_NUMBER:
        raise InvalidKey("the set-up numbers of this pair of devices are used up")
    number = peer.highest_setup_number + 1
    values, secrets = initiate(
        local,
        _reference(own.newest),
        Party.peer(peer.account_id, entry, _reference(peer_manifest.newest)),
        bundle,
        setup_number=number,
        random=random,
    )
    session = Session(
        _facts(local, peer, secrets.session_id, number, initiated=True),
        ratchet_state.start_initiator(secrets, bundle.signed.key, now_ms),
        PendingSetup(values, bundle.sealing, fetched_at_ms),
    )
    return replace(place(peer, session, now_ms), seen_keys=seen)


def receive_setup(
    peer: PeerSessions,
    content: SetupContent,
    local: LocalDevice,
    own: VerifiedManifest,
    peer_manifest: VerifiedManifest | None,
    prekeys: LocalPrekeys,
    *,
    own_is_current: bool,
    now_ms: int,
) -> SetupReceived:
    """Open what `open_setup` gave, with the value kept for the device that it names (a fresh one if there is none).

    `own_is_current`: the own chain was just fetched from the relay. Raises ManifestGap if manifests must be fetched
    first (the peer's, or the own chain unless it is current), SplitView if the peer was shown a manifest of ours
    that we never made (A10), ManifestRefused, ManifestFork, UnknownDevice if the sender is not listed, TooFarAhead
    for a set-up number over 1,000 above, Replayed for a known set-up whose session or message is gone, Undecryptable.
    """
    values = content.values
    if (peer.account_id, peer.device_id) != (values.account_id, values.device_id):
        raise InvalidKey("the set-up names another device")
    if values.device_id == local.device_id:
        raise InvalidKey("a set-up by this device itself")
    known = _walk(peer_manifest, content)
    named = known.require(values.manifest.version, values.manifest.hash).manifest
    known.device(values.device_id)
    entry = named.device(values.device_id)

    digest = values.digest()
    if (replay := next((one for one in peer.replays if one.values_digest == digest), None)) is not None:
        return _receive_again(peer, replay, content, prekeys, known, now_ms)

    if not 1 <= values.setup_number <= peer.highest_setup_number + limits.MAX_SETUP_NUMBER_JUMP:
        raise TooFarAhead("the set-up number is not within 1,000 of the highest one used")
    signed = prekeys.find(KeyKind.SIGNED, values.signed_id)
    one_time = None if values.one_time_id is None else prekeys.find(KeyKind.ONE_TIME, values.one_time_id)
    kem = prekeys.find(KeyKind.KEM, values.kem_id)
    party = Party.peer(peer.account_id, entry, values.manifest)
    secrets = respond(local, party, values, signed=signed, one_time=one_time, kem=kem)
    if not isinstance(signed.secret, X25519PrekeyPair):
        raise InvalidKey("the signed prekey is of another kind")
    facts = _facts(local, peer, secrets.session_id, values.setup_number, initiated=False)
    ratchet, plaintext, info = double_ratchet.decrypt(
        ratchet_state.start_responder(secrets, signed.secret.private, now_ms),
        content.message,
        facts.receiving_ad,
        now_ms,
        embedded=True,
    )
    # Only now: who sealed an envelope is proved by the message in it, and strangers shall raise no alarm.
    _require_own(own, values, local, is_current=own_is_current)
    placed = place(peer, Session(facts, ratchet, received=True), now_ms)
    entry_of_replay = ReplayEntry(digest, secrets.session_id, values.signed_id)
    used = {(KeyKind.KEM, values.kem_id)} if values.kem_class is KeyClass.ONE_TIME else set()
    if values.one_time_id is not None:
        used.add((KeyKind.ONE_TIME, values.one_time_id))
    replaced = peer.active if placed.active is not peer.active else None
    return SetupReceived(
        sessions=replace(placed, replays=(*peer.replays, entry_of_replay)),
        prekeys=prekeys.without(used),
        peer_manifest=known,
        plaintext=plaintext,
        info=info,
        reset=replaced is not None and replaced.both_spoke,
    )


def _reference(signed: SignedManifest) -> ManifestRef:
    return ManifestRef(signed.manifest.version, signed.hash)


def _walk(known: VerifiedManifest | None, content: SetupContent) -> VerifiedManifest:
    """The sender's chain with the manifests it brought; a message may be older than what is known by now."""
    if known is not None and not content.manifests:
        return known
    try:
        return verify_chain(content.values.account_id, known, content.manifests)
    except ManifestRollback:
        if known is None:
            raise
        return known


def _require_own(own: VerifiedManifest, values: SetupValues, local: LocalDevice, *, is_current: bool) -> None:
    """B's own (version, hash) is on its own chain and lists this device, or somebody showed A another (A10)."""
    try:
        signed = own.require(values.peer_manifest.version, values.peer_manifest.hash)
        signed.manifest.device(local.device_id)
    except ManifestGap as error:
        if not is_current:
            raise
        raise SplitView("a peer was shown a newer manifest of this account than there is") from error
    except (ManifestRefused, UnknownDevice) as error:
        raise SplitView("a peer was shown a manifest of this account that we never made") from error


def _receive_again(
    peer: PeerSessions,
    replay: ReplayEntry,
    content: SetupContent,
    prekeys: LocalPrekeys,
    known: VerifiedManifest,
    now_ms: int,
) -> SetupReceived:
    """A further message of a set-up that was opened before goes to its session, or nowhere if that is gone (A4)."""
    session = peer.find(replay.session_id)
    if session is None:
        raise Replayed("the session of this set-up is gone")
    ratchet, plaintext, info = double_ratchet.decrypt(
        session.ratchet, content.message, session.facts.receiving_ad, now_ms, embedded=True
    )
    following = replace(session, ratchet=ratchet, received=True)
    return SetupReceived(peer.with_session(following), prekeys, known, plaintext, info, reset=False)
