"""What is done to a data folder beside serving: backed up, put back. Composes adapters as `relay.app` does, for one command."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from relay import __version__
from relay.adapters.backup.layout import Manifest
from relay.adapters.backup.making import Made, Origin, Told, make_backup
from relay.adapters.backup.restoring import restore_backup
from relay.adapters.data_folder import DataFolder, StartRefused, open_data_folder
from relay.adapters.sqlite.store import StoreUnusable, open_sqlite_store
from relay.adapters.system_clock import SystemClock
from relay.app import data_folder_of
from relay.config import Settings
from relay.ports.clock import Clock


def back_up(
    settings: Settings, file: Path, *, config: Path | None, told: Told, clock: Clock | None = None
) -> Made:
    """Back up the data folder into `file`, whether a relay runs on it or not. Raises StartRefused."""
    path = data_folder_of(settings)
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
    with open_data_folder(data_folder_of(settings), restoring=True) as folder:
        return asyncio.run(restore_backup(folder, file.absolute(), bring_up=_bring_up, told=told))


async def _bring_up(database: Path) -> None:
    """Of an older version or this one, the database becomes this version's; clients are told that it came back."""
    async with open_sqlite_store(database) as store:
        await store.mark_restored()
