"""Two devices of one account and a contact, their stores without any network; see `tests.client_pair`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from client.store.peers import save_chain
from crypto.keys import LocalDevice
from tests.client_pair import Person, open_pair, open_person, with_device


@asynccontextmanager
async def two_devices(folder, *, manager: bool = True) -> AsyncIterator[tuple[Person, Person, Person]]:
    """Alice's phone, her laptop (`manager`: whether it is one), and Bob, whom the phone knows."""
    async with open_pair(folder) as (phone, bob):
        local = LocalDevice.generate(phone.id, os.urandom)
        other = replace(phone.account, local=local, root_seed=None)
        with_device(phone, other, manager=manager)
        own = phone.account.own
        async with open_person(folder / "laptop", "alice", phone.clock, replace(other, own=own)) as laptop:
            await phone.database.run(lambda tx: save_chain(tx, own))
            yield phone, laptop, bob


async def carry(sender: Person, receiver: Person) -> int:
    """Encrypt and hand over what waits for the own other device; how many envelopes."""
    await sender.encrypt(sender, receiver)
    rows = [row for row in await sender.outgoing() if row.account_id == sender.id]
    await receiver.receive([one.ciphertext for row in rows for one in row.envelopes])
    return len(rows)
