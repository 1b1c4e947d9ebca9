"""Many at once, as `make many`: members who never talked before all write in one group at the same moment.

Each is a real client with a store of its own; the relay is a process of the installed command. Everything it prints is
counted in what the clients hold at the end; it ends with 0 only if each message came to each member once.
"""

import argparse
import asyncio
import logging
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.served import pinned_driver
from client.account import load_account
from client.client import Client
from client.message import Message, Unopened, Warned
from client.store.database import Database, Transaction
from client.store.key_file import load_key
from client.store.prekey_rows import load_prekeys
from client.store.session_rows import all_sessions
from crypto.prekeys import KeyClass, KeyKind
from tests.faults.relay_process import RelayDied, RelayProcess

_log = logging.getLogger(__name__)
GROUP = "many"
AT_ONCE = 8  # clients that register, or open, at the same time
LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 1_800.0


class NotReached(Exception):
    """Something did not come to pass in time."""


@dataclass
class Member:
    """A client that listens, and what came to it."""

    name: str
    client: Client
    came: Counter[str] = field(default_factory=Counter)
    """Text → how often."""
    warned: Counter[str] = field(default_factory=Counter)
    unopened: Counter[str] = field(default_factory=Counter)

    async def listen(self) -> None:
        """Until cancelled."""
        async for event in self.client.events():
            match event:
                case Message(outgoing=False, text=str(text)):
                    self.came[text] += 1
                case Warned(kind=kind):
                    self.warned[kind] += 1
                case Unopened(reason=reason):
                    self.unopened[reason] += 1
                case _:
                    continue


@dataclass(frozen=True, slots=True)
class SetUps:
    """What one client holds of the beginnings of its sessions."""

    sessions: int
    """Devices with which it has one that it can send on."""
    opened: int
    """Set-ups of others that it opened."""
    one_time: int
    """Of those, how many used up a one-time key."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The whole result."""

    members: int
    sessions: int
    one_time: int
    last_resort: int
    sent: int
    arrived: int
    twice: int
    missing: int
    warned: Counter[str]
    unopened: Counter[str]
    group_seconds: float
    """Until all were in the group and knew it."""
    talk_seconds: float
    """From the first `send` until the last message had come."""
    relay_cpu_seconds: float
    clients_cpu_seconds: float

    @property
    def is_good(self) -> bool:
        """Every message came once to everybody else."""
        expected = self.sent * (self.members - 1)
        return (self.arrived, self.twice, self.missing) == (expected, 0, 0) and not self.unopened


async def register(folder: Path, invite: Callable[[int], Awaitable[str]], count: int) -> list[Path]:
    """So many accounts without a handle; their homes."""
    link = await invite(count)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Path:
        async with at_once:
            home = folder / f"member-{number}"
            await Client.register(home, link)
            return home

    return list(await asyncio.gather(*map(one, range(count))))


@asynccontextmanager
async def listening(homes: Sequence[Path]) -> AsyncIterator[list[Member]]:
    """Clients of these homes, all of which listen."""
    async with AsyncExitStack() as stack:
        members = [Member(home.name, await stack.enter_async_context(Client.open(home))) for home in homes]
        tasks = [asyncio.create_task(member.listen(), name=member.name) for member in members]
        try:
            yield members
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [one for one in ended if isinstance(one, Exception)]
        if failed:
            raise failed[0]


async def until(what: str, left: Callable[[], Awaitable[int]], patience_seconds: float) -> None:
    """Look again and again until nothing is left; raises NotReached."""
    try:
        async with asyncio.timeout(patience_seconds):
            while count := await left():
                _log.info("%s: %d left", what, count)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise NotReached(f"{what}: not within {patience_seconds:.0f} s, {await left()} left") from None


async def gather_in_group(members: Sequence[Member], patience_seconds: float) -> str:
    """The first makes a group and gives out one link, by which all the others come in; how the group is addressed."""
    owner, *others = members
    group = (await owner.client.create_group(GROUP, patience_seconds=patience_seconds)).id
    link = await owner.client.membership.link(GROUP, uses=len(others), days=1)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def ask(member: Member) -> None:
        async with at_once:
            await member.client.membership.join(link)

    await asyncio.gather(*map(ask, others))

    async def left() -> int:
        seen = [await member.client.groups() for member in members]
        return sum(not groups or len(groups[0].members) < len(members) for groups in seen)

    await until("members who do not see all the others", left, patience_seconds)
    return f"group:{group}"


