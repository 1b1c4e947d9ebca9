"""What a case of the client half has: its own scripted relay, and clients that begin at it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from client.conformance.report import Failed

from .doors import Doors
from .house import Account, Asked, House, Script, Submit
from .person import Person, Refused
from .socket_door import Connection

SETTLE_SECONDS: Final = 1.5
"""After something that a client must not answer: so long nothing may come."""
UNTOLD_SECONDS: Final = 30.0
"""What a client may tell, and has not told by then, it never tells."""


@dataclass
class Setting:
    """One case's. `people` are ended by whoever opened it."""

    command: Sequence[str]
    folder: Path
    house: House
    doors: Doors
    patience_seconds: float
    people: list[Person] = field(default_factory=list)

    @property
    def script(self) -> Script:
        """By what the relay departs from a good one."""
        return self.house.script

    async def newcomer(self, name: str) -> Person:
        """A client that runs and has no account yet."""
        tell, breach = self.house.tell, self.house.breach
        person = Person(name, self.command, self.folder / name, tell, breach, self.patience_seconds)
        self.people.append(person)
        await person.begin()
        return person

    async def person(self, name: str) -> Person:
        """A client with an account whose handle is its name, connected and caught up."""
        person = await self.newcomer(name)
        await person.call("register", link=self.house.invite, handle=name)
        await person.call("start")
        return person

    async def two(self) -> tuple[Person, Person]:
        """Ann and Bob, at the same time."""
        ann, bob = await asyncio.gather(self.person("ann"), self.person("bob"))
        return ann, bob

    def account(self, person: Person) -> Account:
        """Of the person, at the relay."""
        return self.house.handles[person.name]

    def connection(self, person: Person) -> Connection:
        """On which the person has its mailbox now."""
        account = self.account(person)
        for one in reversed(self.doors.connections):
            if one.account is account and one.resumed:
                return one
        raise Failed(f"{person.name} has no connection with its mailbox")

    async def until(self, holds: Callable[[], bool], what: str, within: float | None = None) -> None:
        """Wait for it; raises Failed with `what` if it does not come."""
        within = self.patience_seconds if within is None else within
        try:
            async with asyncio.timeout(within):
                while not holds():
                    self.house.happened.clear()
                    await self.house.happened.wait()
        except TimeoutError:
            raise Failed(f"expected within {within:g} s: {what}") from None

    async def acked(self, person: Person, sequence: int | None = None) -> None:
        """Everything in the person's mailbox, or up to a sequence, is acknowledged."""
        box = self.account(person).mailbox
        last = box.last if sequence is None else sequence
        what = f"{person.name} acknowledges {last}"

        def is_acked() -> bool:
            return box.last >= last and all(one > last for one in box.waiting)

        await self.until(lambda: is_acked() or bool(person.ended), what)
        if not is_acked():
            raise Failed(f"expected: {what}; it gave up: {person.ended}")

    def resumes(self, person: Person) -> int:
        """How often the person's device took its mailbox."""
        account_id = self.account(person).manifest.account_id
        return sum(one == account_id for one, _ in self.house.resumes)

    def durable(self, person: Person) -> list[Submit]:
        """Submits of envelopes that are kept, to the person's account."""
        account_id = self.account(person).manifest.account_id
        return [
            one
            for one in self.house.submits
            if one.fields[2] == 1 and any(grant[0] == account_id for grant in one.fields[7])
        ]

    async def gives_up(self, person: Person, before: int) -> None:
        """The client tells that it listens no more, or has taken its mailbox more often than `before`; else a while passes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UNTOLD_SECONDS):
                while not person.ended and self.resumes(person) == before:
                    self.house.happened.clear()
                    await self.house.happened.wait()

    async def quiet(self, person: Person) -> None:
        """For a while nobody submits anything to the person's account, ephemeral or not."""
        await asyncio.sleep(SETTLE_SECONDS)
        account_id = self.account(person).manifest.account_id
        if any(grant[0] == account_id for one in self.house.submits for grant in one.fields[7]):
            raise Failed(f"expected nothing to {person.name}, and something was submitted")

    async def nothing_goes_to(self, ann: Person, bob: Person, *, asks: Asked, named: str = "") -> None:
        """Ann tries to write to Bob (or to whom `named` should be), whose keys the relay tells wrong: no envelope leaves.

        The relay minds it until the clients have ended. Where Ann says no, that is all to wait for; where she keeps the
        message, she may try by herself, and a while passes. `asks`: in what the lie is. Raises Failed if nobody asked for
        it, for then Ann was never lied to.
        """
        self.house.closed_to.add(self.account(bob).manifest.account_id)
        before = self.house.asked[asks]
        untried = f"the client asked for no {asks}: the case tried nothing"
        try:
            await ann.call("send", to=named or bob.name, text="secret")
        except Refused as refusal:
            if self.house.asked[asks] == before:
                raise Failed(f"{untried} ({refusal})") from refusal
            return
        await self.until(lambda: self.house.asked[asks] > before or bool(self.house.broken), untried)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._broken()

    async def unless_broken(self, body: Awaitable[None]) -> None:
        """To its end, or until a client does something against the document, which fails every case: raises Failed then."""
        case, broken = asyncio.ensure_future(body), asyncio.create_task(self._broken())
        try:
            await asyncio.wait({case, broken}, return_when=asyncio.FIRST_COMPLETED)
            if not case.done():
                raise Failed(self.house.broken[0])
            case.result()
        finally:
            case.cancel()
            broken.cancel()
            await asyncio.gather(case, broken, return_exceptions=True)

    async def _broken(self) -> None:
        while not self.house.broken:
            self.house.happened.clear()
            await self.house.happened.wait()


@asynccontextmanager
async def open_setting(command: Sequence[str], patience_seconds: float) -> AsyncIterator[Setting]:
    """A relay of its own on a free port of this machine; raises Failed at the end for what a client did wrong on the way."""
    house = House()
    doors = Doors(house)
    runner = web.AppRunner(doors.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        house.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        with tempfile.TemporaryDirectory(prefix="tokenim-conformance-") as folder:
            setting = Setting(command, Path(folder), house, doors, patience_seconds)
            try:
                yield setting
            except Failed as failure:
                raise Failed("; ".join(dict.fromkeys([str(failure), *house.broken]))) from failure
            finally:
                await asyncio.gather(*(person.end() for person in setting.people))
    finally:
        await runner.cleanup()
    if house.broken:
        raise Failed("; ".join(dict.fromkeys(house.broken)))
