"""All sessions with one peer device, as a value: which one sends, which still open, which set-ups were seen.

Set-ups cross, are renewed, lost and reordered; the session with the highest set-up number is active, a tie goes to
the smaller session id, so both sides agree after one exchange (B12). Every function returns a new value; who gets
an error keeps the old one. How sessions begin is in `session_start`. docs/protocol.md, "Sessions".
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from . import double_ratchet, limits, ratchet_state
from .double_ratchet import MessageInfo, OpenedHeader
from .errors import InvalidEncoding, NoSession, SessionExpired, Undecryptable
from .local_prekeys import LocalPrekeys
from .manifest_chain import VerifiedManifest
from .padding import bucket_for, is_bucket
from .pqxdh import SetupValues
from .prekeys import KeyClass, KeyKind, SignedKey
from .primitives import RandomBytes
from .ratchet_state import AssociatedData, RatchetState
from .root_chain import DEFAULT_SCHEDULE, KemSchedule
from .sealed_first_message import SetupContent, seal_setup
from .secret_value import SecretValue, replace

__all__ = [
    "Located",
    "PeerSessions",
    "PendingSetup",
    "Received",
    "ReplayEntry",
    "Session",
    "SessionFacts",
    "encrypt",
    "forget_expired",
    "locate",
    "locate_among",
    "place",
    "receive",
]

_Key = TypeVar("_Key")


class PendingSetup(SecretValue, frozen=True, eq=False):
    """What an initiator puts around each message until it has opened an answer."""

    values: SetupValues
    sealing: SignedKey
    fetched_at_ms: int


class SessionFacts(SecretValue, frozen=True, eq=False):
    """What never changes in a session."""

    setup_number: int
    initiated: bool
    """This side began it: A of the set-up."""
    sending_ad: AssociatedData
    receiving_ad: AssociatedData

    @property
    def session_id(self) -> bytes:
        """32 B."""
        return self.sending_ad.session_id

    def outranks(self, other: "SessionFacts") -> bool:
        """Whether this one is active of the two: the higher set-up number, then the smaller id."""
        if self.setup_number != other.setup_number:
            return self.setup_number > other.setup_number
        return self.session_id < other.session_id


class Session(SecretValue, frozen=True, eq=False):
    """One session with the peer device."""

    facts: SessionFacts
    ratchet: RatchetState
    pending: PendingSetup | None = None
    sent: bool = False
    received: bool = False
    archived_at_ms: int | None = None

    @property
    def both_spoke(self) -> bool:
        """Replacing it is a reset, which the user is shown."""
        return self.sent and self.received

    def archived(self, now_ms: int) -> "Session":
        """As it is kept beside the active one: it opens, but sends no more."""
        return replace(self, pending=None, archived_at_ms=now_ms)


class ReplayEntry(SecretValue, frozen=True, eq=True):
    """A set-up that was opened: digest of its values, the session it made, the signed prekey it used (A4).

    Lives as long as the private half of that prekey; without it, no set-up that named it can be opened.
    """

    values_digest: bytes
    session_id: bytes
    signed_id: int


class PeerSessions(SecretValue, frozen=True, eq=False):
    """Everything kept about one device of another account, or about another device of one's own.

    Account 32 B, device 16 B. When the device leaves its manifest, keep `without_sessions()` until its replay
    entries are gone.
    """

    account_id: bytes
    device_id: bytes
    active: Session | None = None
    archived: tuple[Session, ...] = ()
    highest_setup_number: int = 0
    replays: tuple[ReplayEntry, ...] = ()
    seen_keys: Mapping[tuple[KeyKind, KeyClass], int] = {}

    def sessions(self) -> tuple[Session, ...]:
        """The active one first, then the archived ones, the newest first."""
        return self.archived if self.active is None else (self.active, *self.archived)

    def find(self, session_id: bytes) -> Session | None:
        """The session of this id, if it is still kept."""
        return next((one for one in self.sessions() if one.facts.session_id == session_id), None)

    def with_session(self, session: Session) -> "PeerSessions":
        """A session's next state in the place of its present one."""
        active, archived = self.active, self.archived
        if active is not None and active.facts is session.facts:
            active = session
        else:
            archived = tuple(session if one.facts is session.facts else one for one in archived)
        return PeerSessions(
            self.account_id,
            self.device_id,
            active,
            archived,
            self.highest_setup_number,
            self.replays,
            self.seen_keys,
        )

    def without_sessions(self) -> "PeerSessions":
        """Of a device that was removed: nothing opens any more, and no old set-up does again (A4)."""
        return replace(self, active=None, archived=())


class Located(NamedTuple):
    """The session whose header key opened an envelope's header; good for the same PeerSessions only."""

    session: Session
    opened: OpenedHeader


class Received(NamedTuple):
    """What opening a message gives: store `sessions` in the transaction that stores the plaintext."""

    sessions: PeerSessions
    plaintext: bytes
    info: MessageInfo


