"""Two or more clients' stores without any network: what one encrypts is handed to the other as frames."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from client.account import Account, as_registered, new_account, save_account
from client.contents import MESSAGE_ID_BYTES, ContentType, Text, direct_conversation, encode_body
from client.envelopes import Encrypted, encrypt_drafts
from client.first_contact import Fetched, Missing
from client.mailbox_round import Taken, take
from client.message import Warned
from client.signals import draft_signal
from client.store import facts, history, notices, queue
from client.store.database import Database, Transaction
from client.store.peers import learn_token, save_chain
from client.store.prekey_rows import load_prekeys, save_prekeys
from client.system import System, this_machine
from crypto.local_prekeys import LocalPrekey
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import verify_chain
from crypto.prekeys import Bundle, KeyClass, KeyKind
from relay.wire.frames import Deliver, EnvelopeClass, Missed
from relay.wire.links import InviteLink, encode_id

START_MS = 1_800_000_000_000
DAY_MS = 86_400_000


@dataclass
class Clock:
    """A clock that the test moves."""

    ms: int = START_MS

    def now(self) -> int:
        return self.ms


@dataclass
class Person:
    """One device's store and how far its mailbox is."""

    name: str
    database: Database
    account: Account
    system: System
    clock: Clock
    sequence: int = 0
    claimed: dict[KeyKind, int] = field(default_factory=dict)

    @property
    def id(self) -> bytes:
        return self.account.account_id

    async def bundle(self) -> Bundle:
        """The keys that the relay would give: the oldest one-time keys, each once."""
        keys = (await self.database.read(load_prekeys)).keys

        def newest(kind: KeyKind, key_class: KeyClass) -> LocalPrekey:
            return max(
                (key for key in keys if (key.kind, key.key_class) == (kind, key_class)),
                key=lambda key: key.key_id,
            )

        def oldest(kind: KeyKind) -> LocalPrekey:
            above = self.claimed.get(kind, 0)
            key = min(
                (k for k in keys if (k.kind, k.key_class) == (kind, KeyClass.ONE_TIME) and k.key_id > above),
                key=lambda k: k.key_id,
            )
            self.claimed[kind] = key.key_id
            return key

        local = [
            newest(KeyKind.SIGNED, KeyClass.ROTATING),
            oldest(KeyKind.KEM),
            oldest(KeyKind.ONE_TIME),
            newest(KeyKind.SEALING, KeyClass.ROTATING),
        ]
        return Bundle.of(key.signed(self.account.local) for key in local)

    async def knows(self, *others: "Person") -> None:
        """Their chains are verified, and a token reaches them."""
        for other in others:
            await self.database.run(lambda tx, o=other: learn_token(tx, o.id, bytes(16), "public"))
            await self.database.run(lambda tx, o=other: save_chain(tx, o.account.own))

    async def draft(self, to: "Person", text: str, *, body: bytes | None = None, kind: int = 1) -> int:
        """A message that waits; its number."""

        def add(tx: Transaction) -> int:
            number = history.add_outgoing(
                tx,
                account_id=self.id,
                message_id=self.system.random(MESSAGE_ID_BYTES),
                content_type=kind,
                body=encode_body(Text(text)) if body is None else body,
                sent_at_ms=self.clock.now(),
            )
            queue.add_draft(tx, number, encode_id(to.id), to.id)
            return number

        return await self.database.run(add)

    async def encrypt(self, to: "Person", *devices: "Person") -> Encrypted | Missing:
        """Encrypt all drafts for `to`; bundles of these devices are at hand (of `to`, if none is named)."""
        fetched = Fetched(
            {one.account.device_id: await one.bundle() for one in devices or (to,)}, self.clock.now()
        )
        drafts = await self.database.read(lambda tx: queue.next_drafts(tx, 10_000))
        mine = [draft for draft in drafts if draft.account_id == to.id]
        return await self.database.run(lambda tx: encrypt_drafts(tx, to.id, mine, fetched, self.system))

    async def outgoing(self) -> list[queue.Outgoing]:
        """What waits for the relay, in order; it is taken out, as if accepted."""

        def out(tx: Transaction) -> list[queue.Outgoing]:
            rows = queue.outgoing_after(tx, 0, 100_000)
            queue.remove_outgoing(tx, [row.n for row in rows])
            return rows

        return await self.database.run(out)

    async def say(self, to: "Person", *texts: str) -> list[bytes]:
        """Ciphertexts of texts for the one device of `to`."""
        for text in texts:
            await self.draft(to, text)
        assert isinstance(await self.encrypt(to), Encrypted)
        return [row.envelopes[0].ciphertext for row in await self.outgoing()]

    async def signal(
        self, to: "Person", kind: int, body: msgspec.Struct, *, sent_at_ms: int | None = None
    ) -> list[bytes]:
        """Ciphertexts of one hidden content for the one device of `to`."""
        encoded = encode_body(body)
        await self.database.run(
            lambda tx: draft_signal(
                tx, self.account, [to.id], kind, encoded, self.system, sent_at_ms=sent_at_ms
            )
        )
        assert isinstance(await self.encrypt(to), Encrypted)
        return [row.envelopes[0].ciphertext for row in await self.outgoing()]

    def frame(self, ciphertext: bytes) -> Deliver:
        """As the relay delivers it next."""
        self.sequence += 1
        return Deliver(self.sequence, os.urandom(16), self.clock.now(), EnvelopeClass.DURABLE, ciphertext)

    async def take(
        self, frames: Sequence[Deliver | Missed], fetched: frozenset[bytes] = frozenset()
    ) -> Taken:
        return await self.database.run(lambda tx: take(tx, frames, self.system, fetched=fetched))

    async def receive(self, ciphertexts: Sequence[bytes]) -> Taken:
        """Everything in one batch."""
        return await self.take([self.frame(ciphertext) for ciphertext in ciphertexts])

    async def texts(self, other: "Person") -> list[bytes]:
        """Bodies of the conversation that came from the other."""
        conversation = direct_conversation(self.id, other.id)
        rows = await self.database.read(lambda tx: history.of_conversation(tx, conversation, None))
        return [row.body for row in rows if not row.outgoing]

    async def told(self) -> list[object]:
        """Tidings so far."""
        return [notice for _, notice in await self.database.read(lambda tx: notices.untold(tx, 0, 10_000))]

    async def warned(self) -> list[str]:
        return [one.kind for one in await self.told() if isinstance(one, Warned)]

    async def refresh_prekeys(self) -> None:
        """Rotate and restock; all of it is at the relay at once."""

        def tend(tx: Transaction) -> None:
            before = load_prekeys(tx)
            after = before.refresh(
                one_time_at_relay=0, kem_at_relay=0, now_ms=self.clock.now(), random=self.system.random
            )
            after = after.uploaded(after.to_upload(self.account.local), now_ms=self.clock.now())
            save_prekeys(tx, before, after)

        await self.database.run(tend)


