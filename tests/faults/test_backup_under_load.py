"""F22: a backup made while envelopes come in, restored after the data folder is lost, keeps what was accepted before it."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import aiohttp

from relay.config import Settings
from relay.ports.mailboxes import RESTORE_GAP
from relay.upkeep import back_up
from relay.upkeep import put_back as restore
from tests.faults import kills
from tests.faults.checker import Ledger
from tests.faults.load import Mailbox, PrekeyMarket, Recipient, Sender
from tests.faults.relay_process import RelayProcess, warm_relay
from tests.faults.wire_client import register


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  # the senders do not know that anybody waits for them
        await asyncio.sleep(0.005)


def broken(ledger: Ledger, *, accepted_later: set[tuple[str, bytes]]) -> list[str]:
    """Broken promises beside those that a restore cannot keep: what was accepted after the backup, and the gap that is told."""
    gone = {f"{mailbox}: {envelope_id.hex()}" for mailbox, envelope_id in accepted_later}
    return [
        told
        for told in ledger.violations()
        if not (told.endswith("accepted and never delivered") and told.split(" of ")[0] in gone)
        and not told.endswith("and said so")
    ]


async def test_f22_a2_a_backup_under_load_restores_all_that_was_accepted_before_it(tmp_path: Path):
    relay = RelayProcess(tmp_path / "data", tmp_path / "log", program=warm_relay())
    settings, backup = Settings(data=relay.data), tmp_path / "backup.tar"
    random, ledger = Random(22), Ledger()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http, relay:
        await relay.start()
        link = await relay.create_invite(4)
        devices = [await register(http, link, random) for _ in range(4)]
        ann, eve = Mailbox("ann", devices[0]), Mailbox("eve", devices[1])
        senders = [
            Sender("to ann", [ann], ledger, random, window=4),
            Sender("to both", [ann, eve], ledger, random, window=4),
        ]
        recipients = [Recipient(ann, ledger), Recipient(eve, ledger)]  # eve reads at the end only
        market = PrekeyMarket(devices[1], devices[2:], ledger, random)
        await market.stock(http, relay.origin)
        reader = asyncio.create_task(recipients[0].run(http, relay.origin))
        load = [asyncio.create_task(sender.run(http, relay.origin)) for sender in senders]
        await until(lambda: recipients[0].received >= 200)

        before = ledger.accepted_so_far()
        made = await asyncio.to_thread(back_up, settings, backup, config=None, told=lambda *_: None)
        at_its_end = len(ledger.accepted_so_far())
        await market.claim(http, relay.origin)  # keys that are in the backup as unused ones
        await until(lambda: len(ledger.accepted_so_far()) >= at_its_end + 200)
        for sender in senders:
            sender.stop.set()
        await asyncio.gather(*load)
        accepted = ledger.accepted_so_far()
        assert len(before) > 200
        assert len(accepted) > at_its_end > len(before), "nothing was accepted while the backup was made"
        await relay.kill()
        await reader

        shutil.rmtree(relay.data)
        put_back = await asyncio.to_thread(restore, settings, backup, told=lambda *_: None)
        assert put_back == made.manifest
        ledger.restarted(await relay.start())
        cast = kills.Cast(ledger, senders, recipients, [], market, random)
        for sender in senders:
            sender.send_more(50)
        await asyncio.gather(*(sender.run(http, relay.origin) for sender in senders))
        await market.claim(http, relay.origin)  # without new ones: what is given now must not be of before
        await kills.settle(relay, http, cast)
        await relay.stop()
        kills.check_integrity(relay.data, ledger)
    assert broken(ledger, accepted_later=accepted - before) == []
    assert ledger.counts()["one_time_keys"] > 8, "no one-time key was given before the restore, or none after"
    told = ledger.told_missing()
    assert [last - first + 1 for first, last in told["eve"]] == [RESTORE_GAP]
    assert [RESTORE_GAP // 2 < last - first < RESTORE_GAP for first, last in told["ann"]] == [True]
    assert len(ledger.accepted_so_far()) == len(accepted) + 3 * 50
