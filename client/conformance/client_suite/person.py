"""A client that is tested: a process that takes commands and gives answers and events, a JSON object a line (docs/clients.md)."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from client.conformance.report import Failed

_LINE_BYTES: Final = 2**24


class Refused(Failed):
    """The client said no: its code, and why. Where a case does not count on that, it has failed."""


class Person:
    """One client with one account, whose process may be ended and begun again over the same store."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        store: Path,
        tell: Callable[[], None],
        breach: Callable[[str], None],
        patience_seconds: float,
    ) -> None:
        """`tell` is called with each event of the client, `breach` with what is no line of an adapter: it fails the case.

        The client may take so long to show something, and twice that to answer.
        """
        self.name, self.store, self._tell, self._breach = name, store, tell, breach
        self.events: list[dict[str, Any]] = []
        self.ended = ""
        """By what it gave up to listen, as its event `ended` says; not every client tells."""
        self._nonsense = ""
        """What it wrote that is no line of an adapter: from then on it is heard no more."""
        self._patience_seconds = patience_seconds
        self._command = (*command, str(store))
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._asked = 0
        self._errors = self.store.with_suffix(".stderr")

    async def begin(self) -> None:
        """Start the process; raises Failed if there is no such command."""
        try:
            with self._errors.open("ab") as errors:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    limit=_LINE_BYTES,
                )
        except OSError as error:
            raise Failed(f"{self._command[0]} cannot be started: {error}") from error
        self.ended = ""
        self._reading = asyncio.create_task(self._read(self._process))

    async def call(self, command: str, **fields: Any) -> Any:
        """What the client answers in `ok`; raises Refused for `error`, Failed if it answers nothing."""
        if self._nonsense:
            raise Failed(self._nonsense)
        if self._process is None or self._process.stdin is None:
            raise Failed(f"{self.name} is not running")
        self._asked += 1
        within = 2 * self._patience_seconds
        answer = self._answers[self._asked] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self._asked, "do": command, **fields}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            await self._process.stdin.drain()
            async with asyncio.timeout(within):
                said = await answer
        except TimeoutError:
            raise Failed(f"{self.name} did not answer {command} within {within:g} s") from None
        except ConnectionError as error:
            raise Failed(self._gone(command)) from error
        if "error" in said:
            raise Refused(f"{self.name} refused {command}: {said['error']}: {said.get('why', '')}")
        if "ok" not in said:
            raise Failed(f"{self.name} answered {command} with neither `ok` nor `error`: {str(said)[:80]}")
        return said["ok"]

    async def ask(self, command: str, **fields: Any) -> str:
        """As `call`, of a command that is answered by words; raises Failed for anything else."""
        told = await self.call(command, **fields)
        if not isinstance(told, str):
            raise Failed(f"{self.name} answered {command} with no string: {str(told)[:80]}")
        return told

    async def messages(self) -> list[dict[str, Any]]:
        """All that the client shows; raises Failed unless each has a text or none, and says whether it is its own."""
        told = await self.call("messages", after=0)
        if not isinstance(told, list) or not all(map(_is_message, told)):
            raise Failed(f"{self.name} answered messages with no list of messages: {str(told)[:200]}")
        return told

    async def texts(self) -> list[str]:
        """What others wrote, as the client shows it, in order."""
        return [one["text"] for one in await self.messages() if not one["is_own"]]

    async def until(self, *texts: str) -> None:
        """The client shows just these texts of others; raises Failed if it does not come to that."""
        shown: list[str] = []
        try:
            async with asyncio.timeout(self._patience_seconds):
                while (shown := await self.texts()) != list(texts):
                    if len(shown) > len(texts) or self.ended:
                        break
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pass
        if shown != list(texts):
            gone = f", and gave up: {self.ended}" if self.ended else ""
            raise Failed(f"{self.name} should show {list(texts)}, and shows {shown}{gone}")

    async def shows(self, *texts: str) -> None:
        """The client shows these texts of others among more, each once; raises Failed if it does not come to that."""
        shown: list[str] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_seconds):
                while not self.ended:
                    shown = await self.texts()
                    if set(texts) <= set(shown):
                        break
                    await asyncio.sleep(0.1)
        if any(shown.count(text) != 1 for text in texts):
            raise Failed(f"{self.name} should show {list(texts)}, each once, and shows {shown}")

    def kill_now(self) -> None:
        """SIGKILL, without waiting for its end: `kill` waits."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.kill_now()
        await self._ended()

    async def end(self) -> None:
        """By the end of its input, else SIGKILL after a while."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        if self._process is None:
            return
        await self._process.wait()
        if self._reading is not None:
            await self._reading
        self._process = None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        try:
            async for line in process.stdout:
                # What a process that was killed had half written is no line.
                if line.endswith(b"\n"):
                    self._take(line)
        except (ValueError, RecursionError, Failed) as error:
            # StreamReader tells a line above its limit by ValueError, as json does what is no JSON or no UTF-8.
            self._nonsense = f"{self.name} wrote what is no line of an adapter: {str(error)[:200]}"
            self._breach(self._nonsense)
            self.kill_now()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError())
        self._answers.clear()

    def _take(self, line: bytes) -> None:
        """Raises ValueError, RecursionError or Failed for what is no event, and no answer to what was asked."""
        said = json.loads(line)
        if not isinstance(said, dict):
            raise Failed(f"not a JSON object, but {line[:80]!r}")
        if "event" in said or type(said.get("id")) is not int:
            self.events.append(said)
            if said.get("event") == "ended":
                self.ended = str(said.get("why", "")) or "it does not say why"
            self._tell()
            return
        answer = self._answers.pop(said["id"], None)
        if answer is None:
            raise Failed(f"an answer to id {said['id']}, on which nothing waits")
        if not answer.done():
            answer.set_result(said)

    def _gone(self, command: str) -> str:
        return self._nonsense or f"{self.name} ended before it took {command}: {self._last_words()}"

    def _last_words(self) -> str:
        lines = self._errors.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _is_message(told: Any) -> bool:
    return (
        isinstance(told, dict)
        and isinstance(told.get("text", 0), str | None)
        and isinstance(told.get("is_own"), bool)
    )
