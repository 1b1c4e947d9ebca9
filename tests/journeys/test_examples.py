"""The README's Python and the programs under docs/examples do what they say: real processes, a real relay."""

import asyncio
import re
import shlex
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client import Client
from relay.testing import open_test_relay
from tests.architecture.source import ROOT

EXAMPLES = ROOT / "docs" / "examples"
FENCED_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
async def people(tmp_path):
    """Folders of alice and bob, registered on a relay that runs."""
    async with open_test_relay() as relay:
        for name in ("alice", "bob"):
            await Client.register(tmp_path / name, await relay.invite(), handle=name)
        yield tmp_path


@asynccontextmanager
async def program(*arguments, folder):
    """A Python program in a process of its own, ended with its block."""
    command = (sys.executable, *map(str, arguments))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()


async def answers_of(alice, count):
    """The next texts that alice gets."""
    texts = []
    async for message in alice.messages():
        texts.append(message.text)
        if len(texts) == count:
            break
    return texts


def example_of_the_readme():
    (source,) = FENCED_PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return source


def test_the_example_of_the_readme_has_ten_lines():
    assert len([line for line in example_of_the_readme().splitlines() if line.strip()]) <= 10


async def run_command(folder, *words):
    """A command that must succeed; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode()


async def test_the_commands_of_the_readme_bring_a_message_across(tmp_path):
    block = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )[1]
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    async with open_test_relay(folder=tmp_path / "data") as relay:
        given = {"INVITE": relay.owner_invite}
        for program_path, *words in lines:
            until = ["--until-caught-up"] if "listen" in words else []
            command = Path(sys.executable).with_name(Path(program_path).name)
            said = await run_command(tmp_path, command, *(given.get(word, word) for word in words), *until)
            if "create" in words:
                given["ANOTHER"] = said.strip()
    assert said.strip().endswith("alice: [contact request] hello")  # they have never talked


async def test_the_example_of_the_readme_answers(people):
    async with (
        program("-c", example_of_the_readme(), folder=people),
        Client.open(people / "alice") as alice,
    ):
        await alice.send("bob", "hello")
        await alice.send("bob", "again")
        assert await answers_of(alice, 2) == ["you said hello", "you said again"]


async def test_the_echo_bot_answers_what_waited_and_stops_at_bye(people):
    async with Client.open(people / "alice") as alice:
        for text in ("hello", "bye"):
            await alice.send("bob", text)
        async with program(EXAMPLES / "echo_bot.py", people / "bob", folder=people) as bot:
            _, errors = await bot.communicate()
        assert (bot.returncode, errors) == (0, b"")
        assert await answers_of(alice, 2) == ["you said hello", "you said bye"]


async def test_a_file_goes_from_one_example_to_the_other(people):
    picture = people / "picture.png"
    picture.write_bytes(bytes(range(256)) * 1_000)
    async with program(EXAMPLES / "send_file.py", people / "alice", "bob", picture, folder=people) as sender:
        said, progress = await sender.communicate()
    assert (sender.returncode, said.split()[0]) == (0, b"accepted"), progress
    assert re.search(rb"(\d\S+) of \1 bytes$", progress), "it ends where it is all there"
    async with program(EXAMPLES / "keep_files.py", people / "bob", folder=people) as keeper:
        said, errors = await keeper.communicate()
    assert (keeper.returncode, errors) == (0, b"")
    name, _, path = said.decode().strip().partition(": ")
    assert (people / path).read_bytes() == picture.read_bytes(), name


def test_every_example_is_run_here():
    source = (ROOT / "tests" / "journeys" / "test_examples.py").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in source] == []
