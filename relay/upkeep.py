"""What is done to a data folder beside serving: backed up, put back, looked at. Composes adapters, for one command each."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from relay import __version__
from relay.adapters.backup.layout import Manifest
from relay.adapters.backup.making import Made, Origin, Told, make_backup
from relay.adapters.backup.restoring import restore_backup
from relay.adapters.data_folder import DataFolder, StartRefused, is_in_use, open_data_folder
from relay.adapters.doctor import folder as folder_checks
from relay.adapters.doctor import machine as machine_checks
from relay.adapters.doctor.certificate import check_tls
from relay.adapters.doctor.findings import Finding, failed, ok, warning
from relay.adapters.doctor.push import check_push
from relay.adapters.sqlite.store import StoreUnusable, open_sqlite_store
from relay.adapters.system_clock import SystemClock, system_randomness
from relay.config import ConfigInvalid, Settings, find_file, is_loopback, load_settings, split_listen
from relay.ports.clock import Clock
from relay.pushers import open_pushers
from relay.services.audit import Action, Audit
from relay.services.roles import Roles
from relay.session.proof import RelayKey
from relay.states import check_postgres, open_files, open_state, refuse_another_key, refuse_nodes
from relay.wire.audit_rows import Party
from relay.wire.errors import Unavailable


def back_up(
    settings: Settings, file: Path, *, config: Path | None, told: Told, clock: Clock | None = None
) -> Made:
    """Back up the data folder into `file`, whether a relay runs on it or not. Raises StartRefused."""
    _refuse_cluster(
        settings, "back the database up with PostgreSQL's own tools, and the two key files beside it"
    )
    path = settings.data_folder
    if not path.is_dir():
        raise StartRefused(f"{path}: there is no data folder: correct --data", exit_code=2)
    try:
        return make_backup(
            DataFolder(path),
            file.absolute(),
            Origin(__version__, (clock or SystemClock()).now_ms()),
            config=config,
            told=told,
        )
    except StoreUnusable as error:
        raise StartRefused(str(error)) from error


def put_back(settings: Settings, file: Path, *, told: Callable[[int, int], None]) -> Manifest:
    """Restore the backup into the empty data folder of the settings. Raises StartRefused."""
    _refuse_cluster(settings, "restore the database with PostgreSQL's own tools")
    with open_data_folder(settings.data_folder, restoring=True) as folder:
        bring_up = partial(_bring_up, settings)
        return asyncio.run(restore_backup(folder, file.absolute(), bring_up=bring_up, told=told))


def _refuse_cluster(settings: Settings, instead: str) -> None:
    """What is about files of a data folder has nothing to do where the state is in a database that nodes share."""
    if settings.is_cluster:
        raise StartRefused(
            f"postgres.url: this relay keeps nothing in its data folder: {instead}", exit_code=2
        )


def tell_restored(settings: Settings) -> None:
    """Note that PostgreSQL's own tools put the database back to an earlier moment. Raises StartRefused.

    Afterwards no one-time key is given twice, mailboxes go on above what clients have read, and these are told.
    """
    if not settings.is_cluster:
        raise StartRefused(
            "there is no postgres.url in the settings: `tokenim-relay restore FILE` puts a data folder back",
            exit_code=2,
        )
    with open_data_folder(settings.data_folder) as folder:
        asyncio.run(_tell_restored(settings, folder))


async def _tell_restored(settings: Settings, folder: DataFolder) -> None:
    key = RelayKey(folder.signing_seed(system_randomness, settings.relay_key_file))
    try:
        await refuse_nodes(settings)
        async with open_state(folder, settings, SystemClock()) as state:
            audit = Audit(state.store.audit, key=key, clock=SystemClock(), randomness=system_randomness)
            await refuse_another_key(audit, settings)
            await state.store.mark_restored(
                audited=audit.entry(Action.RESTORE, actor=Party.operator(os.getuid()))
            )
    except Unavailable as error:
        raise StartRefused("PostgreSQL went away in the middle: run this again") from error


async def _bring_up(settings: Settings, folder: DataFolder) -> None:
    """Of an older version or this one, the database becomes this version's; clients are told that it came back."""
    keys_file = settings.column_keys_file or _keys_file_of(folder)
    async with open_sqlite_store(folder.database, keys_file=keys_file) as store:
        key = RelayKey(folder.signing_seed(system_randomness))
        audit = Audit(store.audit, key=key, clock=SystemClock(), randomness=system_randomness)
        await store.mark_restored(audited=audit.entry(Action.RESTORE, actor=Party.operator(os.getuid())))


