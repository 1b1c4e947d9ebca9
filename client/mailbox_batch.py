"""What one transaction over a part of the mailbox works on: sessions, prekeys, counts; written at its end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from crypto.errors import InvalidEncoding
from crypto.local_prekeys import LocalPrekeys
from crypto.sealed_first_message import KIND_SETUP
from relay.wire.frames import Deliver, Missed
from relay.wire.links import encode_id

from .account import Account
from .message import Warned
from .store import notices
from .store.database import Transaction
from .store.session_rows import Key, Trial
from .system import System

_SETUP: Final = bytes((KIND_SETUP,))
WEIGHT_AT_ONCE: Final = 128  # of envelopes in one transaction: about 50 ms of the store's thread
SETUP_WEIGHT: Final = 8  # so many other envelopes are opened in the time of one that begins a session


def in_parts(mail: Sequence[Deliver | Missed]) -> Iterator[Sequence[Deliver | Missed]]:
    """A piece of the mailbox, in order, as parts for a transaction each."""
    first = weight = 0
    for place, frame in enumerate(mail):
        is_setup = isinstance(frame, Deliver) and frame.ciphertext[:1] == _SETUP
        weight += SETUP_WEIGHT if is_setup else 1
        if weight > WEIGHT_AT_ONCE and place > first:
            yield mail[first:place]
            first, weight = place, SETUP_WEIGHT if is_setup else 1
    if first < len(mail):
        yield mail[first:]


@dataclass(slots=True)
class Batch:
    """The state that one transaction works on; written at its end."""

    account: Account
    sessions: Trial
    prekeys: LocalPrekeys
    system: System
    now_ms: int
    own_is_current: bool
    up_to: int
    received: dict[bytes, int] = field(default_factory=dict)
    released: list["Released"] = field(default_factory=list)
    """Envelopes that were held, and can be opened now."""
    late: dict[bytes, int] = field(default_factory=dict)
    """How many contents of an account came after later ones of their device, without having been asked for."""
    drafted: bool = False
    """Something was put on its way: the outbox has to be woken."""
    errands: bool = False
    """A group has to be looked at: its log, or what this device owes there."""
    group_messages: int = 0
    """Contents that came in groups' envelopes."""
    current_groups: frozenset[bytes] = frozenset()
    """Groups whose log was just read to its end."""
    look_at_log: bool = False
    """Something has to be compared with what the relay shows."""

    @property
    def own(self) -> Key:
        """This account and device."""
        return self.account.account_id, self.account.device_id


class Released(NamedTuple):
    """An envelope that was held until a key for it came."""

    envelope: bytes
    received_at_ms: int


class Opened(NamedTuple):
    """A plaintext, the device that proved to have sent it, and the conversation (32 B) that it can only be of."""

    key: Key
    plaintext: bytes
    conversation_id: bytes
    in_group: bool = False


class HeldForLater(Exception):
    """The envelope waits in the store until what opens it has come."""


class Redirected(InvalidEncoding):
    """A content of another conversation than the one that its session or chain can only be of."""


class DeviceListNeeded(Exception):
    """A device list has to be fetched before this envelope can be judged."""

    def __init__(self, account_id: bytes) -> None:
        super().__init__()
        self.account_id = account_id


def warn(tx: Transaction, kind: str, detail: str, account_id: bytes) -> None:
    """Tell the user something about this account."""
    notices.tell(tx, Warned(kind, detail, encode_id(account_id)))


def warn_of_copy(tx: Transaction, account_id: bytes) -> None:
    """Tell that two devices speak as one."""
    warn(tx, "copied_state", "somebody uses a copy of the keys of a session with this account", account_id)
