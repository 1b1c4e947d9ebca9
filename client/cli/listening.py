"""`tokenim listen`: prints what comes."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing

from client.client import Client
from client.errors import ClientError, FileDamaged, FileUnavailable, Refused, RelayUnreachable
from client.message import CaughtUp, Event, Message
from client.message_acts import Acted, ActKind
from client.passing_events import Presence, Typing
from client.reconnect import Backoff

from .output import Output, code_of, one_line
from .place import Place
from .work import open_client, plain_event, this_system

CATCH_UP_PATIENCE_SECONDS = 30.0
FILE_PATIENCE_SECONDS = 30.0


async def listen(
    place: Place,
    out: Output,
    until_caught_up: bool,
    patience_seconds: float | None,
    *,
    events: bool,
    own: bool,
) -> None:
    """Print what comes until told to stop, by Ctrl-C or SIGTERM, or until caught up."""
    if patience_seconds is None and until_caught_up:
        patience_seconds = CATCH_UP_PATIENCE_SECONDS
    await until_stopped(print_events(place, out, until_caught_up, patience_seconds, events=events, own=own))


async def until_stopped(work: Coroutine[object, object, None]) -> None:
    """Run it until told to stop, by Ctrl-C or SIGTERM, which is no failure."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def print_events(
    place: Place,
    out: Output,
    until_caught_up: bool,
    patience_seconds: float | None,
    *,
    events: bool,
    own: bool,
) -> None:
    """Print what comes, until caught up or cancelled."""
    async with open_client(place) as client:
        if not out.as_json and not until_caught_up:
            out.warn(
                f"listening as {one_line(client.whoami().handle or client.whoami().account)}; Ctrl-C stops"
            )
        async for event in _events(client, until_caught_up, patience_seconds):
            if isinstance(event, Message):
                if event.outgoing and not own:
                    continue
                event = await _fetched(event, out, patience_seconds)
            elif not events and _is_for_programs(event):
                continue
            out.shown(event, plain_event(event))
            sys.stdout.flush()


async def _events(
    client: Client, until_caught_up: bool, patience_seconds: float | None
) -> AsyncGenerator[Event, None]:
    """What comes. Caught up is who has also heard what the logs of groups say to what came."""
    iteration = client.events(until_caught_up=until_caught_up, patience_seconds=patience_seconds)
    async with aclosing(iteration):
        async for event in iteration:
            if not (until_caught_up and isinstance(event, CaughtUp)):
                yield event
    if until_caught_up:
        await client.settle()
        iteration = client.events(until_caught_up=True, patience_seconds=patience_seconds)
        async with aclosing(iteration):
            async for event in iteration:
                yield event


def _is_for_programs(event: Event) -> bool:
    """What is printed only if asked for: nobody has to act on it."""
    if isinstance(event, Acted):
        return event.kind in (ActKind.DELIVERED, ActKind.READ)
    return isinstance(event, CaughtUp | Typing | Presence)


async def _fetched(message: Message, out: Output, patience_seconds: float | None) -> Message:
    """With its file on this machine; one that is gone, damaged or out of reach is told, and the message shown without.

    What strangers send is not fetched: they could fill the disk. What comes after a file waits for it, so not for ever.
    """
    if message.file is None or message.file.path is not None or message.contact_request:
        return message
    system = this_system()
    backoff = Backoff(system.random)
    patience = FILE_PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    end = system.monotonic_seconds() + patience
    while True:
        try:
            return await message.fetch()
        except (FileUnavailable, FileDamaged) as error:
            failure: ClientError = error
            break
        except (RelayUnreachable, Refused) as error:
            failure = error
            wait = backoff.next_seconds(error.retry_after_ms / 1_000 if isinstance(error, Refused) else 0.0)
            is_final = isinstance(error, Refused) and not error.retryable
            if is_final or system.monotonic_seconds() + wait > end:
                break
        await system.sleep(wait)
    out.warn(f"{code_of(failure)}: the file {message.file.name} of message {message.id}: {failure}")
    return message
