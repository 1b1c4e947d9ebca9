"""Files on this machine: encrypted copies on their way out (the spool), and fetched ones, which go with their message."""

import asyncio
import shutil
from functools import partial
from pathlib import Path
from typing import Final

from .contents import ContentType, decode_file, encode_body
from .errors import UsageError
from .media import fetch_file, seal_file
from .outbox import NewMessage
from .store import acts, history, queue
from .store.database import Database
from .system import System
from .transport import Transport

_SPOOL_FOLDER: Final = "spool"
_FILES_FOLDER: Final = "files"
_SPOOL_KEPT_SECONDS: Final = 86_400


class KeptFiles:
    """The files of an account in its folder `home`."""

    def __init__(self, home: Path, database: Database, transport: Transport, system: System) -> None:
        self.spool: Final = home / _SPOOL_FOLDER
        self._folder = home / _FILES_FOLDER
        self._database = database
        self._transport = transport
        self._system = system

    async def seal(self, path: Path) -> NewMessage:
        """A file, encrypted into the spool. Raises UsageError, MediaError."""
        await asyncio.to_thread(self.spool.mkdir, mode=0o700, exist_ok=True)
        place = self.spool / self._system.random(16).hex()
        sealed = await asyncio.to_thread(seal_file, path, place, self._system.random)
        return NewMessage(
            ContentType.FILE,
            encode_body(sealed.pointer),
            spool=sealed.spool.name,
            length=sealed.length,
            sha256=sealed.pointer.ciphertext_sha256,
            file_path=str(path),
            file_sha256=sealed.plain_sha256,
        )

    async def fetch(self, number: int) -> None:
        """Get the file of a message to this machine, unless it is here. Raises UsageError, MediaError, RelayUnreachable."""
        row = await self._database.read(lambda tx: history.find(tx, number))
        if row is None or row.type != ContentType.FILE or row.deleted_at_ms is not None:
            raise UsageError("this message has no file")
        if row.file_path is not None and await asyncio.to_thread(Path(row.file_path).exists):
            return
        # By the own number: authors choose message ids, and one may choose that of another.
        folder = self._folder / str(number)
        path, sha256 = await fetch_file(
            self._transport, decode_file(row.body), folder, lambda done, total: None
        )
        await self._database.run(lambda tx: history.keep_file(tx, number, str(path), sha256))

    async def tidy(self) -> None:
        """Remove fetched files whose message was deleted, or is not here any more."""
        numbers = await asyncio.to_thread(_numbers, self._folder)
        if not numbers:
            return
        for number in await self._database.read(partial(acts.without_content, numbers=numbers)):
            await asyncio.to_thread(shutil.rmtree, self._folder / str(number), ignore_errors=True)

    async def tidy_spool(self) -> None:
        """Encrypted copies whose message was never kept (the process died in between) go."""
        needed = await self._database.read(queue.spools)
        before_seconds = self._system.now_ms() / 1_000 - _SPOOL_KEPT_SECONDS

        def tidy() -> None:
            for path in self.spool.glob("*"):
                # Another process may be at work on a young one.
                if path.name not in needed and path.stat().st_mtime < before_seconds:
                    path.unlink(missing_ok=True)

        await asyncio.to_thread(tidy)


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdecimal()]