def bodies(*texts: str) -> list[bytes]:
    """The bodies of these texts."""
    return [encode_body(Text(text)) for text in texts]


def with_device(first: Person, second: Account, *, keep_first: bool = True, manager: bool = True) -> None:
    """Version 2 of the account's manifest: with a second device, perhaps without the first."""
    own = first.account.own
    entries = list(own.manifest.devices) if keep_first else []
    entries.append(device_entry(second.local, added_at_ms=first.clock.now(), manager=manager))
    body = build_manifest(own.manifest.root_public, own.version + 1, own.hash, entries)
    signed = sign_manifest(body, first.account.local.signing, first.account.device_id)
    first.account = first.account.with_chain(verify_chain(own.account_id, own, [signed]))


@asynccontextmanager
async def open_person(
    folder: Path, name: str, clock: Clock, account: Account | None = None
) -> AsyncIterator[Person]:
    """A registered account with prekeys, in a store of its own."""
    os.makedirs(folder, mode=0o700)  # noqa: PTH103  # a moment, before anything runs
    system = replace(this_machine(), now_ms=clock.now)
    if account is None:
        invite = InviteLink("http://relay.example", bytes(32), bytes(16))
        account = new_account(invite, name, now_ms=clock.now(), random=os.urandom)
    account = as_registered(account, "member")
    async with Database(folder, os.urandom(32)) as database:
        person = Person(name, database, account, system, clock)

        def begin(tx: Transaction) -> None:
            save_account(tx, account)
            facts.own_token(tx, "contact", os.urandom)
            facts.token_registered(tx, "contact")

        await database.run(begin)
        await person.refresh_prekeys()
        yield person


@asynccontextmanager
async def open_pair(folder: Path) -> AsyncIterator[tuple[Person, Person]]:
    """Alice and Bob; Alice knows how to reach Bob."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(open_person(folder / "alice", "alice", clock))
        bob = await stack.enter_async_context(open_person(folder / "bob", "bob", clock))
        await alice.knows(bob)
        yield alice, bob


UNKNOWN_TYPE = max(ContentType) + 1_000
