"""The composition root: chooses adapters, opens them in order, makes the services, serves, and closes all in reverse.

Nothing else knows which store, bus or file system is behind a port.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO, TypeAlias

from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.disk_blobs import open_disk_blobs
from relay.adapters.heads_file import DiskHeadsFile
from relay.adapters.memory.store import open_memory_store
from relay.adapters.memory_bus import open_memory_bus
from relay.adapters.sqlite.store import StoreUnusable, open_sqlite_store
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.adapters.tls_files import TlsFiles, TlsUnusable, look, open_watch
from relay.config import Current, Settings, changes_between, split_listen
from relay.control.channel import open_control
from relay.control.commands import Commands
from relay.flow import Flow
from relay.observe.figures import Figures
from relay.observe.logs import EventLog, take_library_records
from relay.ports.blob_files import BlobFiles
from relay.ports.bus import Bus
from relay.ports.clock import Clock, Randomness
from relay.ports.store import Store
from relay.services.administration import Administration
from relay.services.audit import Action, Audit
from relay.services.audit_watch import AuditWatch, open_audit_watch
from relay.services.blobs import Blobs
from relay.services.connections import Connections
from relay.services.deletion import Deletion
from relay.services.devices import Devices
from relay.services.housekeeping import open_housekeeping
from relay.services.identity import Identity, kept_until_ms
from relay.services.invites import Invites
from relay.services.link_mailbox import LinkMailboxes
from relay.services.long_poll import LongPoll
from relay.services.mailbox import Mailboxes
from relay.services.prekeys import Prekeys
from relay.services.rate_limit import Rates
from relay.services.reach import Reach
from relay.services.recovery import Recovery
from relay.services.registration_work import WorkForAccounts
from relay.services.reload import apply, digest_of, quotas_of
from relay.services.running import Running
from relay.services.sealed_logs import SealedLogs
from relay.services.services import Services
from relay.services.strangers import Strangers
from relay.services.transparency import Transparency
from relay.services.vitals import Vitals, open_vitals
from relay.services.wakeup import Wakeup
from relay.session.proof import RelayKey
from relay.web.admin import make_admin_application
from relay.web.server import CannotListen, listening, make_application, open_server, url_of
from relay.wire.audit_rows import RELAY
from relay.wire.errors import MalformedRequest
from relay.wire.links import InviteLink


@dataclass(frozen=True, slots=True)
class Machine:
    """What a relay takes from the machine that it runs on."""

    clock: Clock = field(default_factory=SystemClock)
    randomness: Randomness = system_randomness
    log_stream: TextIO = field(default_factory=lambda: sys.stderr)


@dataclass(frozen=True, slots=True)
class State:
    """What a relay keeps."""

    store: Store
    files: BlobFiles


OpenState: TypeAlias = Callable[[DataFolder, Settings, Clock], AbstractAsyncContextManager[State]]


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay that runs: where it listens, and the owner invite as long as nobody has used it."""

    url: str
    services: Services
    owner_invite: InviteLink | None
    tls: TlsFiles | None = None
    admin_url: str | None = None

    async def reload(self, wanted: Settings) -> None:
        """Bring these settings into effect as far as that goes without a restart; look at the TLS files, too."""
        log, changes = self.services.log, changes_between(self.services.settings, wanted)
        apply(self.services, changes.settings)
        log.info("settings_reloaded", changed=changes.reloaded)
        if changes.waiting:
            log.warning("settings_need_restart", changed=changes.waiting)
        reloaded = self.services.audit.by_relay(Action.CONFIG_RELOAD, detail=str(len(changes.reloaded)))
        await self.services.audit.record(reloaded)
        if self.tls is not None:
            await look(self.tls, log)

    async def reload_refused(self, reason: str) -> None:
        """Settings that cannot be used change nothing: the log says why, the audit log that somebody tried."""
        audit = self.services.audit
        await audit.record(audit.entry(Action.CONFIG_RELOAD, actor=RELAY, outcome=MalformedRequest.code))
        self.services.log.warning("settings_refused", reason=reason)


