"""client/logs.py against a real relay: what goes up comes back, and every refusal has its reason."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from client import logs
from client.errors import Refused, RelayMisbehaved
from client.logs import LogKeys
from client.system import this_machine
from client.transport import Answered, Transport
from relay.wire.limits import MAX_LOG_ENTRY_BYTES
from tests.raw_device import RawDevice
from tests.running_relay import World, open_world


@dataclass
class Signing:
    """A device of the tests as the transport wants one."""

    device: RawDevice

    @property
    def device_id(self) -> bytes:
        return self.device.device_id

    def sign(self, message: bytes) -> bytes:
        return self.device.key.sign(message).signature


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@asynccontextmanager
async def transport_of(device: RawDevice | None, world: World) -> AsyncIterator[Transport]:
    signer = Signing(device) if device else None
    async with Transport(world.relay.url, this_machine(), signer) as transport:
        yield transport


async def test_an_account_log_goes_up_in_order_and_comes_back_page_by_page(world: World):
    entries = [os.urandom(MAX_LOG_ENTRY_BYTES) for _ in range(6)]
    async with transport_of(await world.member(), world) as transport:
        times = [
            await logs.append_account_log(transport, "archive", index, entry)
            for index, entry in enumerate(entries)
        ]
        assert await logs.append_account_log(transport, "archive", 3, entries[3]) == times[3]
        read = [one async for one in logs.account_log_entries(transport, "archive")]
        assert [(one.index, one.entry, one.at_ms) for one in read] == list(
            zip(range(6), entries, times, strict=True)
        )
        for index in (5, 7):
            with pytest.raises(Refused) as refused:
                await logs.append_account_log(transport, "archive", index, b"other")
            assert refused.value.reason == "conflict"
        await logs.trim_account_log(transport, "archive", 6)
        page = await logs.read_account_log(transport, "archive", 0)
        assert (page.entries, page.first_index, page.next_index) == ((), 6, 6)
        assert [one async for one in logs.account_log_entries(transport, "archive")] == []


async def test_a_group_log_is_written_and_read_without_a_name_and_changes_its_keys(world: World):
    log_id, keys = os.urandom(32), LogKeys(os.urandom(32), os.urandom(32))
    following = LogKeys(os.urandom(32), os.urandom(32))
    async with transport_of(await world.member(), world) as maker, transport_of(None, world) as nobody:
        made = await logs.create_group_log(maker, log_id, keys, b"zero")
        assert await logs.create_group_log(maker, log_id, keys, b"zero") == made
        await logs.append_group_log(nobody, log_id, 1, b"one", keys.write_seed)
        cut = await logs.append_group_log(nobody, log_id, 2, b"cut", keys.write_seed, following=following)
        again = await logs.append_group_log(nobody, log_id, 2, b"cut", keys.write_seed, following=following)
        assert again == cut
        await logs.append_group_log(nobody, log_id, 3, b"three", following.write_seed)
        read = [one async for one in logs.group_log_entries(nobody, log_id, following.read_token, 1)]
        assert [(one.index, one.entry) for one in read] == [(1, b"one"), (2, b"cut"), (3, b"three")]
        with pytest.raises(Refused) as refused:
            await logs.read_group_log(nobody, log_id, keys.read_token, 0)
        assert refused.value.reason == "not_allowed"
        with pytest.raises(Refused) as refused:
            await logs.append_group_log(nobody, log_id, 4, b"four", keys.write_seed)
        assert refused.value.reason == "not_allowed"


@pytest.mark.parametrize(
    ("indices", "next_index"),
    [((1,), 2), ((0,), 0), ((), 2), ((0, 2), 3)],
    ids=["not from the asked index", "beyond the end", "held back", "a gap"],
)
async def test_an_answer_that_is_no_piece_of_a_log_is_the_relays_fault(
    indices: tuple[int, ...], next_index: int, world: World, monkeypatch: pytest.MonkeyPatch
):
    entries = [{"index": index, "entry": "AA", "at_ms": 1} for index in indices]
    body = json.dumps({"entries": entries, "first_index": 0, "next_index": next_index})

    async def lie(*_: object, **__: object) -> Answered:
        return Answered(200, {}, body.encode())

    async with transport_of(None, world) as transport:
        monkeypatch.setattr(transport, "ask", lie)
        with pytest.raises(RelayMisbehaved):
            await logs.read_group_log(transport, bytes(32), bytes(32), 0)
