"""The transparency log in PostgreSQL, checked (adapters/log_check.py): beside the nodes that write it, or without any."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from relay.adapters.column_keys import ColumnKeys, NotOpened, read_keys
from relay.adapters.log_check import LogCheck, LogFault, LogVerdict, Row
from relay.ports.transparency import KnownRoot

from .database import StoreUnreachable, Transaction, open_database
from .sealing import HANDLE_KEY, ONLY_ROW

ROWS_A_PAGE: Final = 1_000


async def audit_log(url: str, heads: Sequence[KnownRoot], *, keys_file: Path, **options: Any) -> LogVerdict:
    """The verdict on the log in the database of this URL, in which nothing is changed; `heads` are earlier heads that this
    relay signed. Raises StartRefused, StoreUnreachable, Unavailable.
    """
    keys = ColumnKeys(await asyncio.to_thread(read_keys, keys_file))
    async with (
        open_database(url, keys, connections=1, **options) as database,
        database.snapshot() as snapshot,
    ):
        await snapshot.take_time()
        found = await snapshot.one("SELECT to_regclass('transparency_log') IS NOT NULL")
        if found is None or not found[0]:
            raise StoreUnreachable("there is no transparency log yet: start a node once, which begins it")
        row = await snapshot.one("SELECT log_id, handle_key, size FROM transparency_log")
        if row is None:
            raise StoreUnreachable(
                "the transparency log has lost its id and key: restore the database from a backup"
            )
        log_id, sealed, size = row
        try:
            handle_key = keys.open(HANDLE_KEY, ONLY_ROW, sealed)
        except NotOpened as error:
            raise StoreUnreachable(f"{keys_file}: {error}") from error
        check = LogCheck(_Asking(snapshot, asyncio.get_running_loop()).ask, log_id, handle_key)
        verdict = await asyncio.to_thread(check.run, heads)
    if size != verdict.leaves:
        wrong = LogFault(None, f"the log counts {size} leaves, and there are {verdict.leaves}")
        return replace(verdict, faults=(*verdict.faults, wrong))
    return verdict


class _Asking:
    """Asks for a thread, page after page, what the loop's connection reads: a million rows are never here at once."""

    def __init__(self, snapshot: Transaction, loop: asyncio.AbstractEventLoop) -> None:
        self._snapshot = snapshot
        self._loop = loop

    def ask(self, statement: str, *parameters: object) -> Iterator[Row]:
        """In the thread."""
        pages = self._snapshot.pages(statement, *parameters, rows=ROWS_A_PAGE)
        while page := asyncio.run_coroutine_threadsafe(anext(pages, None), self._loop).result():
            yield from map(tuple, page)
