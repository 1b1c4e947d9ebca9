"""Every service of one relay as one value: what app.py builds, and what handlers find in the application."""

from dataclasses import dataclass

from relay.config import Current, Settings
from relay.observe.figures import Figures
from relay.observe.logs import EventLog
from relay.ports.bus import Bus
from relay.ports.clock import Clock, Randomness
from relay.ports.store import Store
from relay.session.proof import RelayKey

from .administration import Administration
from .audit import Audit
from .blobs import Blobs
from .connections import Connections
from .dashboard_logins import DashboardLogins
from .deletion import Deletion
from .devices import Devices
from .exports import Exports
from .identity import Identity
from .invites import Invites
from .key_rotation import KeyRotation
from .link_mailbox import LinkMailboxes
from .load import Load
from .long_poll import LongPoll
from .mailbox import Mailboxes
from .prekeys import Prekeys
from .push import Push
from .rate_limit import Rates
from .reach import Reach
from .recovery import Recovery
from .retention import Retention
from .roles import Roles
from .running import Running
from .sealed_logs import SealedLogs
from .transparency import Transparency
from .usage import Usage
from .vitals import Vitals
from .wakeup import Wakeup


@dataclass(frozen=True, slots=True)
class Services:
    """One relay. `origin` is the public origin that clients sign; `key` signs the relay's document."""

    current: Current
    origin: str
    key: RelayKey
    clock: Clock
    randomness: Randomness
    log: EventLog
    figures: Figures
    bus: Bus
    store: Store
    audit: Audit
    rates: Rates
    roles: Roles
    devices: Devices
    reach: Reach
    identity: Identity
    recovery: Recovery
    links: LinkMailboxes
    administration: Administration
    deletion: Deletion
    key_rotation: KeyRotation
    exports: Exports
    retention: Retention
    logins: DashboardLogins
    invites: Invites
    prekeys: Prekeys
    push: Push
    blobs: Blobs
    logs: SealedLogs
    running: Running
    wakeup: Wakeup
    mailboxes: Mailboxes
    long_poll: LongPoll
    connections: Connections
    vitals: Vitals
    usage: Usage
    load: Load
    transparency: Transparency

    @property
    def settings(self) -> Settings:
        """In effect now: SIGHUP may change them."""
        return self.current.settings
