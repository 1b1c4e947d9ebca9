"""A device that just came in takes the mailbox until another own one has told it everything."""

import asyncio
from typing import Final

from client.inbox import Inbox
from client.store import facts
from client.store.database import Database

_WITHIN_SECONDS: Final = 8.0


async def hear_everything(inbox: Inbox, worker: "asyncio.Task[None]", database: Database) -> None:
    """Return when it was told, the worker that takes the mailbox ends, or a few seconds are over: it goes on later."""
    try:
        async with asyncio.timeout(_WITHIN_SECONDS):
            while not await database.read(lambda tx: facts.number(tx, facts.HANDED_OVER)):
                news = asyncio.ensure_future(inbox.news.wait())
                await asyncio.wait({news, worker}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if worker.done():
                    return
                inbox.news.clear()
    except TimeoutError:
        return
