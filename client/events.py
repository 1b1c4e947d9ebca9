"""Gives an application what came, each once: messages first, then what should be told besides, then what only passes.

A row counts as given when the next one is asked for or the iteration ends, so nothing is lost if the process dies
while it is handled.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

from .errors import RelayUnreachable
from .inbox import Inbox
from .message import CaughtUp, Event, Message
from .store import history, notices
from .store.database import Database, Transaction
from .system import System

_AT_ONCE: Final = 256


async def receive_events(
    inbox: Inbox,
    worker: "asyncio.Task[None]",
    database: Database,
    system: System,
    as_message: Callable[[Transaction, history.MessageRow], Message],
    *,
    is_over: Callable[[], bool],
    until_caught_up: bool,
    patience_seconds: float | None,
) -> AsyncGenerator[Event, None]:
    """What is kept and was not given, then what comes, until `is_over`. `worker` runs the inbox; its error is raised here.

    Raises Replaced, Refused, and RelayUnreachable after `patience_seconds` without a connection, or, `until_caught_up`,
    without a word of the relay.
    """
    was_caught_up = False
    while not is_over():
        inbox.news.clear()
        is_caught_up = inbox.caught_up.is_set()
        async with aclosing(_kept(database, as_message)) as kept:
            async for event in kept:
                yield event
        while (passing := inbox.passing.take()) is not None:
            yield passing
        if is_caught_up and not was_caught_up:
            yield CaughtUp()
            if until_caught_up:
                return
        was_caught_up = is_caught_up
        if worker.done():
            if not worker.cancelled():
                worker.result()
            return
        if inbox.news.is_set():
            continue
        await _news(inbox, worker, system, patience_seconds, is_waited_for=until_caught_up)


async def _kept(
    database: Database, as_message: Callable[[Transaction, history.MessageRow], Message]
) -> AsyncGenerator[Event, None]:
    """All rows that no application took yet."""
    marks: list[asyncio.Future[None]] = []
    after_message = after_notice = 0
    try:
        while True:
            messages, others = await database.read(
                lambda tx: (
                    [
                        (row.n, as_message(tx, row))
                        for row in history.not_given(tx, after_message, _AT_ONCE)  # noqa: B023  # awaited here
                    ],
                    notices.untold(tx, after_notice, _AT_ONCE),  # noqa: B023  # awaited here
                )
            )
            if not messages and not others:
                return
            for number, message in messages:
                try:
                    yield message
                finally:
                    marks.append(database.run_soon(partial(history.mark_given, numbers=[number])))
                after_message = number
            for number, notice in others:
                try:
                    yield notice
                finally:
                    marks.append(database.run_soon(partial(notices.mark_told, numbers=[number])))
                after_notice = number
            await asyncio.gather(*marks)
            marks.clear()
    finally:
        await asyncio.gather(*marks)


async def _news(
    inbox: Inbox,
    worker: "asyncio.Task[None]",
    system: System,
    patience_seconds: float | None,
    *,
    is_waited_for: bool,
) -> None:
    """Until something is new, the worker ends, or patience does."""
    left = None
    since = inbox.heard_at if is_waited_for and inbox.lost_since is None else inbox.lost_since
    if patience_seconds is not None and since is not None:
        left = patience_seconds - (system.monotonic_seconds() - since)
        if left <= 0 and (is_waited_for or inbox.error is not None):
            raise RelayUnreachable(
                "the relay does not go on with the mailbox" if inbox.error is None else str(inbox.error)
            )
        left = max(left, 0.05)
    news = asyncio.create_task(inbox.news.wait())
    try:
        await asyncio.wait({news, worker}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
    finally:
        news.cancel()
