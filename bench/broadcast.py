"""A broadcast, as `make broadcast`: one real client speaks to thousands of listeners, some come later, one is removed.

The listeners are devices with the least they need (`crowd.py`), registered at a relay process. Prints what each step
cost; ends with 0 only if everybody heard everything once, joins re-keyed nobody, and who is out reads nothing.
"""

import argparse
import asyncio
import gc
import logging
import resource
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.crowd import MESSAGE, Hearing
from bench.crowd_process import CrowdProcess
from client.client import Client
from client.groups.sending import MAX_TARGETS
from crypto.group_changes import Remove
from crypto.limits import MAX_GROUP_MEMBERS
from relay.wire.limits import ACCOUNT_ID_BYTES
from relay.wire.links import decode_id
from tests.faults.relay_process import RelayDied, RelayProcess

_log = logging.getLogger(__name__)
ENVELOPES_A_JOIN = 20  # fewer, all in all: 20,000 for 1,000 who come within ten minutes
PATIENCE_SECONDS = 3_600.0
_TICK_SECONDS = 0.02


class ListensInCrowds(Protocol):
    """What `Crowd` and `CrowdProcess` can do."""

    async def come(self, invite: str, count: int) -> int:
        """So many ask to be let in; how many requests the relay took."""

    async def take(self) -> Hearing:
        """All take their mail."""

    async def leave_behind(self) -> str:
        """The account that is to be removed."""

    async def heard(self, text: str) -> tuple[int, int, int]:
        """How many heard it: once, more than once, not at all."""


@dataclass(frozen=True, slots=True)
class Meters:
    """What is read before and after each step."""

    relay_cpu_seconds: Callable[[], float]
    shared_ciphertexts: Callable[[], int]
    """Rows at the relay, each of which several mailboxes wait for."""


@dataclass
class Step:
    """What one step cost, from its beginning until the last listener had opened its mail."""

    name: str
    sender_seconds: float = 0.0
    """Until the sender had nothing more to do."""
    seconds: float = 0.0
    requests: int = 0
    """Envelopes to the sender."""
    hearing: Hearing = field(default_factory=Hearing)
    relay_cpu_seconds: float = 0.0
    sender_cpu_seconds: float = 0.0
    stall_seconds: float = 0.0
    """The longest time in which the sender's event loop did not turn."""

    @property
    def envelopes(self) -> int:
        """All of them."""
        return self.requests + self.hearing.envelopes.total()


