"""A relay that serves something else for a file, part of it, more, or nothing."""

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from client import Message
from client.contents import FilePointer
from client.transport import Transport
from relay.wire.links import encode_id
from tests.chatting import random_file
from tests.hostile.attacks import Guard, attack
from tests.hostile.middleman import Exchange
from tests.hostile.stage import Person, Stage


def _keep_unchecked(pointer: FilePointer, sealed: Path, path: Path) -> tuple[Path, bytes]:
    """Whatever came is the file."""
    sealed.rename(path)
    return path, bytes(32)


async def _fetch_anything(
    transport: Transport, pointer: FilePointer, partial: Path, on_progress: object
) -> None:
    """However much it is."""
    async with transport.stream("GET", f"/v1/blobs/{encode_id(pointer.blob_id)}") as response:
        await asyncio.to_thread(partial.write_bytes, await response.read())


UNCHECKED = (
    Guard("client.media._open_sealed", _keep_unchecked),
    Guard("client.media._fetch_sealed", _fetch_anything),
)


async def _bob_fetches(bob: Person) -> Message:
    async with bob.client() as client, aclosing(client.messages(until_caught_up=True)) as messages:
        async for message in messages:
            return await message.fetch()
    raise AssertionError("there is no message")


async def _sends_a_file(stage: Stage, change: Callable[[bytes], bytes]) -> Person:
    """Alice sends Bob a file; what the relay gives of it is `change` of what it should."""
    alice, bob = await stage.people("alice", "bob")
    async with alice.client() as client:
        await client.send(bob.handle, file=random_file(stage.folder, f"{bob.handle}.jpg", 5_000))

    def swap(exchange: Exchange) -> None:
        exchange.body = change(exchange.body)

    stage.relay.changes_answers("GET", "/v1/blobs/*", swap)
    return bob


@attack(*UNCHECKED)
async def serves_another_file(stage: Stage) -> None:
    """serves other bytes of the same length for a file"""
    bob = await _sends_a_file(stage, lambda body: os.urandom(len(body)))
    await stage.refuses(bob, _bob_fetches(bob), "file_damaged")


@attack(*UNCHECKED)
async def changes_a_file(stage: Stage) -> None:
    """changes the last bit of a file"""
    bob = await _sends_a_file(stage, lambda body: body[:-1] + bytes((body[-1] ^ 1,)))
    await stage.refuses(bob, _bob_fetches(bob), "file_damaged")


@attack(*UNCHECKED)
async def cuts_a_file_short(stage: Stage) -> None:
    """serves half of a file"""
    bob = await _sends_a_file(stage, lambda body: body[: len(body) // 2])
    await stage.refuses(bob, _bob_fetches(bob), "file_damaged")


@attack(*UNCHECKED)
async def lengthens_a_file(stage: Stage) -> None:
    """serves a file with more behind its end"""
    bob = await _sends_a_file(stage, lambda body: body + bytes(100_000))
    await stage.refuses(bob, _bob_fetches(bob), "file_damaged")


@attack(cannot="what is not there cannot be taken for something else")
async def has_lost_a_file(stage: Stage) -> None:
    """says that it does not have a file"""
    bob = await _sends_a_file(stage, bytes)
    stage.relay.stops()
    stage.relay.changes_answers("GET", "/v1/blobs/*", lambda exchange: exchange.refuse(404, "not_found"))
    await stage.refuses(bob, _bob_fetches(bob), "file_unavailable")
