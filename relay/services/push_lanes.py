"""One lane for each push service and host: what waits for it, how much is on its way, and whether it is left alone for a while.

So a service that hangs, or a host that somebody registered to be a burden, holds up nobody else. Pure: time comes in.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from relay.ports.pusher import PushAddress

OPENS_AFTER: Final = 5
"""So many failures in a row, and the lane pauses."""
PAUSE_SECONDS: Final = 30.0
MOST_PAUSE_SECONDS: Final = 600.0
REMEMBERED_SECONDS: Final = 18_000.0
ONE_DOOR: Final = frozenset({"apns", "fcm"})
BACK_OFF_BASE: Final = 8
MOST_BACK_OFF_POWER: Final = 4  # 4,096 s


def back_off_seconds(attempts: int) -> int:
    """How long after the failed try number `attempts` (1, 2, 3 …) the next one is due: 1, 8, 64, 512, then each 4,096 s."""
    return int(BACK_OFF_BASE ** min(attempts - 1, MOST_BACK_OFF_POWER))


def share_of(lane: str, most: int) -> int:
    """How many of all that may be on their way may be so in this lane, where devices by the thousand are behind one door.

    Three eighths at a service that the settings name, so that what hangs at both of them leaves something; an eighth at
    a host that a user named.
    """
    return max(most * (3 if lane in ONE_DOOR else 1) // 8, 1)


def lane_of(address: PushAddress) -> str:
    """Of services with one door, the kind; where each user names a URL, its host, too."""
    if address.kind in ONE_DOOR:
        return address.kind
    return f"{address.kind} {urlsplit(address.target).hostname}"


@dataclass(slots=True)
class Lane:
    """One service or host. `paused_until` is a monotonic time in seconds."""

    waiting: deque[bytes] = field(default_factory=deque)
    active: int = 0
    failures: int = 0
    paused_until: float = 0.0
    failed_at: float = 0.0

    def room(self, now: float, most: int) -> int:
        """How many may begin now; after a pause one alone, to see."""
        if now < self.paused_until:
            return 0
        return max((1 if self.failures >= OPENS_AFTER else most) - self.active, 0)

    def failed(self, now: float) -> None:
        """The service did not answer as one that works."""
        self.failures += 1
        self.failed_at = now
        if self.failures >= OPENS_AFTER and now >= self.paused_until:
            pause = PAUSE_SECONDS * 2 ** min(self.failures - OPENS_AFTER, 10)
            self.paused_until = now + min(pause, MOST_PAUSE_SECONDS)

    def answered(self) -> None:
        """It works."""
        self.failures = 0
        self.paused_until = 0.0

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing to be remembered of it."""
        is_long_ago = not self.failures or now >= self.failed_at + REMEMBERED_SECONDS
        return is_long_ago and not (self.waiting or self.active)


def is_paused(lane: Lane, now: float) -> bool:
    """Whether it is left alone at the moment."""
    return lane.failures >= OPENS_AFTER and now < lane.paused_until
