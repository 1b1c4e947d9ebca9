"""The composition root: chooses adapters, opens them in order, serves, and closes all in reverse.

Nothing else knows which store, bus or file system is behind a port. `composition` makes the services over them.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.moving.running import until_moved
from relay.adapters.push.signed_tokens import PushKeyUnusable
from relay.adapters.tls_files import TlsFiles, TlsUnusable, look, open_watch
from relay.buses import open_bus
from relay.commands.operators import Commands
from relay.composition import Machine, audit_watch_of, commands_of, compose, flow_of
from relay.config import Settings, changes_between, split_listen
from relay.control.channel import open_control
from relay.observe.figures import Figures
from relay.observe.logs import EventLog, take_library_records
from relay.ports.clock import Clock
from relay.pushers import open_pushers
from relay.services.administration import Administration
from relay.services.audit import Action, Audit
from relay.services.audit_watch import open_audit_watch
from relay.services.beside import beside
from relay.services.deletion import Deletion
from relay.services.exports import Exports
from relay.services.housekeeping import Housekeeping, open_housekeeping
from relay.services.identity import kept_until_ms
from relay.services.invites import Invites
from relay.services.key_rotation import KeyRotation
from relay.services.other_nodes import OtherNodes, open_other_nodes
from relay.services.push import open_push
from relay.services.read_only import is_read_only
from relay.services.reload import apply
from relay.services.reserved_handles import ReservedHandles
from relay.services.retention import Retention
from relay.services.roles import Roles
from relay.services.services import Services
from relay.services.transparency import Transparency
from relay.services.usage import Usage
from relay.services.vitals import open_samples, open_vitals
from relay.session.proof import RelayKey
from relay.states import OpenState, open_state, refuse_another_key
from relay.web.admin import make_admin_application
from relay.web.server import CannotListen, listening, make_application, open_server, url_of
from relay.wire import limits
from relay.wire.audit_rows import RELAY
from relay.wire.errors import MalformedRequest, RelayError
from relay.wire.links import InviteLink


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay that runs: where it listens, what can be asked of it, and the owner invite as long as nobody has used it."""

    url: str
    services: Services
    owner_invite: InviteLink | None
    commands: Commands
    tls: TlsFiles | None = None
    admin_url: str | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once PostgreSQL has what this relay kept in its folder: it can write no more, and should end."""

    async def reload(self, wanted: Settings) -> None:
        """Bring these settings into effect as far as that goes without a restart; look at the TLS files and the key file, too."""
        log, changes = self.services.log, changes_between(self.services.settings, wanted)
        apply(self.services, changes.settings)
        log.info("settings_reloaded", changed=changes.reloaded)
        if changes.waiting:
            log.warning("settings_need_restart", changed=changes.waiting)
        reloaded = self.services.audit.by_relay(Action.CONFIG_RELOAD, detail=str(len(changes.reloaded)))
        await self.services.audit.record(reloaded)
        if self.tls is not None:
            await look(self.tls, log)
        try:
            await self.services.store.sealing.reload()
        except RelayError as error:
            log.warning("key_file_refused", reason=str(error))

    async def reload_refused(self, reason: str) -> None:
        """Settings that cannot be used change nothing: the log says why, the audit log that somebody tried."""
        audit = self.services.audit
        await audit.record(audit.entry(Action.CONFIG_RELOAD, actor=RELAY, outcome=MalformedRequest.code))
        self.services.log.warning("settings_refused", reason=reason)


def _failing(services: Services, name: str) -> Callable[[BaseException], None]:
    """What is told of a chore that failed, which is tried again; that the relay is being moved is told once, elsewhere."""

    def failed(error: BaseException) -> None:
        if not is_read_only(error):
            services.log.failure(name, error)

    return failed


async def _note_use(services: Services) -> None:
    """Who is connected, then how many were here and what was accepted."""
    await services.connections.note_present()
    await services.usage.count()


def _derived(seed: bytes, purpose: bytes, length: int) -> bytes:
    """A secret that all nodes of a relay have alike without telling each other: from the seed of its signing key."""
    return hashlib.blake2b(key=seed, person=purpose, digest_size=length).digest()


async def _owner_invite(folder: DataFolder, services: Services, seed: bytes) -> InviteLink | None:
    """The invite that makes the owner, until it is used: the same at each start, and on each node."""
    if services.settings.is_cluster:
        if await services.store.accounts.accounts_count():
            return None
        secret = _derived(seed, b"owner-invite", limits.INVITE_SECRET_BYTES)
        return services.invites.link(secret) if await services.invites.ensure_owner(secret) else None
    if await services.store.accounts.accounts_count() and not folder.owner_invite_file.exists():
        return None
    secret = folder.owner_invite(services.randomness)
    if await services.invites.ensure_owner(secret):
        return services.invites.link(secret)
    folder.forget_owner_invite()
    return None


async def _tell_moved(folder: DataFolder, clock: Clock, log: EventLog, moved: asyncio.Event) -> None:
    await until_moved(folder, clock, log)
    moved.set()


@asynccontextmanager
async def open_relay(
    settings: Settings,
    folder: DataFolder,
    machine: Machine | None = None,
    *,
    open_state: OpenState = open_state,
) -> AsyncIterator[Relay]:
    """A relay on an opened data folder, serving until the block ends, drained then. Raises StartRefused."""
    machine = machine or Machine()
    host, port = split_listen(settings.listen)
    tls = tls_of(settings)
    async with AsyncExitStack() as stack:
        try:
            listener = stack.enter_context(listening(host, port))
            admin = settings.admin.listen
            admin_listener = (
                stack.enter_context(listening(*split_listen(admin), option="--admin-listen"))
                if admin
                else None
            )
        except CannotListen as error:
            raise StartRefused(str(error), exit_code=2) from error
        url = url_of(listener, "https" if tls else "http")
        seed = folder.signing_seed(machine.randomness, settings.relay_key_file)
        key = RelayKey(seed)
        state = await stack.enter_async_context(open_state(folder, settings, machine.clock))
        figures = Figures()
        bus = await stack.enter_async_context(open_bus(settings, machine.clock, machine.randomness, figures))
        origin = settings.origin or url
        try:
            push = await stack.enter_async_context(
                open_pushers(
                    settings.push,
                    seed=seed,
                    origin=origin,
                    clock=machine.clock,
                    randomness=machine.randomness,
                )
            )
        except PushKeyUnusable as error:
            raise StartRefused(str(error), exit_code=2) from error
        shared_key = _derived(seed, b"limits", 32) if settings.is_cluster else None
        services = compose(settings, machine, state, bus, figures, key, origin, folder, push, shared_key)
        await refuse_another_key(services.audit, settings)
        stack.callback(take_library_records(services.log))
        serves = settings.serves_clients
        if serves:  # what nobody does here is not counted, nor who is here
            stack.push_async_callback(services.usage.finish)
        invite = await _owner_invite(folder, services, seed) if serves else None
        folder.remember_origin(services.origin)
        await stack.enter_async_context(
            open_server(
                make_application(services, flow_of(services)),
                listener,
                drain_seconds=settings.drain_seconds,
                tls=tls.context if tls else None,
            )
        )
        admin_url = url_of(admin_listener, "https" if tls else "http") if admin_listener else None
        commands = commands_of(services, admin_url if serves else None)
        if admin_listener is not None:
            if serves:  # for the dashboard
                await stack.enter_async_context(
                    open_samples(services.vitals, lambda error: services.log.failure("samples_failed", error))
                )
            await stack.enter_async_context(
                open_server(
                    make_admin_application(services, commands),
                    admin_listener,
                    drain_seconds=settings.drain_seconds,
                    tls=tls.context if tls else None,
                )
            )
        if settings.is_cluster and serves:
            nodes = OtherNodes(
                state.store.mailboxes, services.wakeup, services.connections, bus=bus, clock=machine.clock
            )
            await stack.enter_async_context(
                open_other_nodes(nodes, lambda error: services.log.failure("look_failed", error))
            )
        if state.watching is not None:
            await stack.enter_async_context(
                state.watching(bus, lambda error: services.log.failure("look_failed", error))
            )
        await stack.enter_async_context(open_vitals(services.vitals))
        await stack.enter_async_context(
            open_housekeeping(
                state.store,
                state.files,
                state.leadership,
                clock=machine.clock,
                failed=_failing(services, "housekeeping_failed"),
                group_log_idle_seconds=lambda: services.settings.limits.group_log_idle_seconds,
                note_present=partial(_note_use, services) if serves else None,
                delete_accounts=lambda: services.deletion.go_on(now_ms=services.clock.now_ms()),
                end_holds=services.retention.end_lapsed,
            )
        )
        await stack.enter_async_context(
            open_push(services.push, state.leadership, _failing(services, "push_failed"))
        )
        if tls is not None:
            await stack.enter_async_context(open_watch(tls, machine.clock, services.log))
        await stack.enter_async_context(
            open_audit_watch(
                audit_watch_of(services), state.leadership, _failing(services, "audit_watch_failed")
            )
        )
        await stack.enter_async_context(open_control(folder.path, commands, services.log))
        moved = asyncio.Event()
        if not settings.is_cluster:
            await stack.enter_async_context(
                beside(_tell_moved(folder, machine.clock, services.log, moved), "moving")
            )
        services.log.info("started", url=url)
        yield Relay(url, services, invite, commands, tls, admin_url, moved)
        services.log.info("stopping")


@asynccontextmanager
async def open_commands(
    settings: Settings, folder: DataFolder, machine: Machine | None = None
) -> AsyncIterator[Commands]:
    """The commands on a data folder that no relay runs on; its lock is the caller's. Raises StartRefused."""
    machine = machine or Machine()
    key = RelayKey(folder.signing_seed(machine.randomness, settings.relay_key_file))
    async with (
        open_bus(settings, machine.clock, machine.randomness, Figures()) as bus,
        open_state(folder, settings, machine.clock) as state,
    ):
        host, port = split_listen(settings.listen)
        scheme = "https" if settings.speaks_tls else "http"
        origin = settings.origin or folder.remembered_origin() or f"{scheme}://{host}:{port}"
        audit = Audit(state.store.audit, key=key, clock=machine.clock, randomness=machine.randomness)
        await refuse_another_key(audit, settings)
        roles = Roles(settings.roles)
        kept_until = partial(kept_until_ms, machine.clock, settings.limits.handle_kept_seconds)
        deletion = Deletion(state.store, state.files, audit, bus=bus, kept_until_ms=kept_until)
        administration = Administration(state.store.accounts, state.store.directory, deletion, roles, bus=bus)
        yield Commands(
            audit,
            administration,
            Invites(
                state.store.invites,
                audit,
                roles,
                clock=machine.clock,
                randomness=machine.randomness,
                origin=origin,
                signing_key=key.public,
                most_of_account=lambda: 0,  # an account asks a relay that runs
            ),
            Transparency(state.store.transparency, key=key, clock=machine.clock),
            KeyRotation(state.store.sealing, machine.clock),
            Exports(state.store.exports, clock=machine.clock, origin=origin, limits=lambda: settings.limits),
            Retention(
                state.store.holds,
                audit,
                administration,
                Housekeeping(
                    state.store,
                    state.files,
                    clock=machine.clock,
                    failed=lambda error: None,
                    group_log_idle_seconds=lambda: settings.limits.group_log_idle_seconds,
                ),
                clock=machine.clock,
                settings=lambda: settings,
            ),
            ReservedHandles(state.store.reserved_handles, state.store.accounts),
            Usage(state.store.usage, Figures(), clock=machine.clock),
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