async def talk(members: Sequence[Member], to: str, rounds: int, patience_seconds: float) -> int:
    """All write at the same moment, so many messages each, until all have come; how many were sent."""
    sent = [f"{member.name}, {number}" for number in range(rounds) for member in members]

    async def write(member: Member) -> None:
        for number in range(rounds):
            await member.client.send(to, f"{member.name}, {number}", patience_seconds=patience_seconds)

    async def left() -> int:
        # Only what has not come at all: what comes twice is counted, not waited for.
        return sum(len(sent) - rounds - sum(text in member.came for text in sent) for member in members)

    await asyncio.gather(*map(write, members))
    await until("messages that have not come", left, patience_seconds)
    for member in members:
        await member.client.settle(patience_seconds=patience_seconds)
    return len(sent)


async def set_ups(home: Path) -> SetUps:
    """How the sessions of a client began, whose folder nobody has open."""
    async with Database(home, load_key(home, None)) as database:
        return await database.read(_set_ups)


def _set_ups(tx: Transaction) -> SetUps:
    account = load_account(tx)
    peers = all_sessions(tx, (account.account_id, account.device_id)).values()
    prekeys = load_prekeys(tx)
    kem = [key.key_class for key in prekeys.keys if key.kind is KeyKind.KEM]
    made = prekeys.next_ids[KeyKind.KEM - 1] - 1 - kem.count(KeyClass.LAST_RESORT)
    return SetUps(
        sessions=sum(peer.active is not None for peer in peers),
        opened=sum(len(peer.replays) for peer in peers),
        one_time=made - kem.count(KeyClass.ONE_TIME),
    )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def run(
    homes: Sequence[Path],
    *,
    rounds: int = 1,
    relay_cpu_seconds: Callable[[], float] = lambda: 0.0,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Counted:
    """The whole play with these accounts. Raises NotReached, and what a client raised."""
    began = time.monotonic()
    relay_before, clients_before = relay_cpu_seconds(), _cpu_seconds()
    async with listening(homes) as members:
        to = await gather_in_group(members, patience_seconds)
        together = time.monotonic()
        sent = await talk(members, to, rounds, patience_seconds)
        done = time.monotonic()
    began_by = [await set_ups(home) for home in homes]
    came = sum((member.came for member in members), Counter[str]())
    one_time = sum(one.one_time for one in began_by)
    return Counted(
        members=len(members),
        sessions=sum(one.sessions for one in began_by),
        one_time=one_time,
        last_resort=sum(one.opened for one in began_by) - one_time,
        sent=sent,
        arrived=sum(len(member.came) for member in members),
        twice=came.total() - sum(len(member.came) for member in members),
        missing=sum(sent - rounds - len(member.came) for member in members),
        warned=sum((member.warned for member in members), Counter[str]()),
        unopened=sum((member.unopened for member in members), Counter[str]()),
        group_seconds=together - began,
        talk_seconds=done - together,
        relay_cpu_seconds=relay_cpu_seconds() - relay_before,
        clients_cpu_seconds=_cpu_seconds() - clients_before,
    )


def report(counted: Counted, register_seconds: float) -> None:
    """Every number, and last the line that scripts read."""
    print(f"members    {counted.members}, registered in {register_seconds:.0f} s")
    print(
        f"group      all in after {counted.group_seconds:.0f} s, by one link; nobody but the owner had talked"
    )
    print(
        f"sessions   {counted.sessions} that can send, begun by {counted.one_time + counted.last_resort} set-ups:"
    )
    print(f"           {counted.one_time} with one-time keys, {counted.last_resort} with last-resort keys")
    print(f"messages   {counted.sent} sent at once, here after {counted.talk_seconds:.0f} s")
    print(
        f"processor  relay {counted.relay_cpu_seconds:.0f} s, all clients {counted.clients_cpu_seconds:.0f} s"
    )
    for kind, count in sorted((counted.warned + counted.unopened).items()):
        print(f"told       {kind}: {count}")
    print(f"{counted.arrived} arrived, {counted.twice} twice, {counted.missing} missing")


async def _perform(folder: Path, count: int, rounds: int) -> tuple[Counted, float]:
    async with RelayProcess(folder / "relay", folder / "relay.log") as relay:
        await relay.start()
        began = time.monotonic()
        # On one core: on two, so many threads of one interpreter spend two to three times as much fighting for its lock.
        with pinned_driver():
            homes = await register(folder, relay.create_invite, count)
            registered = time.monotonic()
            counted = await run(homes, rounds=rounds, relay_cpu_seconds=relay.cpu_seconds)
        return counted, registered - began


def main() -> int:
    """0 only if all of it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=1, help="messages that each member writes")
    parser.add_argument("--verbose", action="store_true", help="say what is waited for")
    arguments = parser.parse_args()
    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d %(message)s")
        logging.getLogger("client").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="tokenim-many-") as name:
        try:
            counted, register_seconds = asyncio.run(_perform(Path(name), arguments.members, arguments.rounds))
        except (NotReached, RelayDied) as failure:
            print(f"it stopped: {failure}", file=sys.stderr)
            return 1
    report(counted, register_seconds)
    return 0 if counted.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