def _keys_file_of(folder: DataFolder) -> Path | None:
    """The one that the settings in a restored folder name: the folder that they were to be found in was empty."""
    with suppress(ConfigInvalid):  # of an earlier version, maybe: the next start says what is wrong
        file = find_file({}, folder.path)
        return load_settings(file=file, environment={}).column_keys_file
    return None


def examine(settings: Settings, clock: Clock | None = None) -> Iterator[Finding]:
    """Each check in turn, for the relay that would run with these settings, or does. Changes nothing."""
    folder = DataFolder(settings.data_folder)
    place = machine_checks.nearest_folder(folder.path)
    host, port = split_listen(settings.listen)
    yield machine_checks.check_python()
    yield machine_checks.check_sqlite(place)
    yield machine_checks.check_crypto()
    is_running = is_in_use(folder.path)
    yield machine_checks.check_listen("listen", host, port, is_running=is_running)
    if settings.admin.listen is None:
        yield ok("admin", "there is no second listener")
    else:
        yield machine_checks.check_listen(
            "admin", *split_listen(settings.admin.listen), is_running=is_running
        )
    now_ms = (clock or SystemClock()).now_ms()
    yield check_tls(settings.tls.certificate, settings.tls.key, settings.origin, now_ms)
    yield machine_checks.check_proxy(
        settings.origin,
        on_loopback=is_loopback(host),
        has_tls=settings.tls.certificate is not None,
        has_trusted=bool(settings.proxy.trusted),
    )
    yield machine_checks.check_descriptors()
    yield folder_checks.check_rights(folder)
    yield folder_checks.check_moving(folder)
    yield folder_checks.check_disk(place)
    yield folder_checks.check_clock(folder, now_ms)
    if settings.is_cluster:
        yield asyncio.run(_check_shared(settings, clock or SystemClock()))
    else:
        yield folder_checks.check_database(folder)
        yield folder_checks.check_roles(folder, Roles(settings.roles).names)
        yield folder_checks.check_keys(folder, settings.column_keys_file or folder.column_keys_file)
    yield from check_push(
        partial(
            open_pushers,
            settings.push,
            seed=_seed(folder),
            origin=settings.origin or "",
            clock=clock or SystemClock(),
            randomness=system_randomness,
        )
    )
    yield folder_checks.check_heads(settings.audit.heads_file)
    if settings.s3.bucket is None:
        yield folder_checks.check_blobs(folder)
    else:
        yield asyncio.run(_check_bucket(folder, settings))


async def _check_shared(settings: Settings, clock: Clock) -> Finding:
    """Whether the database of the nodes answers, takes writes, keeps them, and has the time that it is here."""
    try:
        doubt = await check_postgres(settings, clock)
    except (StartRefused, Unavailable) as error:
        return failed("database", str(error), "see to PostgreSQL, and to postgres.* in the settings")
    if doubt is not None:
        return warning("database", doubt, "let a time service keep the clocks of all machines")
    return ok("database", "PostgreSQL answers, takes writes, and has the time that it is here")


async def _check_bucket(folder: DataFolder, settings: Settings) -> Finding:
    """Whether the bucket of the blobs answers, and says what is in it."""
    mend = "see to S3, and to s3.* in the settings"
    try:
        async with open_files(folder, settings) as files:
            await files.list(after=b"", limit=1)
    except StartRefused as error:
        return failed("blobs", str(error), mend)
    except Unavailable as error:
        why = str(error.__cause__).strip().splitlines()[:1]
        return failed("blobs", f"the bucket {settings.s3.bucket} cannot be used: {''.join(why)}", mend)
    return ok("blobs", f"the bucket {settings.s3.bucket} answers")


def _seed(folder: DataFolder) -> bytes:
    """Of the relay's key; any other where there is none, or it cannot be read, which the check of the folder tells."""
    try:
        return folder.signing_seed(system_randomness) if folder.key_file.exists() else bytes(32)
    except StartRefused:
        return bytes(32)
