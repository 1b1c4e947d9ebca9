"""Somebody who uses the client in JavaScript: a process that takes commands and tells events, JSON a line."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.interop.node_of_wheel import CLIENT, NODE

COMMAND = (NODE, "--disable-warning=ExperimentalWarning")
PATIENCE = 45


class Refused(Exception):
    """The client said no; the code comes first."""


class Died(Exception):
    """The process ended before it answered."""


class JavaScriptPerson:
    """One process; `events` holds what it told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict] = []
        self.answers: dict[int, asyncio.Future] = {}
        self.asked = 0
        self.answered = 0
        self.heard = asyncio.Event()
        self.has_ended = False
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            if "event" in said:
                self.events.append(said)
            else:
                answer = self.answers.pop(said["id"])
                self.answered += 1
                if not answer.done():
                    answer.set_result(said)
            self.heard.set()
        self.has_ended = True
        for answer in self.answers.values():
            if not answer.done():
                answer.set_exception(Died())
        self.answers.clear()
        self.heard.set()

    async def call(self, command: str, **fields: object) -> object:
        if self.has_ended:  # its output is at its end; that the process is dead may be heard of much later
            raise Died
        self.asked += 1
        answer = self.answers[self.asked] = asyncio.get_running_loop().create_future()
        self.process.stdin.write(json.dumps({"id": self.asked, "do": command, **fields}).encode() + b"\n")
        said = await asyncio.wait_for(answer, PATIENCE)
        if "error" in said:
            raise Refused(said["error"], said["why"])
        return said["ok"]

    async def until(self, holds) -> object:
        """Wait until `await holds()` is true, looking whenever the client told something."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.heard.clear()
                if found := await holds():
                    return found
                try:
                    async with asyncio.timeout(1):
                        await self.heard.wait()
                except TimeoutError:
                    continue

    async def all_sent(self) -> None:
        async def nothing_waits() -> bool:
            return (await self.call("state"))["waiting"] == 0

        await self.until(nothing_waits)

    async def texts(self, *, of: int | None = None) -> list[str]:
        """What others wrote, in order; with `of`, once there are so many."""

        async def received() -> list[str]:
            return [one["text"] for one in await self.call("messages", after=0) if not one["is_own"]]

        async def enough() -> list[str] | None:
            found = await received()
            return found if len(found) >= of else None

        return await received() if of is None else await self.until(enough)

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.stdin.close()
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                self.process.kill()
        await self.process.wait()
        await self.reading


async def start(store: Path, *options: str, **environment: str) -> JavaScriptPerson:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *options,
        str(CLIENT / "node" / "main.js"),
        str(store),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environment},
        limit=2**24,
    )
    return JavaScriptPerson(process)


@asynccontextmanager
async def person(store: Path, *options: str, **environment: str) -> AsyncIterator[JavaScriptPerson]:
    """Running until the block ends; nothing that it did may have gone wrong unseen."""
    one = await start(store, *options, **environment)
    try:
        yield one
    finally:
        await one.end()
    wrong = [event for event in one.events if event["event"] in {"failed", "alarm", "not opened", "warning"}]
    assert not wrong, wrong
