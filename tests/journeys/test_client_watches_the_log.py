"""Real clients on a real relay: what they keep of its log, and what they do when it does not answer, was restored, or lies."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from client.account import load_account
from client.cli.commands import tokenim
from client.client import Client
from client.errors import LogRefused, LogRolledBack, LogSplit
from client.message import State, Warned
from client.store.database import Database
from client.store.gossip_rows import Claim, add_claim
from client.store.key_file import load_key
from client.store.log_rows import all_evidence, known_logs, own_proof, unconnected
from client.system import System, this_machine
from client.transparency.care import UNANSWERED_MS, tend_log
from client.transparency.known_log import alarm
from client.transport import Transport
from crypto.transparency import Inclusion, verify_head, verify_manifest_logged
from relay.services.transparency import HandleInclusion, Head
from relay.services.transparency import Inclusion as Proof
from relay.wire.errors import RateLimited, RelayError
from relay.wire.links import encode_bytes
from tests.chatting import People, open_people, texts, waiting


@dataclass
class Machine:
    """A clock that can be moved."""

    ahead_ms: int = 0

    def system(self) -> System:
        real = this_machine()
        return replace(real, now_ms=lambda: real.now_ms() + self.ahead_ms)


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    async with open_people(tmp_path, "bob", "carol") as people:
        await people.register("alice")
        yield people


class Lying:
    """The relay's log service; a test changes what it answers."""

    def __init__(self, people: People) -> None:
        self.true = people.world.relay.services.transparency
        self.asked: list[str] = []
        self.refuses: RelayError | None = None
        self.head_instead: Head | None = None
        self.index_shift = 0
        self.slow_about = b""
        object.__setattr__(people.world.relay.services, "transparency", self)

    async def head(self) -> Head:
        return self.head_instead or await self.true.head()

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        self.asked.append(f"{old}-{new}")
        if self.refuses is not None:
            raise self.refuses
        return await self.true.consistency(old, new)

    async def manifest(self, account_id: bytes, version: int) -> Proof:
        if account_id == self.slow_about:
            await asyncio.sleep(0.5)
        return self._changed(await self.true.manifest(account_id, version))

    async def handle(self, handle: str, account_id: bytes) -> HandleInclusion:
        logged = await self.true.handle(handle, account_id)
        return replace(logged, inclusion=self._changed(logged.inclusion))

    def _changed(self, proof: Proof) -> Proof:
        return replace(proof, head=self.head_instead or proof.head, index=proof.index + self.index_shift)


async def store_of(people: People, name: str, read):
    """Something in a closed client's store."""
    home = people.home(name)
    async with Database(home, load_key(home, None)) as database:
        return await database.read(read)


async def look(people: People, name: str) -> None:
    """The daily look of a closed client."""
    home = people.home(name)
    system = people.machines.get(name, this_machine())
    async with Database(home, load_key(home, None)) as database:
        account = await database.read(load_account)
        async with Transport(account.origin, system, account) as transport:
            await tend_log(transport, database, account, system)


async def told(client: Client) -> list[str]:
    return [
        event.kind
        async for event in client.events(until_caught_up=True, patience_seconds=20)
        if isinstance(event, Warned)
    ]


async def test_registering_proves_the_own_manifest_and_set_ups_carry_that(people: People) -> None:
    account, proof, logs = await store_of(
        people,
        "alice",
        lambda tx: (load_account(tx), own_proof(tx, load_account(tx).own.hash), known_logs(tx)),
    )
    inclusion = Inclusion.parse(proof)
    verify_head(inclusion.head, account.relay_key)
    verify_manifest_logged(inclusion, account.own.newest)
    assert [one.head for one in logs] == [inclusion.head]
    async with people.client("alice") as alice, people.client("bob") as bob:
        await alice.send("bob", "hello")
        assert await texts(bob) == ["hello"]
        await bob.send("alice", "hello yourself")
        assert await texts(alice) == ["hello yourself"]
    (known,) = await store_of(people, "bob", known_logs)
    assert known.head.size == 6  # three accounts and their handles: the head came with Alice's set-up or list


@pytest.mark.proves("M-TRANSP-01")
async def test_what_the_log_is_not_proved_to_have_is_refused_and_told(people: People) -> None:
    lying = Lying(people)
    async with people.client("alice") as alice:
        await alice.send("bob", "hello")  # his handle and list are known from now on
        lying.index_shift = 1
        with pytest.raises(LogRefused):
            await alice.send("carol", "hello")  # her handle
        link = await people.stack.enter_async_context(people.client("carol"))
        with pytest.raises(LogRefused):
            await alice.send(await link.contact_link(), "hello")  # her list
        await alice.send("bob", "to a contact nothing has changed")
        lying.index_shift = 0
        assert await told(alice) == ["log_refused"] * 2
        await alice.send("carol", "hello")
    kinds = [one.kind for one in await store_of(people, "alice", all_evidence)]
    assert kinds == ["log_refused"] * 2


async def test_a_log_that_does_not_answer_is_asked_later_and_sending_goes_on(people: People) -> None:
    lying = Lying(people)
    lying.refuses = RateLimited(retry_after_ms=1)
    await people.register("dora")  # the log grows
    async with people.client("bob") as bob:
        await bob.send("dora", "hello")
        assert lying.asked
        assert await told(bob) == []
    waiting_heads = await store_of(people, "bob", unconnected)
    assert {one.head.size for one in waiting_heads} == {8}
    await look(people, "bob")
    assert await store_of(people, "bob", unconnected)
    lying.refuses = None
    await look(people, "bob")
    assert await store_of(people, "bob", unconnected) == []
    (known,) = await store_of(people, "bob", known_logs)
    assert known.head.size == 8


