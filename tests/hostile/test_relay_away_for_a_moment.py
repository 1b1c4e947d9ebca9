"""A relay that answers, but cannot do what is asked of it for a moment: clients have the patience that they were given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from client.errors import RelayUnreachable
from client.message import State
from tests import command
from tests.chatting import random_file
from tests.hostile.middleman import Exchange, open_middleman
from tests.hostile.stage import Stage, open_theatre


@asynccontextmanager
async def stage_at(folder: Path) -> AsyncIterator[Stage]:
    with open_theatre(folder / "data") as theatre:
        async with open_middleman(theatre.upstream, theatre.listening) as relay:
            yield Stage(relay, theatre.invite, folder, theatre.relay_key, theatre.data)


def times(count: int, code: str) -> Callable[[Exchange], None]:
    """So many refusals, then what the relay answers."""
    left = [code] * count

    def refuse(exchange: Exchange) -> None:
        if left:
            exchange.refuse(503, left.pop())
            exchange.json = {**exchange.json, "retryable": True}

    return refuse


async def test_f24_a_file_goes_up_once_the_relay_can_take_it(tmp_path: Path) -> None:
    async with stage_at(tmp_path) as stage:
        alice, bob = await stage.people("alice", "bob")
        for method, path, code in (
            ("POST", "/v1/blobs", "unavailable"),
            ("HEAD", "/v1/blobs/*", "shutting_down"),
            ("PATCH", "/v1/blobs/*", "unavailable"),
        ):
            stage.relay.changes_answers(method, path, times(2, code))
        path = random_file(tmp_path, "a.bin", 10_000)
        async with alice.client() as client:
            sent = await client.send(bob.handle, file=path, patience_seconds=30)
        assert sent.state is State.ACCEPTED
        async with bob.client() as client:
            (message,) = [one async for one in client.messages(until_caught_up=True)]
            fetched = await message.fetch()
        assert fetched.file is not None
        assert fetched.file.sha256 == sha256(await asyncio.to_thread(path.read_bytes)).hexdigest()


async def test_a_first_message_goes_out_once_the_relay_gives_the_recipients_keys(tmp_path: Path) -> None:
    async with stage_at(tmp_path) as stage:
        alice, bob = await stage.people("alice", "bob")
        stage.relay.changes_answers("*", "/v1/*", times(3, "unavailable"))
        message = await alice.says(bob, "hello", patience_seconds=30)
        assert message.state is State.ACCEPTED
        await bob.listens()
        assert bob.texts() == ["hello"]


async def test_f24_listen_fetches_a_file_once_the_relay_gives_it_and_else_goes_on_without(
    tmp_path: Path,
) -> None:
    async with stage_at(tmp_path) as stage:
        alice, bob = await stage.people("alice", "bob")
        await alice.says(bob, "hello")
        await bob.listens()
        async with bob.client() as client:
            await client.accept(alice.handle)
        path = random_file(tmp_path, "a.bin", 10_000)

        async def shown_after(refusals: int) -> tuple[list[dict[str, Any]], str]:
            """What the command prints of a file and a text."""
            async with alice.client() as client:
                await client.send(bob.handle, file=path)
                await client.send(bob.handle, "after it")
            stage.relay.changes_answers("GET", "/v1/blobs/*", times(refusals, "unavailable"))
            status, shown, told = await command.call(
                bob.home, "listen", "--until-caught-up", "--patience", "3"
            )
            stage.relay.stops()
            assert status == command.DONE
            return [one for one in shown if one["type"] in ("file", "text")], told

        (file, text), told = await shown_after(2)
        assert file["file"]["sha256"] == sha256(await asyncio.to_thread(path.read_bytes)).hexdigest()
        assert (text["text"], told) == ("after it", "")
        (file, text), told = await shown_after(1_000)
        assert file["file"]["path"] is None
        assert text["text"] == "after it"
        assert told.startswith("tokenim: unavailable: the file a.bin of message ")


async def test_out_of_patience_it_waits_in_the_outbox(tmp_path: Path) -> None:
    async with stage_at(tmp_path) as stage:
        alice, bob = await stage.people("alice", "bob")
        stage.relay.changes_answers("POST", "/v1/blobs", times(1_000, "unavailable"))
        async with alice.client() as client:
            with pytest.raises(RelayUnreachable, match=r"unavailable.*1 message waits in the outbox"):
                await client.send(
                    bob.handle, file=random_file(tmp_path, "a.bin", 1_000), patience_seconds=0.2
                )
        stage.relay.stops()
        await alice.flushes()
        (event, *_) = [event for event in await bob.listens() if getattr(event, "file", None) is not None]
        assert event is not None
