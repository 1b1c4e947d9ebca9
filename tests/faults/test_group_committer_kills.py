"""A client is killed by SIGKILL at each step of a commit; what it began is done once it is back, and nobody disagrees. B15."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from client.kill_steps import VARIABLE
from client.system import Step
from relay.wire.links import encode_id
from tests.chatting import open_people
from tests.group_people_online import account_of, acquaint, group_of, hear, until
from tests.warm.commands import program

STEPS = [Step.COMMIT_PREPARED, Step.COMMIT_HANDED_OUT, Step.COMMIT_APPENDED, Step.COMMIT_KEPT]


async def commit_and_die(home: Path, group: str, account: bytes, step: Step) -> int:
    """The exit status of a process that removes the account, and dies there."""
    process = await asyncio.create_subprocess_exec(
        *program("tests.faults.group_committer"),
        str(home),
        group,
        encode_id(account),
        env={**os.environ, VARIABLE: f"{step}:1"},
    )
    return await process.wait()


@pytest.mark.timeout(240)
async def test_b15_a_committer_killed_at_each_step_leaves_a_group_that_agrees(tmp_path):
    out = [f"out{number}" for number in range(len(STEPS))]
    names = ("bob", "carol", *out)
    async with open_people(tmp_path, "alice", *names) as people:
        clients = await acquaint(people, "alice", "bob", "carol", *out)
        group = await group_of(clients, "alice", *names, admins=("bob",))
        alice = clients.pop("alice")
        await alice.__aexit__(None, None, None)
        bob, carol = clients["bob"], clients["carol"]
        for number, step in enumerate(STEPS):
            removed = account_of(clients[out[number]])
            status = await commit_and_die(people.home("alice"), group.id, removed, step)
            assert status == -signal.SIGKILL, step
            async with people.client("alice") as alice:
                expected = len(names) + 1 - (number + 1)

                async def has_removed(client, expected=expected):
                    seen = await client.group(group.id)
                    return len(seen.members) == expected and seen.is_ready and not seen.waiting_changes

                for client in (alice, bob, carol):
                    await until(client, has_removed)
                views = [await client.group(group.id) for client in (alice, bob, carol)]
                assert len({(one.epoch, one.commits) for one in views}) == 1, step
                # One commit for what was wanted once: nothing was done twice.
                assert views[0].commits == 2 + number + 1, step
                await alice.send(f"group:{group.id}", f"after {step}", patience_seconds=40)
                await carol.send(f"group:{group.id}", f"carol after {step}", patience_seconds=40)
                await hear(bob, group.id, f"after {step}", f"carol after {step}")