def place(peer: PeerSessions, session: Session, now_ms: int) -> PeerSessions:
    """Add a new session: the highest one is active, the newest five others are archived."""
    active, others = peer.active, peer.archived
    if active is None:
        active = session
    elif session.facts.outranks(active.facts):
        active, others = session, (active.archived(now_ms), *others)
    else:
        others = (session.archived(now_ms), *others)
    highest = max(peer.highest_setup_number, session.facts.setup_number)
    kept = others[: limits.MAX_ARCHIVED_SESSIONS]
    return replace(peer, active=active, archived=kept, highest_setup_number=highest)


def encrypt(
    peer: PeerSessions,
    plaintext: bytes,
    own: VerifiedManifest,
    *,
    now_ms: int,
    random: RandomBytes,
    ephemeral: bool = False,
    proof: bytes = b"",
    schedule: KemSchedule = DEFAULT_SCHEDULE,
) -> tuple[PeerSessions, bytes]:
    """(Next value, finished envelope): a set-up envelope until an answer was opened, then a ratchet envelope.

    Store both in one transaction before the envelope is sent; a retry sends the same bytes (B13). `proof` is the
    inclusion proof of the own manifest, carried in set-up envelopes. Raises NoSession, SessionExpired (not
    answered within 7 days of the fetch: start anew), TooLarge.
    """
    session = peer.active
    if session is None:
        raise NoSession("there is no session with this device yet")
    pending = session.pending
    if pending is not None and now_ms > pending.fetched_at_ms + limits.MAX_UNANSWERED_SESSION_MS:
        raise SessionExpired("the set-up was not answered within 7 days")
    ratchet, message = double_ratchet.encrypt(
        session.ratchet,
        plaintext,
        session.facts.sending_ad,
        random,
        now_ms,
        ephemeral=ephemeral,
        padded_to=bucket_for if pending is None else _unpadded,
        schedule=schedule,
    )
    if pending is not None:
        # Who changed devices that often sends the newest; a stranger then has to ask the relay for the rest.
        manifests = own.leading_to(pending.values.manifest.version)[-limits.MAX_SETUP_MANIFESTS :]
        content = SetupContent(pending.values, message, manifests, proof)
        message = seal_setup(content, pending.sealing, peer.account_id, peer.device_id)
    following = Session(session.facts, ratchet, pending, sent=True, received=session.received)
    return peer.with_session(following), message


def _unpadded(size_bytes: int) -> int:
    """The set-up envelope around the message has the padding."""
    return size_bytes


def locate(peer: PeerSessions, envelope: bytes) -> Located | None:
    """The session that a ratchet envelope belongs to, by trial of header keys, or None.

    Raises InvalidEncoding for what is no ratchet envelope of a bucket's size.
    """
    if not is_bucket(len(envelope)):
        raise InvalidEncoding("the size of the envelope is no bucket")
    for session in peer.sessions():
        opened = double_ratchet.find_header(session.ratchet, envelope)
        if opened is not None:
            return Located(session, opened)
    return None


def locate_among(peers: Iterable[tuple[_Key, PeerSessions]], envelope: bytes) -> tuple[_Key, Located] | None:
    """The first of several peers, most recent first, of which a session opens the envelope's header."""
    for key, peer in peers:
        located = locate(peer, envelope)
        if located is not None:
            return key, located
    return None


def receive(peer: PeerSessions, located: Located | None, envelope: bytes, *, now_ms: int) -> Received:
    """Open a ratchet envelope that `locate` found in this very value.

    Raises Undecryptable (also for None), Replayed, TooFarAhead, CopiedState, InvalidEncoding, InvalidKey.
    """
    if located is None:
        raise Undecryptable("no session opens it")
    session, opened = located
    ratchet, plaintext, info = double_ratchet.decrypt_opened(
        session.ratchet, opened, envelope, session.facts.receiving_ad, now_ms
    )
    following = Session(
        session.facts,
        ratchet,
        sent=session.sent,
        received=True,
        archived_at_ms=session.archived_at_ms,
    )
    return Received(peer.with_session(following), plaintext, info)


def forget_expired(peer: PeerSessions, prekeys: LocalPrekeys, *, now_ms: int) -> PeerSessions:
    """Without archived sessions of 45 days, old skipped keys, and replay entries whose signed prekey is gone.

    The very same value if nothing of these is there.
    """
    oldest_ms = now_ms - limits.ARCHIVED_SESSION_LIFETIME_MS
    signed_ids = {key.key_id for key in prekeys.keys if key.kind is KeyKind.SIGNED}
    active = None if peer.active is None else _with_ratchet_cleaned(peer.active, now_ms)
    archived = tuple(
        _with_ratchet_cleaned(one, now_ms)
        for one in peer.archived
        if one.archived_at_ms is None or one.archived_at_ms > oldest_ms
    )
    replays = tuple(entry for entry in peer.replays if entry.signed_id in signed_ids)
    is_same = active is peer.active and len(archived) == len(peer.archived) and replays == peer.replays
    if is_same and all(map(lambda after, before: after is before, archived, peer.archived)):
        return peer
    return replace(peer, active=active, archived=archived, replays=replays)


def _with_ratchet_cleaned(session: Session, now_ms: int) -> Session:
    ratchet = ratchet_state.forget_expired(session.ratchet, now_ms)
    return session if ratchet is session.ratchet else replace(session, ratchet=ratchet)
