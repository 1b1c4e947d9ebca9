"""What one side of a session keeps, and how it begins: a value that `double_ratchet` steps from message to message.

Store it by `snapshots`. docs/protocol.md, "Ratchet", "Starting". Does not know how a session is set up.
"""

from msgspec.structs import force_setattr

from . import labels
from .chains import ReceivingChain, SendingChain, SessionSecrets
from .headers import derive_header_key
from .limits import SKIPPED_KEY_LIFETIME_MS
from .root_chain import RootChain
from .secret_value import SecretValue, replace
from .transcript import transcript

__all__ = ["AssociatedData", "RatchetState", "forget_expired", "start_initiator", "start_responder"]


class AssociatedData(SecretValue, frozen=True, eq=False):
    """Who speaks to whom in which session: authenticated with every message, sent with none."""

    session_id: bytes
    sender_account: bytes
    sender_device: bytes
    recipient_account: bytes
    recipient_device: bytes
    start: bytes = b""
    """Made of the others: the transcript of a message's associated data up to its last field, the envelope before the body."""

    def __post_init__(self) -> None:
        parties = (self.sender_account, self.sender_device, self.recipient_account, self.recipient_device)
        force_setattr(self, "start", transcript(labels.MESSAGE, self.session_id, *parties))

    def reversed(self) -> "AssociatedData":
        """Of the messages in the other direction."""
        return AssociatedData(
            self.session_id,
            self.recipient_account,
            self.recipient_device,
            self.sender_account,
            self.sender_device,
        )


class RatchetState(SecretValue, frozen=True, eq=False):
    """One side of a session between two devices, at one moment."""

    session_id: bytes
    root: RootChain
    sending: SendingChain | None
    """None from the peer's newest chain on, until the next send opens the answer to it."""
    receiving: tuple[ReceivingChain, ...]
    """Newest first, at most MAX_RECEIVING_CHAINS."""

    @property
    def can_send(self) -> bool:
        """False for a responder that has not opened a first message yet."""
        return bool(self.root.peer_public)


def start_initiator(secrets: SessionSecrets, peer_signed_prekey: bytes, now_ms: int) -> RatchetState:
    """The state of A, who fetched the bundle with this 32 B X25519 prekey; it can send at once."""
    return _start(secrets, b"", peer_signed_prekey, now_ms)


def start_responder(secrets: SessionSecrets, signed_prekey_private: bytes, now_ms: int) -> RatchetState:
    """The state of B, whose signed prekey (32 B X25519 private key) the set-up used; it receives first."""
    return _start(secrets, signed_prekey_private, b"", now_ms)


def _start(secrets: SessionSecrets, own_private: bytes, peer_public: bytes, now_ms: int) -> RatchetState:
    key_a, key_b = derive_header_key(secrets.header_key_a), derive_header_key(secrets.next_header_key_b)
    is_initiator = bool(peer_public)
    root = RootChain(
        root_key=secrets.root_key,
        own_private=own_private,
        peer_public=peer_public,
        next_sending=key_a if is_initiator else key_b,
        next_receiving=key_b if is_initiator else key_a,
        previous_length=0,
        steps_since_kem=0,
        last_kem_at_ms=now_ms,
        offered=None,
        peer_offer=b"",
    )
    return RatchetState(secrets.session_id, root, None, ())


def forget_expired(state: RatchetState, now_ms: int) -> RatchetState:
    """Without skipped keys and closed chains older than SKIPPED_KEY_LIFETIME_MS; itself if there are none."""
    oldest_ms = now_ms - SKIPPED_KEY_LIFETIME_MS
    checked = (chain.without_keys_before(oldest_ms) for chain in state.receiving)
    kept = tuple(chain for chain in checked if chain is not None)
    if len(kept) == len(state.receiving) and all(map(lambda a, b: a is b, kept, state.receiving)):
        return state
    return replace(state, receiving=kept)
