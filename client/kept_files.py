"""Fetched files on this machine: each in a folder of its message's row number; they go with what the message said."""

import asyncio
import shutil
from functools import partial
from pathlib import Path

from .store import acts
from .store.database import Database


async def remove_files_of_the_gone(folder: Path, database: Database) -> None:
    """Remove the fetched files of messages that were deleted, or are not here any more."""
    numbers = await asyncio.to_thread(_numbers, folder)
    if not numbers:
        return
    for number in await database.read(partial(acts.without_content, numbers=numbers)):
        await asyncio.to_thread(shutil.rmtree, folder / str(number), ignore_errors=True)


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdecimal()]