async def test_a_relay_that_never_proves_that_its_log_grew_is_told_after_days(people: People) -> None:
    machine = Machine()
    people.machines["bob"] = machine.system()
    lying = Lying(people)
    lying.refuses = RateLimited(retry_after_ms=1)
    await people.register("dora")
    async with people.client("bob") as bob:
        await bob.send("dora", "hello")
    machine.ahead_ms = UNANSWERED_MS
    people.world.clock.jump(seconds=UNANSWERED_MS / 1_000)
    for _ in range(2):
        await look(people, "bob")
    async with people.client("bob") as bob:
        assert set(await told(bob)) == {"log_unanswered"}


async def test_who_listens_until_caught_up_hears_what_a_slow_look_at_the_log_finds(people: People) -> None:
    async with people.client("alice") as alice, people.client("bob") as bob:
        await alice.send("bob", "hello")
        assert await texts(bob) == ["hello"]
    bob_id = (await store_of(people, "bob", load_account)).account_id
    async with Database(people.home("alice"), load_key(people.home("alice"), None)) as database:
        await database.run(lambda tx: add_claim(tx, Claim(bob_id, 9, bytes(32), bob_id)))
    Lying(people).slow_about = bob_id
    async with people.client("alice") as alice:
        assert await told(alice) == ["split_view"]


async def test_the_own_manifest_is_proved_once_a_day(people: People) -> None:
    machine = Machine()
    people.machines["alice"] = machine.system()
    proofs = []
    for ahead_ms in (0, 3_600_000, 86_400_000, 90_000_000):
        machine.ahead_ms = ahead_ms
        await people.register(f"newcomer{ahead_ms}")
        await look(people, "alice")
        proofs.append(await store_of(people, "alice", lambda tx: own_proof(tx, load_account(tx).own.hash)))
    assert proofs[0] == proofs[1] != proofs[2] == proofs[3]


async def test_a_relay_that_was_restored_is_told_once_and_goes_on(people: People) -> None:
    async with people.client("alice") as alice, people.client("bob") as bob:
        await alice.send("bob", "hello")
        await texts(bob)
        await people.world.relay.services.store.mark_restored()
        await people.register("dora")
        for name in ("dora", "carol"):
            await alice.send(name, "hello")
        assert await told(alice) == ["log_restored"]
        await alice.send("bob", "on we go")
        assert "on we go" in [message.text for message in await waiting(bob)]
    logs = await store_of(people, "alice", known_logs)
    assert len(logs) == 2


@pytest.mark.proves("M-TRANSP-01")
async def test_a10_an_answer_of_before_is_refused_once_the_log_is_known_to_be_larger(people: People) -> None:
    """It proves what it shows, and is replayed whole."""
    lying = Lying(people)
    carol = await store_of(people, "carol", load_account)
    then = await lying.true.manifest(carol.account_id, 1)
    handle = await lying.true.handle("carol", carol.account_id)
    await people.register("emil")

    async def manifest(account_id: bytes, version: int) -> Proof:
        return then if account_id == carol.account_id else await lying.true.manifest(account_id, version)

    async def handled(name: str, account_id: bytes) -> HandleInclusion:
        return handle if name == "carol" else await lying.true.handle(name, account_id)

    async with people.client("bob") as bob:
        await bob.send("emil", "hello")
        lying.manifest, lying.handle = manifest, handled  # type: ignore[method-assign]
        with pytest.raises(LogRolledBack):
            await bob.send("carol", "hello")
        assert "log_rolled_back" in await told(bob)


@pytest.mark.proves("M-TRANSP-01")
async def test_a10_a_head_that_no_proof_connects_is_refused_with_both_heads(people: People) -> None:
    lying = Lying(people)
    (known,) = await store_of(people, "bob", known_logs)
    await people.register("dora")

    async def no_proof(old: int, new: int) -> tuple[bytes, ...]:
        return (bytes(32),) * 4

    lying.consistency = no_proof  # type: ignore[method-assign]
    async with people.client("bob") as bob:
        with pytest.raises(LogSplit):
            await bob.send("dora", "hello")
        assert await told(bob) == ["log_split"]
        (shown,) = await bob.evidence()
        assert (shown.kind, shown.account) == ("log_split", None)
        assert shown.as_json()["known"] == encode_bytes(known.head.encode())
        with pytest.raises(LogSplit):
            await bob.send("dora", "it stays so")
        await bob.trust_log_again()
        assert (await bob.send("dora", "the operator has told what happened")).state is State.ACCEPTED
    (evidence,) = await store_of(people, "bob", all_evidence)
    assert evidence.known == known.head.encode()
    assert evidence.other != evidence.known


async def test_the_command_prints_what_proves_an_alarm(people: People) -> None:
    home = people.home("bob")
    first, second = b"what was known", b"what contradicts it"
    async with Database(home, load_key(home, None)) as database:
        await database.run(lambda tx: alarm(tx, "log_split", "two heads", b"", first, second, 0))
    done = await asyncio.to_thread(
        CliRunner().invoke, tokenim, ["--home", str(home), "evidence", "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "type": "evidence",
        "kind": "log_split",
        "account": None,
        "at": "1970-01-01T00:00:00.000Z",
        "known": encode_bytes(first),
        "other": encode_bytes(second),
    }
    for answer, is_known in (("n\n", True), ("y\n", False)):
        arguments = ["--home", str(home), "evidence", "--trust-again", "--json"]
        again = await asyncio.to_thread(
            CliRunner().invoke, tokenim, arguments, input=answer, catch_exceptions=False
        )
        assert again.stdout == done.stdout
        assert bool(await store_of(people, "bob", known_logs)) is is_known
