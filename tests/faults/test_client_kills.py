"""The command is killed by SIGKILL at each step of sending and of receiving; F26, B13."""

import asyncio
import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from client.client import Client
from client.errors import UsageError
from client.kill_steps import VARIABLE, killed_at
from client.message import Message, State, Unopened, Warned
from client.system import Step, this_machine
from tests.chatting import open_people, texts
from tests.warm.commands import program

SENDING = [Step.DRAFTED, Step.ENCRYPTED, Step.ENCRYPTION_COMMITTED, Step.SUBMITTED, Step.ACCEPTED]


async def command(
    home: Path, *arguments: str, stdin: Path | None = None, kill_at: str | None = None
) -> tuple[int, str]:
    """(Exit status, what it printed) of the command."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if kill_at is not None:
        environment[VARIABLE] = kill_at
    source = os.open(os.devnull if stdin is None else stdin, os.O_RDONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *program("tokenim"),
            "--home",
            str(home),
            *arguments,
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
    finally:
        os.close(source)
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def shown_messages(output: str) -> list[tuple[str, str]]:
    """(Id, text) of each message that `listen --json` printed whole."""
    objects = [json.loads(line) for line in output.splitlines() if line.endswith("}")]
    return [(one["id"], one["text"]) for one in objects if one["type"] == "text"]


@pytest.mark.proves("M-RATCHET-02", "M-DELIV-05")
@pytest.mark.timeout(180)
async def test_b13_a_sender_killed_at_each_step_never_uses_a_message_key_twice(tmp_path):
    expected: list[str] = []
    opened: Counter[Step] = Counter()
    machine = replace(this_machine(), reached=lambda step: opened.update([step]))
    async with open_people(tmp_path, "alice", "bob") as people:
        people.machines["bob"] = machine
        bob = await people.enter("bob")
        for phase in ("set-up", "session"):
            for step in SENDING:
                lines = [f"{phase} {step} {number}" for number in range(5)]
                text = tmp_path / "lines"
                text.write_text("\n".join(lines))
                status, _ = await command(
                    people.home("alice"), "send", "bob", "--each-line", stdin=text, kill_at=f"{step}:3"
                )
                assert status == -signal.SIGKILL, step
                # Another plaintext follows; had the state been lost, it would get the key of one before it.
                async with people.client("alice") as alice:
                    await alice.send("bob", f"{phase} after {step}")
                    await alice.flush()
                expected += [*lines, f"{phase} after {step}"]
            events = [event async for event in bob.events(until_caught_up=True)]
            assert [event.text for event in events if isinstance(event, Message)] == expected
            assert not [event for event in events if isinstance(event, Unopened | Warned)]
            # Each message came in exactly one envelope: none was encrypted again after it could have been seen.
            assert opened[Step.DECRYPTED] == len(expected)
            if phase == "set-up":
                async with people.client("alice") as alice:
                    await bob.send("alice", "an answer")
                    assert await texts(alice) == ["an answer"]
                expected.clear()
                opened.clear()


@pytest.mark.proves("M-DELIV-10")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kill_at", ["decrypted:7", "decryption-committed:1", "acknowledged:1"])
async def test_f26_a_receiver_killed_at_each_step_shows_each_message_once(tmp_path, kill_at):
    lines = [f"line {number}" for number in range(20)]
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            await alice.send_lines("bob", lines)
        home = people.home("bob")
        status, first = await command(home, "listen", "--json", "--until-caught-up", kill_at=kill_at)
        assert status == -signal.SIGKILL
        status, second = await command(home, "listen", "--json", "--until-caught-up")
        assert status == 0
        shown = shown_messages(first) + shown_messages(second)
        assert [text for _, text in shown] == lines
        assert len({name for name, _ in shown}) == len(lines)
        async with people.client("bob") as bob:
            assert await texts(bob) == []
            kept = await bob.history("alice")
            assert [one.text for one in kept] == lines
            assert {one.state for one in kept} == {State.RECEIVED}
            # Nothing stays behind at the relay, and the session is whole: both directions go on.
            await bob.send("alice", "go on")
        async with people.client("alice") as alice:
            assert await texts(alice) == ["go on"]
            await alice.send("bob", "further")
        async with people.client("bob") as bob:
            assert await texts(bob) == ["further"]


async def test_f26_a_crash_within_the_transaction_leaves_the_state_before_it(tmp_path):
    class Crash(BaseException):
        pass

    def crash(step: Step) -> None:
        if step is Step.DECRYPTED:
            raise Crash

    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            await alice.send("bob", "hello")
        async with Client.open(people.home("bob"), system=replace(this_machine(), reached=crash)) as bob:
            with pytest.raises(Crash):
                await texts(bob)
        async with people.client("bob") as bob:
            assert await texts(bob) == ["hello"]


def test_a_step_to_die_at_is_one_that_there_is():
    for spec in ("", "decrypted", "decrypted:0", "decrypted:x", "nowhere:1"):
        with pytest.raises(UsageError, match=VARIABLE):
            killed_at(spec)
    reached = killed_at("decrypted:2")
    reached(Step.ENCRYPTED)
    reached(Step.DECRYPTED)  # the first of two: this process lives
