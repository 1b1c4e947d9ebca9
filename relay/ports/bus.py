"""Announcements between nodes: hints to look, never the truth. A lost one costs a poll, not a message; no content in any."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class NewMail:
    """Something was committed to these mailboxes (16 B device ids); `urgent`: for these of them, something urgent."""

    device_ids: tuple[bytes, ...]
    urgent: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class MailboxTaken:
    """The connection `connection_id` (16 B random) has the device's mailbox now: older ones close as `replaced`.

    `order` is above that of each takeover that its node knew of; 0, of a node of an earlier version: above all.
    """

    device_id: bytes
    connection_id: bytes
    order: int = 0


@dataclass(frozen=True, slots=True)
class MailboxesHeld:
    """Said again, where announcements were lost: who has these mailboxes (device id, connection id, order)."""

    held: tuple[tuple[bytes, bytes, int], ...]


@dataclass(frozen=True, slots=True)
class MailboxLeft:
    """Who had the device's mailbox on this node is gone, and may not have got what it was given last."""

    device_id: bytes


@dataclass(frozen=True, slots=True)
class DeviceRevoked:
    """The device is gone: its sockets close within a second."""

    device_id: bytes


@dataclass(frozen=True, slots=True)
class ManifestChanged:
    """The account has a new manifest: what is remembered of it is stale, its devices get a notice."""

    account_id: bytes
    version: int


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Suspension, tokens or handle of the account changed: what is remembered of it is stale."""

    account_id: bytes
    suspended: bool


@dataclass(frozen=True, slots=True)
class MailboxFilling:
    """The mailbox is nearly full, or refused an envelope: its owner gets a notice."""

    device_id: bytes
    envelopes: int
    bytes: int
    full: bool


@dataclass(frozen=True, slots=True)
class PrekeysLow:
    """`left` one-time keys of a kind (a PrekeyKind's value) remain: the device gets a notice."""

    device_id: bytes
    kind: int
    left: int


@dataclass(frozen=True, slots=True)
class LimitsSpent:
    """What was taken of rate limits and budgets: (number of the limit, who took as a 16 B keyed hash, how many).

    Nodes share these in memory only: a pair of asker and target is on no disk.
    """

    spent: tuple[tuple[int, bytes, int], ...]


@dataclass(frozen=True, slots=True)
class LogAdvanced:
    """The account's log of this name has a new end, by one of its devices: the others get a notice. Never of a group's log."""

    account_id: bytes
    name: str
    next_index: int
    by_device: bytes


@dataclass(frozen=True, slots=True)
class PushChanged:
    """The device registered anew for wakeups, or gave that up."""

    device_id: bytes


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """The configured limits changed: `ready` tells a new digest from now on."""


@dataclass(frozen=True, slots=True)
class AnnouncementsLost:
    """Those of other nodes may not have come for a while: what is remembered by them is doubtful.

    Each node tells itself, and the others what it could not say to them.
    """


Announcement: TypeAlias = (
    NewMail
    | AnnouncementsLost
    | MailboxTaken
    | MailboxesHeld
    | MailboxLeft
    | DeviceRevoked
    | ManifestChanged
    | AccountChanged
    | MailboxFilling
    | PrekeysLow
    | LimitsSpent
    | LogAdvanced
    | LimitsChanged
    | PushChanged
)
Handler: TypeAlias = Callable[[Announcement], None]


class Subscription(Protocol):
    """A handler that is listening."""

    def cancel(self) -> None:
        """It is called no more; without effect the second time."""


class Bus(Protocol):
    """Announcements reach every subscriber of every node, the own one too, in the order one publisher sent them.

    They may be lost or come twice between nodes; in one process they are neither. A node that may have lost some tells
    itself so by AnnouncementsLost, again and again as long as that lasts.
    """

    @property
    def is_connected(self) -> bool:
        """Whether the other nodes that there are by these settings can hear this one."""

    def publish(self, announcement: Announcement) -> None:
        """Enqueue; never blocks, never raises. Handlers run later, from the event loop."""

    def doubt(self) -> None:
        """Tell this node alone that it may have missed something."""

    def subscribe(self, kind: type[Announcement], handler: Handler) -> Subscription:
        """Call `handler` with each announcement of exactly this type; it must be quick, a raise in it is logged."""
