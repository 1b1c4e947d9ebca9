"""`tokenim-relay serve` as a process that a test starts, kills and starts again."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from relay.testing.relay import LENIENT
from tests.servers.ports import free_port
from tests.warm.commands import copy_of, program

_LENIENT = {f"TOKENIM_RELAY_LIMITS__{name.upper()}": str(value) for name, value in LENIENT.items()} | {
    "TOKENIM_RELAY_SHED__LOOP_LATE_MS": "60000"  # a slow machine is no load
}
READY_WITHIN_SECONDS = 30.0
STOP_WITHIN_SECONDS = 15.0


def _cpu_seconds(pid: int) -> float:
    """User and system time of a running process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class RelayDied(Exception):
    """The relay ended before it was ready; holds the end of its log."""


def command() -> list[str]:
    """The installed command of this environment."""
    return [str(Path(sys.executable).with_name("tokenim-relay"))]


def warm_relay() -> tuple[str, ...]:
    """The same, of which a copy has imported everything already (tests/warm): where it is only killed and started."""
    return program("tokenim-relay")


def broken_relay(how: str) -> list[str]:
    """The command of broken_relay.py, which breaks one promise (its BREAKS)."""
    return [sys.executable, str(Path(__file__).with_name("broken_relay.py")), how]


def warm_broken_relay(how: str) -> tuple[str, ...]:
    """The same with everything imported."""
    return (*program("tests.faults.broken_relay"), how)


class RelayProcess:
    """One data folder and one address; at most one process at a time. Its output goes to `log`."""

    def __init__(
        self,
        data: Path,
        log: Path,
        *,
        program: Sequence[str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.log = log
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.invite = ""
        self.program = list(program or command())
        self._arguments = arguments
        self.environment = {**os.environ, **_LENIENT, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None:
            raise RuntimeError("the relay does not run")
        return copy_of(self._process.pid)

    @property
    def runs(self) -> bool:
        """Whether it was started, and neither killed nor stopped since."""
        return self._process is not None

    def cpu_seconds(self) -> float:
        """User and system time that the running process has used."""
        return _cpu_seconds(self.pid)

    async def start(self) -> float:
        """Start it and wait for `ready`; returns the seconds that took. Raises RelayDied.

        Where more programs want to run than there are processors, the seconds are the relay's own processor time: how
        long it had to wait for its turn says nothing about it.
        """
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.program,
                "serve",
                "--data",
                str(self.data),
                "--listen",
                f"127.0.0.1:{self.port}",
                *self._arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self.environment,
            )
        try:
            async with asyncio.timeout(READY_WITHIN_SECONDS):
                await self._until_ready()
        except TimeoutError:
            await self.kill()
            raise RelayDied(f"not ready after {READY_WITHIN_SECONDS} s:\n{self.end_of_log()}") from None
        took = time.monotonic() - began
        if os.getloadavg()[0] > (os.cpu_count() or 1):
            took = min(took, self.cpu_seconds())
        self._reader = asyncio.create_task(self._drain())
        return took

    async def _until_ready(self) -> None:
        while line := await self._line():
            word, _, rest = line.partition(" ")
            if word == "invite":
                self.invite = rest.strip()
            elif word == "ready":
                return
        code = await self._process.wait() if self._process else None
        raise RelayDied(f"ended with {code} before it was ready:\n{self.end_of_log()}")

    async def _line(self) -> str:
        if self._process is None or self._process.stdout is None:
            return ""
        line = await self._process.stdout.readline()
        with self.log.open("ab") as log:
            log.write(line)
        return line.decode()

    async def _drain(self) -> None:
        while await self._line():
            pass

    async def create_invite(self, uses: int = 1) -> str:
        """A further link, made through the running relay."""
        process = await asyncio.create_subprocess_exec(
            *self.program,
            "invite",
            "create",
            "--data",
            str(self.data),
            "--uses",
            str(uses),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RelayDied(f"`invite create` ended with {process.returncode}")
        return output.decode().split()[-1]

    def freeze(self) -> None:
        """SIGSTOP: from now on it does nothing, until it is killed."""
        os.kill(self.pid, signal.SIGSTOP)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit code. Killed if it does not end in time (then -9)."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            if number == signal.SIGKILL:  # a copy itself: its shadow ends when it is gone
                with suppress(ProcessLookupError, FileNotFoundError):  # dead, which nobody noticed yet
                    os.kill(self.pid, number)
            else:
                process.send_signal(number)
        self._process = None
        try:
            async with asyncio.timeout(STOP_WITHIN_SECONDS):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
        if self._reader is not None:
            await self._reader
            self._reader = None
        return code

    async def __aenter__(self) -> "RelayProcess":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    def end_of_log(self) -> str:
        """Its last lines, for the message of a failed test."""
        lines = (
            self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        )
        return "\n".join(lines[-20:])