@asynccontextmanager
async def open_sqlite_state(folder: DataFolder, settings: Settings, clock: Clock) -> AsyncIterator[State]:
    """SQLite and blob files under the data folder; raises StartRefused."""
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(
                open_sqlite_store(folder.database, quotas=quotas_of(settings))
            )
            files = await stack.enter_async_context(open_disk_blobs(folder.blobs))
        except StoreUnusable as error:
            raise StartRefused(str(error)) from error
        yield State(store, files)


@asynccontextmanager
async def open_memory_state(folder: DataFolder, settings: Settings, _clock: Clock) -> AsyncIterator[State]:
    """A store that forgets at the end, for tests of clients; blobs are files all the same."""
    async with open_memory_store(quotas=quotas_of(settings)) as store, open_disk_blobs(folder.blobs) as files:
        yield State(store, files)


def compose(
    settings: Settings,
    machine: Machine,
    state: State,
    bus: Bus,
    key: RelayKey,
    origin: str,
    folder: DataFolder,
) -> Services:
    """Every service, over these ports."""
    clock, randomness, store = machine.clock, machine.randomness, state.store
    log = EventLog(machine.log_stream, clock.now_ms, level=settings.log_level)
    figures = Figures()
    running = Running(lambda error: log.failure("work_failed", error))
    devices = Devices(store.accounts, bus=bus, clock=clock, origin=origin)
    reach = Reach(store.accounts, store.delivery_tokens, bus=bus, clock=clock)
    audit = Audit(store.audit, key=key, clock=clock, randomness=randomness)
    identity = Identity(
        store.accounts,
        audit,
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
        policy=settings.registration,
        handle_kept_seconds=settings.limits.handle_kept_seconds,
        owner_joined=folder.forget_owner_invite,
    )
    wakeup = Wakeup(bus)
    connections = Connections(
        devices=devices,
        store=store.mailboxes,
        wakeup=wakeup,
        running=running,
        clock=clock,
        randomness=randomness,
        figures=figures,
        limits_digest=digest_of(settings),
    )
    deletion = Deletion(store, state.files, audit, bus=bus, kept_until_ms=identity.handles_kept_until_ms)
    return Services(
        current=Current(settings),
        origin=origin,
        key=key,
        clock=clock,
        randomness=randomness,
        log=log,
        figures=figures,
        bus=bus,
        store=store,
        audit=audit,
        rates=Rates(settings.rates, monotonic_ms=clock.monotonic_ms, randomness=randomness),
        devices=devices,
        reach=reach,
        identity=identity,
        recovery=Recovery(store.accounts, identity, clock=clock, origin=origin),
        links=LinkMailboxes(clock),
        administration=Administration(store.accounts, store.directory, deletion, bus=bus),
        deletion=deletion,
        invites=Invites(
            store.invites, audit, clock=clock, randomness=randomness, origin=origin, signing_key=key.public
        ),
        prekeys=Prekeys(store.prekeys, bus=bus, clock=clock, randomness=randomness),
        blobs=Blobs(store.blobs, state.files, clock=clock, randomness=randomness, settings=settings.limits),
        logs=SealedLogs(store.account_logs, store.group_logs, bus=bus, clock=clock, settings=settings.limits),
        running=running,
        wakeup=wakeup,
        mailboxes=Mailboxes(
            store.mailboxes,
            reach,
            Strangers(settings.limits, settings.rates.token, clock=clock),
            bus=bus,
            clock=clock,
            figures=figures,
            max_ttl_seconds=settings.limits.max_ttl_seconds,
            anonymous_submit=settings.anonymous_submit,
        ),
        long_poll=LongPoll(store.mailboxes, wakeup, clock=clock, randomness=randomness),
        connections=connections,
        vitals=Vitals(store, connections, figures, clock),
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


def commands_of(services: Services) -> Commands:
    """What operators may ask of these services."""
    return Commands(services.audit, services.administration, services.invites, services.transparency)


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
    )


async def _owner_invite(folder: DataFolder, services: Services) -> InviteLink | None:
    """The invite that makes the owner, until it is used: the same at each start."""
    if await services.store.accounts.accounts_count() and not folder.owner_invite_file.exists():
        return None
    secret = folder.owner_invite(services.randomness)
    if await services.invites.ensure_owner(secret):
        return services.invites.link(secret)
    folder.forget_owner_invite()
    return None


