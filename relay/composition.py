"""Every service of a relay, made over the ports that `app` opened. Opens nothing but what it keeps in memory."""

import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

from relay import __version__
from relay.adapters.data_folder import DataFolder
from relay.adapters.heads_file import DiskHeadsFile
from relay.adapters.process import ProcessReader, memory_bytes, most_connections
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.commands.operators import Commands, Live
from relay.config import Current, Settings
from relay.flow import Flow
from relay.observe.figures import Figures
from relay.observe.logs import EventLog
from relay.ports.bus import Bus
from relay.ports.clock import Clock, Randomness
from relay.ports.machine import MachineReader
from relay.ports.pusher import Pusher, PushServices
from relay.ports.store import Store
from relay.services.administration import Administration
from relay.services.audit import Audit
from relay.services.audit_watch import AuditWatch
from relay.services.blobs import Blobs
from relay.services.connection_caps import ConnectionCaps
from relay.services.connections import Connections
from relay.services.dashboard_logins import DashboardLogins
from relay.services.deletion import Deletion
from relay.services.devices import Devices
from relay.services.exports import Exports
from relay.services.housekeeping import Housekeeping
from relay.services.identity import Identity
from relay.services.invites import Invites, most_invites
from relay.services.key_rotation import KeyRotation
from relay.services.link_mailbox import LinkMailboxes
from relay.services.load import Load
from relay.services.long_poll import LongPoll
from relay.services.mailbox import Mailboxes
from relay.services.prekeys import Prekeys
from relay.services.push import Push
from relay.services.rate_limit import Rates
from relay.services.reach import Reach
from relay.services.read_only import is_read_only
from relay.services.recovery import Recovery
from relay.services.registration_work import WorkForAccounts
from relay.services.reload import digest_of
from relay.services.reserved_handles import ReservedHandles
from relay.services.retention import Retention
from relay.services.roles import Roles
from relay.services.running import Running
from relay.services.sealed_logs import SealedLogs
from relay.services.services import Services
from relay.services.shared_limits import SharedLimits
from relay.services.strangers import Strangers
from relay.services.transparency import Transparency
from relay.services.usage import Usage
from relay.services.vitals import Vitals
from relay.services.wakeup import Wakeup
from relay.session.proof import RelayKey
from relay.states import State
from relay.wire.errors import RelayError


@dataclass(frozen=True, slots=True)
class Machine:
    """What a relay takes from the machine that it runs on."""

    clock: Clock = field(default_factory=SystemClock)
    randomness: Randomness = system_randomness
    log_stream: TextIO = field(default_factory=lambda: sys.stderr)
    most_connections: int = field(default_factory=most_connections)
    reader: MachineReader | None = None
    """Of memory and disk; None: of this process, and of the disk of its data folder."""
    pushers: tuple[Pusher, ...] = ()
    """Push services beside those of the settings."""


