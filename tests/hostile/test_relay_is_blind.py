"""C2, D9: what a relay keeps, and has in its memory, holds nothing of a message and does not say who sent it.

That the search finds what is there is proved in test_leak_scanner.py, and here by what the relay may know.
"""

import asyncio
import hashlib
from pathlib import Path

import pytest

from client.client import Client
from relay.wire.limits import ACCOUNT_ID_BYTES, DEVICE_ID_BYTES
from relay.wire.links import decode_id
from tests.faults.relay_process import RelayProcess, warm_relay
from tests.hostile.leak_scanner import LeakScanner
from tests.hostile.process_memory import MemoryClosed, find_in_memory
from tests.hostile.relay_files import IDENTITY_TABLES, copy_relay_files, find_sender, find_text

ALICE, BOB = "alice-who-sends-to-bob", "bob-who-listens-to-alice"


def marker(name: str) -> str:
    """A text that only this test has."""
    return f"marker {name} {hashlib.sha256(name.encode()).hexdigest()}"


CONTENTS = {f"text {number}": marker(f"text {number}") for number in range(20)}
FILE_NAME, FILE_TEXT, ANSWER = marker("file name"), marker("file text"), marker("answer")
SECRETS = LeakScanner(
    {
        name: text.encode()
        for name, text in {
            **CONTENTS,
            "file name": FILE_NAME,
            "file text": FILE_TEXT,
            "answer": ANSWER,
        }.items()
    }
)


async def people(relay: RelayProcess, folder: Path) -> LeakScanner:
    """Registers both; what names the sender."""
    await relay.start()
    identity = await Client.register(folder / "alice", await relay.create_invite(), handle=ALICE)
    await Client.register(folder / "bob", await relay.create_invite(), handle=BOB)
    return LeakScanner(
        {
            "account": decode_id(identity.account, ACCOUNT_ID_BYTES),
            "device": decode_id(identity.device, DEVICE_ID_BYTES),
            "handle": ALICE.encode(),
        }
    )


async def send_everything(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(FILE_TEXT.encode() * 5_000)
    async with Client.open(folder / "alice") as alice:
        for text in CONTENTS.values():
            await alice.send(BOB, text)
        await alice.send(BOB, file=folder / FILE_NAME)


async def read_and_answer(folder: Path) -> list[str | None]:
    async with Client.open(folder / "bob") as bob:
        taken = [
            await message.fetch() if message.file else message
            async for message in bob.messages(until_caught_up=True)
        ]
        await taken[-1].reply(ANSWER)
        assert taken[-1].file is not None
        assert taken[-1].file.path is not None
        assert taken[-1].file.path.read_bytes() == FILE_TEXT.encode() * 5_000
    async with Client.open(folder / "alice") as alice:
        assert [message.text async for message in alice.messages(until_caught_up=True)] == [ANSWER]
    return [message.text for message in taken]


@pytest.mark.proves("M-REACH-03")
@pytest.mark.parametrize("anonymous_submit", ["true", "false"])
async def test_d9_c2_no_text_and_no_sender_in_files_while_waiting_after_reading_and_after_the_end(
    tmp_path, anonymous_submit
):
    """Also where the relay wants to know at the door who submits."""
    environment = {"TOKENIM_RELAY_ANONYMOUS_SUBMIT": anonymous_submit, "TOKENIM_RELAY_LOG_LEVEL": "debug"}
    relay_log = tmp_path / "data" / "relay.log"
    async with RelayProcess(
        tmp_path / "data", relay_log, environment=environment, program=warm_relay()
    ) as relay:
        relay.data.mkdir(mode=0o700)
        names = await people(relay, tmp_path)
        await send_everything(tmp_path)
        waiting = copy_relay_files(relay.data, tmp_path / "waiting")
        assert await read_and_answer(tmp_path) == [*CONTENTS.values(), None]
        read = copy_relay_files(relay.data, tmp_path / "read")
        assert await relay.stop() == 0
        stopped = copy_relay_files(relay.data, tmp_path / "stopped")
    for files in (waiting, read, stopped):
        assert find_text(files, SECRETS) == []
        assert find_sender(files, names, IDENTITY_TABLES) == []
        known = {hit.needle for hit in find_sender(files, names, ())}
        assert known == {"account", "device", "handle"}, "the search does not find what the relay does know"
    assert any(path.parent.name == "blobs" or "blobs" in path.parts for path in waiting.others())


async def test_d9_no_text_in_the_memory_of_the_relay(tmp_path):
    async with RelayProcess(tmp_path / "data", tmp_path / "relay.log") as relay:
        names = await people(relay, tmp_path)
        await send_everything(tmp_path)
        try:
            known = await asyncio.to_thread(find_in_memory, relay.pid, names)
        except MemoryClosed:
            pytest.skip("this kernel lets no process read another's memory")
        assert {"account", "handle"} <= {hit.needle for hit in known}, (
            "the search does not find what must be there"
        )
        assert await asyncio.to_thread(find_in_memory, relay.pid, SECRETS) == []
        await read_and_answer(tmp_path)
        assert await asyncio.to_thread(find_in_memory, relay.pid, SECRETS) == []