@asynccontextmanager
async def open_relay(
    settings: Settings,
    folder: DataFolder,
    machine: Machine | None = None,
    *,
    open_state: OpenState = open_sqlite_state,
) -> AsyncIterator[Relay]:
    """A relay on an opened data folder, serving until the block ends, drained then. Raises StartRefused."""
    machine = machine or Machine()
    host, port = split_listen(settings.listen)
    tls = tls_of(settings)
    async with AsyncExitStack() as stack:
        try:
            listener = stack.enter_context(listening(host, port))
            admin = settings.admin.listen
            admin_listener = stack.enter_context(listening(*split_listen(admin))) if admin else None
        except CannotListen as error:
            raise StartRefused(str(error), exit_code=2) from error
        url = url_of(listener, "https" if tls else "http")
        key = RelayKey(folder.signing_seed(machine.randomness))
        state = await stack.enter_async_context(open_state(folder, settings, machine.clock))
        bus = await stack.enter_async_context(open_memory_bus())
        services = compose(settings, machine, state, bus, key, settings.origin or url, folder)
        stack.callback(take_library_records(services.log))
        invite = await _owner_invite(folder, services)
        folder.remember_origin(services.origin)
        await stack.enter_async_context(
            open_server(
                make_application(services, flow_of(services)),
                listener,
                drain_seconds=settings.drain_seconds,
                tls=tls.context if tls else None,
            )
        )
        if admin_listener is not None:
            await stack.enter_async_context(
                open_server(
                    make_admin_application(services),
                    admin_listener,
                    drain_seconds=settings.drain_seconds,
                    tls=tls.context if tls else None,
                )
            )
        await stack.enter_async_context(open_vitals(services.vitals))
        await stack.enter_async_context(
            open_housekeeping(
                state.store,
                state.files,
                clock=machine.clock,
                failed=lambda error: services.log.failure("housekeeping_failed", error),
                group_log_idle_seconds=lambda: services.settings.limits.group_log_idle_seconds,
                note_present=services.connections.note_present,
                delete_accounts=services.deletion.resume,
            )
        )
        if tls is not None:
            await stack.enter_async_context(open_watch(tls, machine.clock, services.log))
        await stack.enter_async_context(
            open_audit_watch(
                audit_watch_of(services), lambda error: services.log.failure("audit_watch_failed", error)
            )
        )
        await stack.enter_async_context(open_control(folder.path, commands_of(services), services.log))
        services.log.info("started", url=url)
        admin_url = url_of(admin_listener, "https" if tls else "http") if admin_listener else None
        yield Relay(url, services, invite, tls, admin_url)
        services.log.info("stopping")


@asynccontextmanager
async def open_commands(
    settings: Settings, folder: DataFolder, machine: Machine | None = None
) -> AsyncIterator[Commands]:
    """The commands on a data folder that no relay runs on; its lock is the caller's. Raises StartRefused."""
    machine = machine or Machine()
    key = RelayKey(folder.signing_seed(machine.randomness))
    async with open_memory_bus() as bus, open_sqlite_state(folder, settings, machine.clock) as state:
        host, port = split_listen(settings.listen)
        scheme = "https" if settings.speaks_tls else "http"
        origin = settings.origin or folder.remembered_origin() or f"{scheme}://{host}:{port}"
        audit = Audit(state.store.audit, key=key, clock=machine.clock, randomness=machine.randomness)
        yield Commands(
            audit,
            Administration(
                state.store.accounts,
                state.store.directory,
                Deletion(
                    state.store,
                    state.files,
                    audit,
                    bus=bus,
                    kept_until_ms=partial(kept_until_ms, machine.clock, settings.limits.handle_kept_seconds),
                ),
                bus=bus,
            ),
            Invites(
                state.store.invites,
                audit,
                clock=machine.clock,
                randomness=machine.randomness,
                origin=origin,
                signing_key=key.public,
            ),
            Transparency(state.store.transparency, key=key, clock=machine.clock),
        )


def tls_of(settings: Settings) -> TlsFiles | None:
    """The certificate and key, read; None without TLS. Raises StartRefused."""
    certificate, key = settings.tls.certificate, settings.tls.key
    if certificate is None or key is None:
        return None
    try:
        return TlsFiles(certificate.expanduser().absolute(), key.expanduser().absolute())
    except TlsUnusable as error:
        raise StartRefused(f"tls.certificate, tls.key: {error}", exit_code=2) from error
