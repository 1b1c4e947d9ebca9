"""The crowd in a process of its own, so that the sender's processor time and stalls are the sender's alone."""

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any, Self

from bench.crowd import Crowd, Hearing


class CrowdProcess:
    """The methods of `Crowd`, done elsewhere."""

    def __init__(self, link: str) -> None:
        self._link = link

    async def __aenter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._link, there), daemon=True)
        self._process.start()
        there.close()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._here.close()  # the other side ends by that
        await asyncio.to_thread(self._process.join)

    async def _do(self, name: str, *arguments: object) -> Any:
        self._here.send((name, arguments))
        answer = await asyncio.to_thread(self._here.recv)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def come(self, invite: str, count: int) -> int:
        """See `Crowd.come`."""
        return int(await self._do("come", invite, count))

    async def take(self) -> Hearing:
        """See `Crowd.take`."""
        hearing: Hearing = await self._do("take")
        return hearing

    async def leave_behind(self) -> str:
        """See `Crowd.leave_behind`."""
        return str(await self._do("leave_behind"))

    async def heard(self, text: str) -> tuple[int, int, int]:
        """See `Crowd.heard`."""
        once, more, none = await self._do("heard", text)
        return once, more, none


def _serve(link: str, connection: Connection) -> None:
    asyncio.run(_obey(link, connection))


async def _obey(link: str, connection: Connection) -> None:
    async with Crowd(link) as crowd:
        while True:
            try:
                name, arguments = await asyncio.to_thread(connection.recv)
            except EOFError:
                return
            answer: object
            try:
                answer = await getattr(crowd, name)(*arguments)
            except Exception as error:  # noqa: BLE001  # raised on the other side
                answer = RuntimeError(f"{type(error).__name__}: {error}")
            connection.send(answer)
