"""The clock, the timers and the randomness of this machine: the one place of the client that touches them."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """The moments at which a test stops the process, to see that nothing is lost or doubled."""

    DRAFTED = "drafted"  # a message is kept, not encrypted
    ENCRYPTED = "encrypted"  # in the transaction: the envelope is finished, nothing is committed
    ENCRYPTION_COMMITTED = "encryption-committed"  # state and envelope are kept, the network has seen nothing
    SUBMITTED = "submitted"  # the envelope is with the relay, its answer is not here
    ACCEPTED = "accepted"  # the answer is here, not kept
    DECRYPTED = "decrypted"  # in the transaction: the plaintext is there, nothing is committed
    DECRYPTION_COMMITTED = "decryption-committed"  # plaintext and state are kept, the ack is not sent
    ACKNOWLEDGED = "acknowledged"
    JOINING_KEPT = "joining-kept"  # a new device has kept its keys, its manager has not heard the user's yes
    JOINING_CONFIRMED = "joining-confirmed"  # … has heard it
    PREKEYS_UP = "prekeys-up"  # the new device can be written to, and does not know that it is in
    LINK_ANSWERED = "link-answered"  # the manager's answer is in the link's mailbox
    RESTORE_KEPT = "restore-kept"  # a device that comes in by the words has kept its keys
    BACKED_UP = "backed-up"  # a backup is whole in the log, the one before it is still there
    ARCHIVED = "archived"  # an entry is in the log of the history archive, the store does not know that
    MANIFEST_TAKEN = "manifest-taken"  # the relay has the list with the new device
    COMMIT_PREPARED = "commit-prepared"  # in the transaction: a group's commit is finished, nothing is kept
    COMMIT_HANDED_OUT = "commit-handed-out"  # those who may commit have its secret, the log has nothing yet
    COMMIT_APPENDED = "commit-appended"  # the log has it, nothing of that is kept here
    COMMIT_KEPT = "commit-kept"  # kept here, the other members are not told yet
    REACH_BEGUN = "reach-begun"  # an own delivery token is to be changed; the relay knows nothing of it
    REACH_REGISTERED = "reach-registered"  # the relay has the new one, the store does not know that
    REACH_TOLD = "reach-told"  # it is the own one, and those who shall use it are on their way to hear of it
    REACH_ENDED = "reach-ended"  # the relay knows when the old one ends, the store does not know that


def _pass_by(step: Step) -> None:
    """The product stops at no step."""


@dataclass(frozen=True, slots=True)
class System:
    """What the client takes from its machine; tests bring their own.

    `now_ms`: milliseconds since 1970 UTC. `monotonic_seconds`: for intervals. `random`: that many random bytes.
    `sleep`: waits seconds. `reached`: told at each Step, on whatever thread it happens.
    """

    now_ms: Callable[[], int]
    monotonic_seconds: Callable[[], float]
    random: Callable[[int], bytes]
    sleep: Callable[[float], Awaitable[None]]
    reached: Callable[[Step], None] = _pass_by


def this_machine(reached: Callable[[Step], None] = _pass_by) -> System:
    """The real one."""
    return System(
        now_ms=lambda: time.time_ns() // 1_000_000,
        monotonic_seconds=time.monotonic,
        random=os.urandom,
        sleep=asyncio.sleep,
        reached=reached,
    )
