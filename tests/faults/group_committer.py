"""Removes one member of a group with a client that dies at the step that its environment names: a process of its own.

`tests.faults.group_committer HOME GROUP ACCOUNT`, as tests/warm starts it.
"""

import asyncio
import os
import sys

from client.client import Client
from client.kill_steps import machine
from crypto.group_changes import Remove
from relay.wire.links import decode_id


async def commit(home: str, group: str, account: str) -> None:
    async with Client.open(home, system=machine(os.environ)) as client:
        await client.commit_changes(group, [Remove(decode_id(account, 32))], patience_seconds=30)


def main() -> None:
    asyncio.run(commit(*sys.argv[1:4]))