@dataclass
class Broadcast:
    """One sender, one crowd, and what was seen."""

    sender: Client
    crowd_of: Callable[[str], AbstractAsyncContextManager[ListensInCrowds]]
    invite: Callable[[int], Awaitable[str]]
    """A link of the relay by which so many register."""
    meters: Meters
    patience_seconds: float = PATIENCE_SECONDS
    steps: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    commits: int = 0
    _crowd: ListensInCrowds | None = None
    _stall_seconds: float = 0.0

    @property
    def crowd(self) -> ListensInCrowds:
        """The listeners."""
        if self._crowd is None:
            raise RuntimeError("nobody listens yet")
        return self._crowd

    def require(self, holds: bool, what: str) -> None:
        """Note a problem unless it holds."""
        if not holds:
            self.problems.append(what)

    async def play(self, listeners: int, joins: int) -> None:
        """All steps."""
        group = (
            await self.sender.create_group("news", broadcast=True, patience_seconds=self.patience_seconds)
        ).id
        link = await self.sender.membership.link(group, uses=listeners + joins, days=1, role="listener")
        watching = [asyncio.create_task(one) for one in (self._listen(), self._watch())]
        try:
            async with self.crowd_of(link) as self._crowd:
                await self._play(group, listeners, joins)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _play(self, group: str, listeners: int, joins: int) -> None:
        came = await self._come(f"{listeners} come in", group, listeners, listeners)
        self.require(came["welcome"] == listeners, f"{came['welcome']} of {listeners} were welcomed")

        first = await self._say("first message to all", group, "first", listeners)
        self._require_kinds(first, {"chain": listeners, MESSAGE: listeners})

        came = await self._come(f"{joins} join later", group, joins, listeners + joins)
        second = await self._say("message after that", group, "second", listeners + joins)
        self._require_kinds(second, {"chain": joins, MESSAGE: listeners + joins})
        self.require(came["welcome"] == joins, f"{came['welcome']} of {joins} were welcomed later")
        self.require(came["secret"] == 0, f"joins re-keyed {came['secret']}")
        self.require(
            self.envelopes_of_joins < ENVELOPES_A_JOIN * joins, f"{self.envelopes_of_joins} for {joins} joins"
        )

        left = listeners + joins - 1
        out = await self.crowd.leave_behind()
        async with self._step("one is removed") as step:
            await self.sender.commit_changes(
                group, [Remove(decode_id(out, ACCOUNT_ID_BYTES))], patience_seconds=self.patience_seconds
            )
            await self.sender.settle(patience_seconds=self.patience_seconds)
        self._require_kinds(step.hearing.envelopes, {"secret": left, "commit told": 1})
        third = await self._say("message after that", group, "third", left, out=1)
        self._require_kinds(third, {"chain": left, MESSAGE: left})
        read = sum(step.hearing.read_by_who_is_out for step in self.steps)
        self.require(read == 0, f"who is out reads {read} headers of later messages")
        for step in self.steps:
            self.require(
                not step.hearing.unopened, f"{step.name}: {dict(step.hearing.unopened)} did not open"
            )
        self.commits = (await self.sender.group(group)).commits

    @property
    def envelopes_of_joins(self) -> int:
        """All that the later joins cost, the message itself not counted."""
        joined, said = self.steps[2:4]
        return joined.envelopes + said.envelopes - said.hearing.envelopes[MESSAGE]

    def _require_kinds(self, came: Counter[str], expected: dict[str, int]) -> None:
        self.require(came == Counter(expected), f"{dict(came)} came, not {expected}")

    async def _come(self, name: str, group: str, count: int, members: int) -> Counter[str]:
        """So many come in by the link; what they got."""
        async with self._step(name) as step:
            step.requests = await self.crowd.come(await self.invite(count), count)
            await self._until_members(group, members + 1)
            await self.sender.settle(patience_seconds=self.patience_seconds)
        return step.hearing.envelopes

    async def _until_members(self, group: str, count: int) -> None:
        async with asyncio.timeout(self.patience_seconds):
            while True:
                began = time.monotonic()
                known = len((await self.sender.group(group)).members)
                if known == count:
                    return
                _log.info("%d of %d members", known, count)
                # To show thousands of members takes a while: looking is not what is measured.
                await asyncio.sleep(max(0.2, 20 * (time.monotonic() - began)))

    async def _say(self, name: str, group: str, text: str, audience: int, *, out: int = 0) -> Counter[str]:
        """One message; what came. All of the audience hear it once."""
        async with self._step(name) as step:
            await self.sender.send(f"group:{group}", text, patience_seconds=self.patience_seconds)
            await self.sender.settle(patience_seconds=self.patience_seconds)
            rows, expected = self.meters.shared_ciphertexts(), -(-audience // MAX_TARGETS)
            self.require(rows == expected, f"{rows} stored ciphertexts of one message, not {expected}")
        heard = await self.crowd.heard(text)
        self.require(heard == (audience, 0, out), f"{text}: {heard} heard it once, more often, never")
        return step.hearing.envelopes

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[Step]:
        """The sender's part inside, then all listeners take their mail; what that cost."""
        step = Step(name)
        relay_before, cpu_before, began = self.meters.relay_cpu_seconds(), _cpu_seconds(), time.monotonic()
        self._stall_seconds = 0.0
        yield step
        step.sender_seconds = time.monotonic() - began
        step.sender_cpu_seconds = _cpu_seconds() - cpu_before
        step.stall_seconds = self._stall_seconds
        step.hearing = await self.crowd.take()
        step.seconds = time.monotonic() - began
        step.relay_cpu_seconds = self.meters.relay_cpu_seconds() - relay_before
        self.steps.append(step)
        _log.info("%s: %.0f s, %s", name, step.seconds, dict(step.hearing.envelopes))

    async def _listen(self) -> None:
        async for _ in self.sender.events():
            pass

    async def _watch(self) -> None:
        """How long the event loop did not turn."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_SECONDS)
            self._stall_seconds = max(self._stall_seconds, time.monotonic() - before - _TICK_SECONDS)

    def report(self, joins: int) -> None:
        """A table, and last the line that scripts read."""
        print(
            f"{'step':28} {'sender s':>8} {'all s':>6} {'envelopes':>9} {'MB':>7} {'relay CPU s':>11} ",
            end="",
        )
        print(f"{'sender CPU s':>12} {'stall ms':>8}")
        for step in self.steps:
            print(
                f"{step.name:28} {step.sender_seconds:8.1f} {step.seconds:6.1f} {step.envelopes:9,} "
                f"{step.hearing.size_bytes / 1e6:7.1f} {step.relay_cpu_seconds:11.1f} "
                f"{step.sender_cpu_seconds:12.1f} {step.stall_seconds * 1e3:8.0f}"
            )
        print(
            f"{joins} joins cost {self.envelopes_of_joins:,} envelopes; the group has {self.commits} commits"
        )
        for problem in self.problems:
            print(f"problem    {problem}")
        print(f"{len(self.problems)} problems")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def count_shared(data: Path) -> int:
    """Shared ciphertexts in a relay's folder."""
    uri = f"file:{data / 'relay.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM shared_ciphertexts").fetchone()[0])


async def _perform(folder: Path, listeners: int, joins: int) -> Broadcast:
    async with RelayProcess(folder / "relay", folder / "relay.log") as relay:
        await relay.start()
        await Client.register(folder / "sender", relay.invite)
        meters = Meters(relay.cpu_seconds, lambda: count_shared(relay.data))
        async with Client.open(folder / "sender") as sender:
            broadcast = Broadcast(sender, CrowdProcess, relay.create_invite, meters)
            await broadcast.play(listeners, joins)
            return broadcast


def main() -> int:
    """0 only if all of it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=MAX_GROUP_MEMBERS, help="in the end, the sender too")
    parser.add_argument("--joins", type=int, help="of them, who come later; default: a tenth")
    parser.add_argument("--verbose", action="store_true", help="say what is waited for")
    arguments = parser.parse_args()
    joins = arguments.joins or max(1, arguments.members // 10)
    listeners = arguments.members - 1 - joins
    if not 0 < arguments.members <= MAX_GROUP_MEMBERS or listeners < 1:
        parser.error(f"a group has at most {MAX_GROUP_MEMBERS:,} members, and here at least 3")
    if arguments.verbose:
        logging.basicConfig(level=logging.WARNING, format="%(relativeCreated)8d %(message)s")
        _log.setLevel(logging.INFO)
    gc.freeze()  # as the command does
    with tempfile.TemporaryDirectory(prefix="tokenim-broadcast-") as name:
        try:
            broadcast = asyncio.run(_perform(Path(name), listeners, joins))
        except (RelayDied, TimeoutError) as failure:
            print(f"it stopped: {failure!r}", file=sys.stderr)
            return 1
    broadcast.report(joins)
    return 1 if broadcast.problems else 0


if __name__ == "__main__":
    sys.exit(main())
