"""A move while the relay runs: one command at a time, the moment after which the relay commits nothing, the relay's end.

The lock of the data folder stays with the relay until it ends; until then the mark keeps it from writing.
"""

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final, Protocol

from relay.adapters.data_folder import DataFolder, FolderInUse, StartRefused, open_data_folder, refusals
from relay.adapters.sqlite.connection import StoreUnusable
from relay.ports.clock import Clock

from .marks import read_mark

_TRANSACTION_SECONDS: Final = 60.0
"""More than any transaction of a relay takes."""
_RELAY_ENDS_SECONDS: Final = 90
"""It looks for the mark each second or more often, finishes what is under way, and may drain for 60 s."""
_LOOK_SECONDS: Final = 1.0
_LOOK_FOR_THE_END_SECONDS: Final = 0.2
"""Users wait meanwhile."""


@contextmanager
def only_move(path: Path) -> Iterator[None]:
    """No other command moves the relay of this folder, or abandons its move. Raises StartRefused."""
    if not path.is_dir():  # which whoever opens it tells
        yield
        return
    with refusals(path):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartRefused(
                f"{path}: another `tokenim-relay migrate` is at work here: let it end, or end it first"
            ) from error
        yield
    finally:
        os.close(folder)


def wait_for_writer(database: Path) -> None:
    """After this no commit of the relay follows, if its mark was written before. Raises StoreUnusable.

    The write lock is had once: the transaction that the relay was in is over. Each later one looks for the mark before it
    commits, while it holds that lock, finds it, and is taken back (sqlite/moving_mark.py).
    """
    try:
        with closing(
            sqlite3.connect(database, timeout=_TRANSACTION_SECONDS, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise StoreUnusable(f"{database}: {error}; run this again") from error


@asynccontextmanager
async def after_relay(path: Path, clock: Clock) -> AsyncIterator[DataFolder]:
    """The folder, once the relay that was told by the mark has ended. Raises StartRefused."""
    with ExitStack() as stack:
        for _ in range(_RELAY_ENDS_SECONDS * 5):
            try:
                folder = stack.enter_context(open_data_folder(path, create=False))
            except FolderInUse:
                await clock.sleep(0.2)
                continue
            yield folder
            return
    raise StartRefused(
        f"{path}: everything is in PostgreSQL and was compared, but the relay has not ended: stop it, run this again"
    )


class Told(Protocol):
    """Hears what becomes of the move: a log."""

    def warning(self, name: str) -> None:
        """It began, or ended without success."""

    def info(self, name: str) -> None:
        """It is over."""


async def until_moved(folder: DataFolder, clock: Clock, log: Told) -> None:
    """Return once another side has the relay of this folder; tell when a move begins, and when it was abandoned."""
    was_seen = False
    while True:
        try:
            mark = read_mark(folder)
            stands = mark is not None
        except StartRefused:  # it cannot be read: the writer commits nothing, until somebody sees to it
            mark, stands = None, True
        if stands and not was_seen:
            log.warning("being_moved")
        if mark is not None and mark.done:
            log.info("moved")
            return
        if was_seen and not stands:
            log.warning("move_abandoned")
        was_seen = stands
        await clock.sleep(_LOOK_FOR_THE_END_SECONDS if stands else _LOOK_SECONDS)
