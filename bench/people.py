"""The people of the demonstration: the installed `tokenim` command as processes, one account folder each."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

COMMAND = str(Path(sys.executable).with_name("tokenim"))


class CommandFailed(Exception):
    """A command ended otherwise than it had to."""


class Person:
    """One account folder. As a context manager it ends what it started and what still runs."""

    def __init__(self, home: Path, log: Path) -> None:
        self.home = home
        self._log = log
        self._started: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def start(
        self, *arguments: str, stdin: int | None = None, environment: dict[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        """The command as a process; its standard error goes to the log."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                COMMAND,
                "--home",
                str(self.home),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environment or {})},
                limit=1 << 24,
            )
        self._started.append(process)
        return process

    async def call(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects that the command prints; raises CommandFailed unless it ends with 0."""
        process = await self.start(*arguments, "--json")
        output, _ = await process.communicate()
        self.require(process, 0, arguments[0])
        return [json.loads(line) for line in output.splitlines()]

    def require(self, process: asyncio.subprocess.Process, code: int, what: str) -> None:
        """Raise CommandFailed unless it ended with this code."""
        if process.returncode != code:
            raise CommandFailed(
                f"`tokenim {what}` ended with {process.returncode}, not {code}:\n{self.end_of_log()}"
            )

    def log_lines(self) -> list[str]:
        """What its commands wrote to standard error."""
        return (
            self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        )

    def end_of_log(self) -> str:
        """The last of that."""
        return "\n".join(self.log_lines()[-10:])


class Typing:
    """Writes lines into a pipe, as fast as the other end reads or at a pace; notes when each was written."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = list(lines)
        self.reader, self._writer = os.pipe()
        self.written_at: list[float] = []

    async def write(self, count: int) -> None:
        """The next so many lines."""
        for _ in range(count):
            line = self._lines[len(self.written_at)]
            self.written_at.append(time.monotonic())
            await asyncio.to_thread(_write_all, self._writer, line.encode() + b"\n")

    async def run(self, per_second: float | None = None) -> None:
        """All lines that are left, then the end of the file."""
        began = time.monotonic()
        try:
            for number in range(len(self._lines) - len(self.written_at)):
                if per_second is not None:
                    await asyncio.sleep(began + number / per_second - time.monotonic())
                await self.write(1)
        finally:
            os.close(self._writer)

    def handed_over(self) -> None:
        """The other end belongs to a process now."""
        os.close(self.reader)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class Listening:
    """`listen --json` as a process; each message by its id, with the moment at which it came first."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.came: dict[str, tuple[float, dict[str, Any]]] = {}
        self.again = 0
        self.others: list[dict[str, Any]] = []
        self._progress = asyncio.Condition()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        if self.process.stdout is None:
            raise RuntimeError("listen was started without a pipe")
        async for line in self.process.stdout:
            if line.endswith(b"\n"):  # a killed process may leave half a line
                self._note(json.loads(line))
            async with self._progress:
                self._progress.notify_all()
        async with self._progress:
            self._progress.notify_all()

    def _note(self, shown: dict[str, Any]) -> None:
        if "id" not in shown:
            self.others.append(shown)
        elif shown["id"] in self.came:
            self.again += 1
        else:
            self.came[shown["id"]] = (time.monotonic(), shown)

    async def until(self, count: int, seconds: float) -> None:
        """Wait for so many messages; raises CommandFailed if they do not come in time, or the process ends before."""
        try:
            async with asyncio.timeout(seconds), self._progress:
                await self._progress.wait_for(lambda: len(self.came) >= count or self._task.done())
        except TimeoutError:
            raise CommandFailed(f"{len(self.came)} of {count} messages came within {seconds} s") from None
        if len(self.came) < count:
            raise CommandFailed(f"listening ended after {len(self.came)} of {count} messages")

    async def ended(self) -> int:
        """The exit code, once all output is read."""
        await self._task
        return await self.process.wait()