def compose(
    settings: Settings,
    machine: Machine,
    state: State,
    bus: Bus,
    figures: Figures,
    key: RelayKey,
    origin: str,
    folder: DataFolder,
    push: PushServices,
    shared_key: bytes | None = None,
) -> Services:
    """Every service, over these ports. `shared_key`: 32 B that the nodes of a relay have alike; None: there are no others."""
    clock, randomness, store = machine.clock, machine.randomness, state.store
    log = EventLog(machine.log_stream, clock.now_ms, level=settings.log_level)
    running = Running(lambda error: log.failure("work_failed", error))
    devices = Devices(store.accounts, store.guests, bus=bus, clock=clock, origin=origin)
    reach = Reach(store.accounts, store.delivery_tokens, bus=bus, clock=clock)
    audit = Audit(store.audit, key=key, clock=clock, randomness=randomness)
    roles = Roles(settings.roles)
    identity = Identity(
        store.accounts,
        store.invites,
        audit,
        roles,
        devices=devices,
        reach=reach,
        bus=bus,
        clock=clock,
        work=WorkForAccounts(
            origin=origin,
            clock=clock,
            base_bits=settings.limits.registration_work_bits,
            an_hour=settings.registrations_an_hour,
        ),
        settings=settings,
        owner_joined=folder.forget_owner_invite,
    )
    current = Current(settings)
    wakeup = Wakeup(bus, clock)
    connections = Connections(
        devices=devices,
        roles=roles,
        store=store.mailboxes,
        wakeup=wakeup,
        running=running,
        clock=clock,
        randomness=randomness,
        figures=figures,
        limits_digest=digest_of(settings),
        caps=ConnectionCaps(settings.limits, most=machine.most_connections),
    )
    load = Load(
        machine.reader or ProcessReader(folder.path, memory_bytes()),
        figures,
        clock,
        settings.shed,
        told=lambda level: log.warning("load_level", count=int(level)),
    )
    deletion = Deletion(store, state.files, audit, bus=bus, kept_until_ms=identity.handles_kept_until_ms)
    administration = Administration(store.accounts, store.directory, deletion, roles, bus=bus)
    limits_key = shared_key or randomness(32)
    rates = Rates(settings.rates, monotonic_ms=clock.monotonic_ms, key=limits_key)
    prekeys = Prekeys(store.prekeys, bus=bus, clock=clock, key=limits_key)
    if shared_key is not None:
        SharedLimits((*prekeys.limits(), *rates.limits()), bus=bus, clock=clock)
    return Services(
        current=current,
        origin=origin,
        key=key,
        clock=clock,
        randomness=randomness,
        log=log,
        figures=figures,
        bus=bus,
        store=store,
        audit=audit,
        rates=rates,
        roles=roles,
        devices=devices,
        reach=reach,
        identity=identity,
        recovery=Recovery(store.accounts, identity, clock=clock, origin=origin),
        links=LinkMailboxes(clock),
        administration=administration,
        retention=Retention(
            store.holds,
            audit,
            administration,
            Housekeeping(
                store,
                state.files,
                clock=clock,
                failed=lambda error: log.failure("housekeeping_failed", error),
                group_log_idle_seconds=lambda: current.settings.limits.group_log_idle_seconds,
                delete_accounts=lambda: deletion.go_on(now_ms=clock.now_ms()),
            ),
            clock=clock,
            settings=lambda: current.settings,
        ),
        deletion=deletion,
        exports=Exports(store.exports, clock=clock, origin=origin, limits=lambda: current.settings.limits),
        logins=DashboardLogins(store.accounts, audit, roles, clock=clock, randomness=randomness),
        key_rotation=KeyRotation(store.sealing, clock),
        invites=Invites(
            store.invites,
            audit,
            roles,
            clock=clock,
            randomness=randomness,
            origin=origin,
            signing_key=key.public,
            most_of_account=lambda: most_invites(current.settings),
        ),
        prekeys=prekeys,
        push=Push(
            store.pushes,
            store.mailboxes,
            PushServices((*push.pushers, *machine.pushers), push.vapid_key),
            wakeup,
            settings.push,
            bus=bus,
            clock=clock,
            randomness=randomness,
            figures=figures,
            log=log,
        ),
        blobs=Blobs(store.blobs, state.files, clock=clock, randomness=randomness, settings=settings.limits),
        logs=SealedLogs(store.account_logs, store.group_logs, bus=bus, clock=clock, settings=settings.limits),
        running=running,
        wakeup=wakeup,
        mailboxes=Mailboxes(
            store.mailboxes,
            reach,
            Strangers(settings.limits, settings.rates.token, clock=clock),
            roles,
            bus=bus,
            clock=clock,
            figures=figures,
            max_ttl_seconds=settings.limits.max_ttl_seconds,
            anonymous_submit=settings.anonymous_submit,
        ),
        long_poll=LongPoll(store.mailboxes, wakeup, clock=clock, randomness=randomness),
        connections=connections,
        vitals=Vitals(store, connections, figures, clock, load),
        usage=Usage(store.usage, figures, clock=clock),
        load=load,
        transparency=Transparency(store.transparency, key=key, clock=clock),
    )


def flow_of(services: Services) -> Flow:
    """The way of each message, over these services."""
    return Flow(
        connections=services.connections,
        mailboxes=services.mailboxes,
        wakeup=services.wakeup,
        running=services.running,
        clock=services.clock,
        figures=services.figures,
    )


async def _is_being_moved(store: Store) -> bool:
    try:
        await store.check()
    except RelayError as error:
        return is_read_only(error)
    return False


def commands_of(services: Services, admin_url: str | None = None) -> Commands:
    """What operators may ask of these services, of a relay that runs."""
    live = Live(
        settings=lambda: services.settings,
        figures=services.figures,
        vitals=services.vitals,
        logins=services.logins,
        push=services.push,
        version=__version__,
        admin_url=admin_url,
        being_moved=partial(_is_being_moved, services.store),
    )
    return Commands(
        services.audit,
        services.administration,
        services.invites,
        services.transparency,
        services.key_rotation,
        services.exports,
        services.retention,
        ReservedHandles(services.store.reserved_handles, services.store.accounts),
        services.usage,
        live,
    )


def audit_watch_of(services: Services) -> AuditWatch:
    """Who verifies the audit log while the relay runs."""
    settings = services.settings.audit
    path = settings.heads_file
    return AuditWatch(
        services.store.audit,
        services.audit,
        clock=services.clock,
        log=services.log,
        figures=services.figures,
        every_seconds=settings.verify_seconds,
        keep_days=settings.keep_days,
        heads=None if path is None else DiskHeadsFile(path.expanduser().absolute()),
        held_from_ms=services.store.holds.audited_from_ms,
    )
