"""Work that goes on beside a block, and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

from relay.ports.leadership import Leadership, Work


@asynccontextmanager
async def beside(work: Coroutine[object, object, None], name: str) -> AsyncIterator[None]:
    """`work`, as a task of this name, until the block ends. What ends it before is raised then."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def while_leading(
    leadership: Leadership, work: Work, run: Callable[[], Coroutine[object, object, None]]
) -> None:
    """`run` whenever this process is the one that does the work; ended when another is. Until cancelled."""
    while True:
        await leadership.until_leading(work)
        running = asyncio.ensure_future(run())
        lost = asyncio.ensure_future(leadership.until_lost(work))
        try:
            await asyncio.wait((running, lost), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()  # it goes on for ever, unless there is a bug: then that is told
        finally:
            for task in (running, lost):
                task.cancel()
            await asyncio.gather(running, lost, return_exceptions=True)
